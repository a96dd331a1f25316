"""The comparison of tiles with the whole image: exact statistics give it back, others do not."""

import re

import numpy as np
from PIL import Image

from scripts.benchmarks.tiling import compare
from tests.models.test_translator import make_run


def test_the_table(tmp_path):
    run, photo = make_run(tmp_path / "h2z"), tmp_path / "photo.png"
    pixels = np.random.default_rng(0).integers(0, 256, (120, 140, 3), dtype=np.uint8)
    pixels[:, :60] //= 4
    Image.fromarray(pixels).save(photo)
    table = compare(run, photo, "fp32", tile=104, overlap=16)
    assert "photo.png, 140x120, fp32" in table
    largest = {name: float(found) for name, found in re.findall(r"^(\w+) +(\d+\.\d+)", table, re.M)}
    assert largest["exact"] < 0.1 < largest["quick"] < largest["tile"]
