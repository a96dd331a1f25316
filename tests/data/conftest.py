"""Small images on disk and the options that data sets read."""

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image


@pytest.fixture
def options(tmp_path: Path) -> Callable[..., Namespace]:
    """Options of a small training on tmp_path, changed by keyword."""
    def build(**changes) -> Namespace:
        values = dict(dataroot=str(tmp_path), dataset_mode="unaligned", phase="train", direction="AtoB",
                      preprocess="resize_and_crop", load_size=12, crop_size=8, random_scale_max=3.0,
                      no_flip=False, input_nc=3, output_nc=3, serial_batches=False, num_threads=0,
                      max_dataset_size=float("inf"), batch_size=1, n_epochs=10, seed=0, isTrain=True,
                      device=torch.device("cpu"), cache="none", cache_limit=1.0, cache_dir=None,
                      checkpoints_dir=str(tmp_path), companions="", augment="", paired_layout="names",
                      paired_ratio=1.0, value_range="", slice_axis=None, accumulate=1)
        assert changes.keys() <= values.keys()
        return Namespace(**values | changes)
    return build


@pytest.fixture
def paint(tmp_path: Path) -> Callable[..., list[Path]]:
    """Write `count` images of one colour each, (number, shade, 0), into a folder of tmp_path."""
    def build(folder: str, count: int, size: tuple[int, int] = (16, 16), shade: int = 0) -> list[Path]:
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        paths = [tmp_path / folder / f"{number:03d}.png" for number in range(count)]
        for number, path in enumerate(paths):
            Image.new("RGB", size, (number, shade, 0)).save(path)
        return paths
    return build
