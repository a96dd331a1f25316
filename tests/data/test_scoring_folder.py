"""A folder of images to be scored: names without endings, one image read at a time."""

import numpy as np
import pytest
from PIL import Image

from data.scoring_folder import ScoringFolder
from tests.exported import write_images
from util.errors import RunError


def test_images_by_name_are_those_of_the_files(tmp_path):
    images = write_images(tmp_path / "sub", 3, size=(9, 7))
    folder = ScoringFolder("--fake", tmp_path)
    assert list(folder) == ["sub/00", "sub/01", "sub/02"] and len(folder) == 3
    assert all(np.array_equal(found, image) for found, image in zip(folder.values(), images, strict=True))
    assert folder.size_of("sub/01") == (9, 7) and folder.sizes() == {(9, 7)}


def test_gray_is_read_as_colour_and_resized_to_the_size_given(tmp_path):
    Image.new("L", (9, 7), 80).save(tmp_path / "gray.png")
    folder = ScoringFolder("--fake", tmp_path, size=(4, 5))
    assert np.array_equal(folder["gray"], np.full((5, 4, 3), 80)) and folder.size_of("gray") == (4, 5)


def test_names_are_known_without_reading_and_a_bad_image_is_named_when_read(tmp_path):
    write_images(tmp_path, 1)
    (tmp_path / "bad.png").write_bytes(b"no image")
    folder = ScoringFolder("--fake", tmp_path)
    assert "bad" in folder and "worse" not in folder and folder.keys() <= {"00", "bad"}
    for read in (lambda: folder["bad"], lambda: folder.size_of("bad"), folder.sizes):
        with pytest.raises(RunError, match="bad.png.*repair or remove it"):
            read()
