"""Label images of street scenes: the classes of the data sets, and images turned into class numbers."""

from typing import NamedTuple

import numpy as np

from util.metrics.segmentation import IGNORED

Colour = tuple[int, int, int]


class LabelSet(NamedTuple):
    """The classes of a data set.

    classes: name -> colour in label images, in the order of their numbers.
    ignored_colours, ignored_ids: how pixels that do not count are marked, besides 255.
    full_ids: number in the full list of labels -> class, for sets that have one.
    """

    classes: dict[str, Colour]
    ignored_colours: tuple[Colour, ...]
    ignored_ids: tuple[int, ...] = ()
    full_ids: dict[int, int] | None = None


# Cordts et al. 2016; colours and numbers from the data set's public list of labels. License plates are
# painted like cars and pole groups like poles, so in colour they count as those.
CITYSCAPES = LabelSet(
    classes={
        "road": (128, 64, 128), "sidewalk": (244, 35, 232), "building": (70, 70, 70), "wall": (102, 102, 156),
        "fence": (190, 153, 153), "pole": (153, 153, 153), "traffic light": (250, 170, 30),
        "traffic sign": (220, 220, 0), "vegetation": (107, 142, 35), "terrain": (152, 251, 152),
        "sky": (70, 130, 180), "person": (220, 20, 60), "rider": (255, 0, 0), "car": (0, 0, 142),
        "truck": (0, 0, 70), "bus": (0, 60, 100), "train": (0, 80, 100), "motorcycle": (0, 0, 230),
        "bicycle": (119, 11, 32)},
    ignored_colours=((0, 0, 0), (111, 74, 0), (81, 0, 81), (250, 170, 160), (230, 150, 140), (180, 165, 180),
                     (150, 100, 100), (150, 120, 90), (0, 0, 90), (0, 0, 110)),
    full_ids={number: label for label, number in enumerate(
        (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33))})

# Brostow et al. 2009 in the 11 classes of Badrinarayanan et al. 2017 (SegNet), whose label 11 is unlabelled.
CAMVID = LabelSet(
    classes={
        "sky": (128, 128, 128), "building": (128, 0, 0), "pole": (192, 192, 128), "road": (128, 64, 128),
        "pavement": (60, 40, 222), "tree": (128, 128, 0), "sign": (192, 128, 128), "fence": (64, 64, 128),
        "car": (64, 0, 128), "pedestrian": (64, 64, 0), "bicyclist": (0, 128, 192)},
    ignored_colours=((0, 0, 0),), ignored_ids=(11,))

LABEL_SETS = {"camvid": CAMVID, "cityscapes": CITYSCAPES}


def labels_from_ids(ids: np.ndarray, labels: LabelSet, *, full: bool = False) -> np.ndarray:
    """The class numbers of a gray label image [H, W], IGNORED where a pixel does not count; uint8 [H, W].

    full: the values are numbers of the full list (34 in Cityscapes' *_labelIds.png), not class numbers.
    Raises ValueError for a value that is neither a class nor ignored.
    """
    table = np.full(256, -1)
    table[[IGNORED, *labels.ignored_ids]] = IGNORED
    if full:
        if labels.full_ids is None:
            raise ValueError("this set of labels has no full list")
        table[:max(labels.full_ids) + 1] = IGNORED
        table[list(labels.full_ids)] = list(labels.full_ids.values())
    else:
        table[:len(labels.classes)] = range(len(labels.classes))
    found = table[ids]
    if (found < 0).any():
        raise ValueError(f"it holds the label {int(ids[found < 0][0])}, "
                         f"but classes are 0 to {len(labels.classes) - 1}")
    return found.astype(np.uint8)


def labels_from_colours(pixels: np.ndarray, labels: LabelSet, *, ignore: bool = True) -> np.ndarray:
    """The class numbers of a coloured label image [H, W, 3], by the nearest colour of a class; uint8 [H, W].

    The nearest, because JPEG and a generator change colours a little. ignore: the colours that do not count
    are compared with too, and give IGNORED; leave them out for a prediction.
    """
    colours = [*labels.classes.values(), *(labels.ignored_colours if ignore else ())]
    palette = np.array(colours, dtype=np.int32)
    numbers = np.arange(len(colours))
    numbers[len(labels.classes):] = IGNORED
    seen, places = np.unique(pixels.reshape(-1, 3), axis=0, return_inverse=True)
    nearest = np.empty(len(seen), dtype=np.uint8)
    for start in range(0, len(seen), 65536):                    # bounds the memory for many shades
        gaps = seen[start:start + 65536, None].astype(np.int32) - palette
        nearest[start:start + 65536] = numbers[np.square(gaps).sum(axis=2).argmin(axis=1)]
    return nearest[places.reshape(pixels.shape[:2])]


def paint(label_map: np.ndarray, labels: LabelSet) -> np.ndarray:
    """The coloured label image of class numbers [H, W], uint8 [H, W, 3]; black where ignored."""
    palette = np.zeros((256, 3), dtype=np.uint8)
    palette[:len(labels.classes)] = list(labels.classes.values())
    return palette[label_map]
