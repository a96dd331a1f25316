"""Folders of noise, and the same packed."""

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.packing import find_sets, pack, plan, write_manifest


def pack_all(folder: Path, output: Path, images: int = 4) -> Path:
    """Shards of so many images of every folder."""
    output.mkdir(parents=True, exist_ok=True)
    for name, paths in find_sets(folder, []).items():
        packings = plan(name, folder / name, paths, output, most_bytes=10**9, most_images=images)
        for packing in packings:
            pack(packing)
        write_manifest(name, packings)
    return output


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """11 images of A with masks, 7 of B, 3 and 2 of test: PNG and JPEG, in sub-folders too, with umlauts."""
    random = np.random.default_rng(0)
    for name, count in (("trainA", 11), ("trainB", 7), ("testA", 3), ("testB", 2)):
        for number in range(count):
            path = tmp_path / "folder" / name / ("deep/er" if number % 3 == 1 else "") / f"ä{number}"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = random.integers(0, 256, (20, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path.with_suffix(".jpg" if number % 2 else ".png"))
            if name == "trainA":
                mask = tmp_path / "folder" / "trainA_mask" / path.relative_to(tmp_path / "folder" / name)
                mask.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels[..., 0] // 100).save(mask.with_suffix(".png"))
    return tmp_path / "folder"


@pytest.fixture
def packed(folder: Path) -> Path:
    return pack_all(folder, folder.parent / "packed")


@pytest.fixture
def shard_options(options: Callable[..., Namespace]) -> Callable[..., Namespace]:
    """Options of a small training on a folder, or on shards with those of --dataset_mode webdataset."""
    def build(root: Path, *, mode: str = "webdataset", **changes) -> Namespace:
        own = dict(shards_A="", shards_B="", shards_remote=False, shards_window=None, shards_dir=None,
                   shards_limit=20.0)
        more = {name: changes.pop(name) for name in list(changes) if name in own}
        shared = options(dataroot=str(root), dataset_mode=mode, **changes)
        return Namespace(**vars(shared) | own | more)
    return build
