"""Label images against the data sets' published lists."""

import io

import numpy as np
import pytest
from PIL import Image

from util.metrics.label_maps import (
    CAMVID,
    CITYSCAPES,
    LABEL_SETS,
    labels_from_colours,
    labels_from_ids,
    paint,
)


def test_cityscapes_is_the_benchmarks_list():
    names = list(CITYSCAPES.classes)
    assert len(names) == 19 and names[:3] == ["road", "sidewalk", "building"] and names[-1] == "bicycle"
    # Of the 34 full numbers: road is 7, car 26, bicycle 33; 0 unlabeled, 9 parking, 29 caravan, 30 trailer.
    full = np.array([[7, 26, 33, 0, 9, 29, 30, 255]], np.uint8)
    assert labels_from_ids(full, CITYSCAPES, full=True).tolist() == [[0, 13, 18, 255, 255, 255, 255, 255]]
    counted = labels_from_ids(np.arange(34, dtype=np.uint8)[None], CITYSCAPES, full=True)
    assert sorted(counted[counted != 255].tolist()) == list(range(19))


def test_camvid_has_11_classes_and_11_is_unlabelled():
    assert len(CAMVID.classes) == 11
    assert labels_from_ids(np.array([[0, 10, 11, 255]], np.uint8), CAMVID).tolist() == [[0, 10, 255, 255]]


def test_a_number_that_is_no_class_is_named():
    with pytest.raises(ValueError, match="holds the label 26, but classes are 0 to 18"):
        labels_from_ids(np.array([[0, 26]], np.uint8), CITYSCAPES)
    with pytest.raises(ValueError, match="no full list"):
        labels_from_ids(np.zeros((1, 1), np.uint8), CAMVID, full=True)


@pytest.mark.parametrize("labels", LABEL_SETS.values(), ids=LABEL_SETS)
def test_painted_and_read_again_is_the_same_map(labels):
    classes = len(labels.classes)
    label_map = np.random.default_rng(0).integers(0, classes, (9, 7)).astype(np.uint8)
    label_map[2, 3] = 255
    assert np.array_equal(labels_from_colours(paint(label_map, labels), labels), label_map)
    assert (labels_from_colours(paint(label_map, labels), labels, ignore=False) < classes).all()


def test_jpeg_and_shades_find_the_nearest_colour():
    blocks = np.kron(np.arange(11, dtype=np.uint8).reshape(1, 11), np.ones((8, 8), np.uint8))
    stream = io.BytesIO()
    Image.fromarray(paint(blocks, CAMVID)).save(stream, "JPEG", quality=95, subsampling=0)
    assert (labels_from_colours(np.asarray(Image.open(stream)), CAMVID) == blocks).mean() > 0.95
    assert labels_from_colours(np.array([[[140, 60, 120]]], np.uint8), CITYSCAPES).item() == 0    # near road


def test_many_shades_at_once_are_each_given_their_nearest():
    pixels = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    found = labels_from_colours(pixels, CAMVID, ignore=False)
    palette = np.array(list(CAMVID.classes.values()), float)
    for y, x in ((0, 0), (123, 45), (299, 299), (7, 250)):
        assert found[y, x] == np.linalg.norm(palette - pixels[y, x], axis=1).argmin()
