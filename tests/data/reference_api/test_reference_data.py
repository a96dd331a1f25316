"""Data sets in the reference's form: their items, and the transforms that they call."""

import random
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data import create_dataset, create_loader
from data.base_dataset import Position
from data.reference_api import base_dataset
from data.reference_api.base_dataset import get_params, get_transform
from data.reference_api.image_folder import is_image_file, make_dataset
from options.test_options import TestOptions
from options.train_options import TrainOptions
from tests.reference_files import dropped_in
from util.errors import UsageError

SIZES = "--crop_size 16 --load_size 20 --gpu_ids -1 --num_threads 0".split()


@pytest.fixture(scope="module", autouse=True)
def files() -> Iterator[None]:
    with dropped_in():
        yield


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five and four images; those of one name hold the same picture, with B darker by a half."""
    root = tmp_path_factory.mktemp("images")
    for folder, count in (("trainA", 5), ("trainB", 4), ("testA", 2), ("testB", 2)):
        (root / folder).mkdir()
        for number in range(count):
            pixels = np.random.default_rng(number).integers(0, 128, (24, 24, 3), dtype=np.uint8) * 2
            Image.fromarray(pixels // (2 if folder[-1] == "B" else 1)).save(root / folder / f"{number}.png")
    return root


def options(images: Path, *flags: str, train: bool = True) -> Namespace:
    return (TrainOptions() if train else TestOptions()).parse([*SIZES, "--dataroot", str(images), *flags])


def test_an_item_is_a_function_of_seed_epoch_and_index(images):
    opt = options(images, "--dataset_mode", "masked")
    dataset = create_loader(opt).dataset
    first = dataset[Position(2, 3)]
    random.seed(5), np.random.seed(6), torch.manual_seed(7)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    dataset[Position(1, 0)]
    again = dataset[Position(2, 3)]
    assert (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == before
    assert again.keys() == first.keys() and first["current_epoch"] == 2
    assert all(torch.equal(first[key], again[key]) for key in ("A", "B", "mask"))
    others = [dataset[Position(1, 3)], create_loader(options(
        images, "--dataset_mode", "masked", "--seed", "4")).dataset[Position(2, 3)]]
    assert not any(torch.equal(first["A"], other["A"]) for other in others)


@pytest.mark.parametrize("workers", ["0", "2"])
def test_minibatches_hold_what_the_file_gives(workers, images):
    opt = options(images, "--dataset_mode", "masked", "--batch_size", "2", "--num_threads", workers)
    loader = create_dataset(opt)
    loader.set_epoch(3)
    batches = list(loader)
    assert len(batches) == len(loader) == 2
    batch = batches[0]
    assert batch["A"].shape == (2, 3, 16, 16) and batch["mask"].shape == (2, 1, 16, 16)
    assert batch["mask"].unique().tolist() == [0, 1] and batch["current_epoch"].tolist() == [3, 3]
    assert torch.equal(batch["weight"], 1.0 + batch["img_idx"]) and batch["weight"].dtype == torch.float64
    assert batch["names"]["A"] == [Path(path).name for path in batch["A_paths"]]
    loader.set_epoch(3, skip_images=2)
    assert torch.equal(next(iter(loader))["A"], batches[1]["A"])


def test_seeded_twice_both_images_are_cut_alike(images):
    """B is A at half the brightness: (b + 1) * 2 = a + 1, wherever both are cropped and mirrored alike."""
    dataset = create_loader(options(images, "--dataset_mode", "paired", "--preprocess", "crop")).dataset
    for index in range(4):
        item = dataset[Position(1, index)]
        assert torch.allclose((item["B"] + 1) * 2, item["A"] + 1, atol=1e-5)
    assert len({dataset[Position(epoch, 0)]["A"].sum().item() for epoch in range(1, 9)}) > 2


def test_params_cut_and_mirror_as_they_say(images):
    opt = options(images, "--preprocess", "resize_and_crop")
    image = Image.open(images / "trainA/0.png").convert("RGB")
    found = get_transform(opt, {"crop_pos": (3, 1), "flip": True})(image)
    resized = np.asarray(image.resize((20, 20), Image.Resampling.BICUBIC)).astype(np.float64)
    expected = resized[1:17, 3:19][:, ::-1].transpose(2, 0, 1) / 127.5 - 1
    assert np.abs(found.numpy() - expected).max() < 1e-6
    nearest = get_transform(opt, {"crop_pos": (0, 0), "flip": False}, grayscale=True, method=Image.NEAREST,
                            convert=False)(image)
    mask = get_transform(opt, {"crop_pos": (3, 1), "flip": True}, normalize=False)(image)
    assert torch.allclose(mask, (found + 1) / 2) and 0 <= mask.min() < 0.2 and mask.max() <= 1
    assert nearest.mode == "L" and set(np.asarray(nearest).flat) <= set(np.asarray(image.convert("L")).flat)


def test_get_params_stay_within_the_image(images):
    drawn = [get_params(options(images), (24, 24)) for _ in range(200)]
    assert {x for p in drawn for x in p["crop_pos"]} == set(range(5))       # 20 - 16 and below
    assert {p["flip"] for p in drawn} == {True, False}


@pytest.mark.parametrize("words, sizes", [
    ("scale_width", {(40, 20)}), ("scale_shortside_and_crop", {(16, 16)}), ("trim", {(16, 12)}),
    ("none", {(24, 12)}), ("resize_and_trim", {(16, 16)}), ("patch", {(8, 8)})])
def test_words(words, sizes, images):
    """Of an image of 24 x 12 pixels, at load size 40 or crop size 8 where the table says so."""
    opt = Namespace(**vars(options(images)) | {"preprocess": words})
    if words == "scale_width":
        opt.load_size = 40
    if words == "patch":
        opt.crop_size = 8
    image = Image.new("RGB", (24, 12))
    transform = get_transform(opt, {"patch_index": 1} if words == "patch" else None)
    assert {tuple(transform(image).shape[:0:-1]) for _ in range(20)} == sizes


def test_sixteen_bits_and_floats_keep_their_digits(images):
    opt = Namespace(**vars(options(images)) | {"preprocess": "none", "no_flip": True})
    values = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    found = get_transform(opt)(Image.fromarray(values))
    assert found.shape == (1, 8, 8) and np.array_equal(found[0].numpy(), values * 2 - 1)


def test_helpers_by_their_names():
    names = vars(base_dataset)
    image = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8))
    assert names["__make_power_2"](image, 4) is image
    assert names["__crop"](image, (2, 3), 4).getpixel((0, 0)) == 3 * 8 + 2
    assert names["__flip"](image, True).getpixel((0, 0)) == 7
    assert names["__scale_width"](image, 16, 8).size == (16, 16)
    assert names["__random_zoom"](image, 8, 4, factor=(0.5, 1.0)).size == (4, 8)


def test_folders(images, tmp_path):
    assert [Path(path).name for path in make_dataset(str(images / "trainA"), 2)] == ["0.png", "1.png"]
    assert is_image_file("a.PNG") and not is_image_file("a.npy")
    with pytest.raises(UsageError, match="is missing; see --dataroot"):
        make_dataset(str(tmp_path / "nothing"))


def test_translation_takes_images_in_order_and_as_they_are(images):
    opt = options(images, "--dataset_mode", "paired", "--preprocess", "none", train=False)
    loader = create_loader(opt)
    batches = list(loader)
    names = [loader.dataset.relative_name("A", path) for batch in batches for path in batch["A_paths"]]
    assert names == ["0", "1"]
    pixels = np.asarray(Image.open(images / "testA/0.png")).transpose(2, 0, 1) / 127.5 - 1
    assert np.abs(batches[0]["A"][0].numpy() - pixels).max() < 1e-6


def test_ours_reads_what_the_references_reads_where_nothing_is_drawn(images):
    """The room's own UnalignedDataset against ours, on flags that leave nothing to chance."""
    opt = options(images, "--preprocess", "resize", "--load_size", "16", "--no_flip", "--serial_batches")
    from data.reference_api.unaligned_dataset import UnalignedDataset
    theirs, ours = UnalignedDataset(opt), create_loader(opt).dataset
    assert len(theirs) == len(ours) == 5
    for index in range(5):
        one, other = theirs[index], ours[Position(1, index)]
        assert torch.equal(one["A"], other["A"]) and torch.equal(one["B"], other["B"])
        assert (one["A_paths"], one["B_paths"]) == (other["A_paths"], other["B_paths"])


@pytest.mark.parametrize("flags, words", [
    (["--input_nc", "1", "--output_nc", "1"], "--input_nc is 1, but data/masked_dataset.py gives images"),
    (["--dataroot", "@/nowhere"], "which does not exist"),
    (["--phase", "val"], "valA' is missing"),
    (["--batch_size", "9"], "--batch_size is 9, but an epoch has only 5 images")])
def test_one_line(flags, words, images):
    with pytest.raises(UsageError, match=words):
        create_loader(options(images, "--dataset_mode", "masked", *flags))
