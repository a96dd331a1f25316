"""What data sets have in common: reading one image, the way to it, and images that are transformed alike."""

import traceback
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import data.base_dataset
from data import create_loader, find_dataset
from data.base_dataset import ITEM, BaseDataset, random_stream
from data.image_folder import load_image
from data.loader import Loader
from util.errors import DataError, UsageError

ROOT = Path(__file__).parents[2]


class Halves(BaseDataset):
    """The left half of each image of a folder is A, the right half is B."""

    def __init__(self, opt: Namespace):
        super().__init__(opt)
        self.add_domain("A", opt.dataroot, opt.max_dataset_size)

    def __len__(self) -> int:
        return len(self.domains["A"])

    def item(self, index: int, epoch: int, random: np.random.Generator) -> dict[str, Any]:
        image, path = self.read_image("A", index, [])
        middle = (image.width + 1) // 2
        halves = [image.crop((0, 0, middle, image.height)), image.crop((middle, 0, *image.size))]
        A, B = self.transform_together(halves, epoch, random)
        return {"A": A, "B": B, "A_paths": path, "after": random.random()}


def twins(tmp_path: Path, count: int = 12, width: int = 20) -> str:
    """Images whose right half repeats the left half."""
    random = np.random.default_rng(0)
    (tmp_path / "pairs").mkdir()
    for number in range(count):
        half = random.integers(0, 256, (24, width, 3), dtype=np.uint8)
        Image.fromarray(np.concatenate([half, half], 1)).save(tmp_path / "pairs" / f"{number:02d}.png")
    return str(tmp_path / "pairs")


# ---- transform_together

@pytest.mark.parametrize("words", ["crop", "zoom_and_crop", "resize_and_crop", "patch", "trim"])
def test_halves_are_cropped_and_mirrored_alike(options, tmp_path, words):
    opt = options(dataroot=twins(tmp_path), preprocess=words)
    dataset = Halves(opt)
    unmirrored = Halves(Namespace(**vars(opt) | {"no_flip": True}))
    mirrored = 0
    for index, item in enumerate(dataset):
        assert torch.equal(item["A"], item["B"])
        half = load_image(item["A_paths"], 3).crop((0, 0, 20, 24))
        assert torch.equal(item["A"], dataset.transform(half, 1, random_stream(0, 1, index, ITEM)))
        mirrored += not torch.equal(item["A"], unmirrored[index]["A"])
    assert 0 < mirrored < 12


def test_draws_after_the_images_go_on_as_after_one(options, tmp_path):
    dataset = Halves(options(dataroot=twins(tmp_path)))
    random = random_stream(0, 1, 3, ITEM)
    dataset.transform(Image.new("RGB", (20, 24)), 1, random)
    assert dataset[3]["after"] == random.random()


@pytest.mark.parametrize("workers", [0, 1])
def test_images_of_different_sizes_cannot_be_transformed_alike(options, tmp_path, workers):
    opt = options(dataroot=twins(tmp_path, count=2), num_threads=workers)
    Image.new("RGB", (41, 24)).save(tmp_path / "pairs" / "00.png")
    with pytest.raises(UsageError) as error:
        list(Loader(Halves(opt), opt))
    assert "20x24 and 21x24 pixels" in str(error.value) and "\n" not in str(error.value)


# ---- reading

def test_the_next_readable_image_replaces_a_bad_one(options, paint):
    paths = [str(path) for path in paint("trainA", 5)]
    paint("trainB", 1)
    Path(paths[4]).write_bytes(b"")
    Path(paths[0]).write_bytes(b"")
    bad: list[str] = []
    image, path = find_dataset("unaligned")(options()).read_image("A", 4, bad)
    assert path == paths[1] and image.getpixel((0, 0)) == (1, 0, 0) and image.size == (16, 16)
    assert [line.split(":")[0] for line in bad] == [paths[4], paths[0]]


def test_a_long_row_of_bad_images_ends_the_search(options, paint):
    paths = [str(path) for path in paint("trainA", 10)]
    lone, = paint("trainB", 1)
    for path in [*paths[:4], lone]:
        Path(path).write_bytes(b"")
    dataset = find_dataset("unaligned")(options())
    assert dataset.read_image("A", 1, [])[1] == paths[4]
    with pytest.raises(DataError, match="4 images in a row"):
        dataset.read_image("A", 0, [])
    with pytest.raises(DataError, match="1 images in a row"):
        dataset.read_image("B", 0, [])


def test_translation_replaces_no_image(options, paint):
    bad_path, _ = paint("testA", 2)
    bad_path.write_bytes(b"")
    dataset = find_dataset("unaligned")(options(isTrain=False, phase="test"))
    bad: list[str] = []
    assert dataset.read_image("A", 0, bad) is None and len(bad) == 1
    assert dataset.read_image("A", 1, bad)[1].endswith("001.png")


# ---- the way to an image

@pytest.mark.parametrize("cache", ["none", "ram"])
def test_five_frames_lead_from_the_worker_to_the_decoder(options, paint, monkeypatch, cache):
    """Counted from the loader's class that a worker calls, the decoder included."""
    paint("trainA", 2), paint("trainB", 2)
    stacks = []

    def spy(path: str, channels: int) -> Image.Image:
        stacks.append(traceback.extract_stack())
        return load_image(path, channels)

    monkeypatch.setattr(data.base_dataset, "load_image", spy)
    next(iter(create_loader(options(cache=cache))))
    assert len(stacks) == 2
    for stack in stacks:
        ours = [frame for frame in stack if Path(frame.filename).is_relative_to(ROOT)
                and "site-packages" not in frame.filename]
        start = max(i for i, frame in enumerate(ours)
                    if frame.filename.endswith("loader.py") and frame.name == "__getitem__")
        below = [frame.name for frame in ours[start + 1:]]
        assert below[-1] == "spy" and len(below) <= 5, below
