"""--augment: what each change does, and that it is a function of (seed, epoch, index) alone."""

import numpy as np
import pytest
import torch
from PIL import Image

from data import create_loader, find_dataset
from data.augment import AUGMENTATIONS, augmentations
from data.base_dataset import Position
from data.companions import Labels
from options.train_options import TrainOptions
from util.errors import UsageError

ALL = "rotate90,rotate=10,scale=0.9:1.2,colour=0.2,noise=0.02"


def stream(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def noise(width: int = 24, height: int = 16) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)


def changed(text: str, pixels: np.ndarray, seed: int) -> np.ndarray:
    change, = augmentations(text)
    return np.asarray(change(Image.fromarray(pixels), stream(seed)))


# ---- each one


def test_quarter_turns():
    """All four, each about as often as the others."""
    found = [changed("rotate90", noise(), seed) for seed in range(80)]
    counts = [sum(np.array_equal(x, np.rot90(noise(), turns)) for x in found) for turns in range(4)]
    assert sum(counts) == 80 and min(counts) > 8


def test_rotation_turns_about_the_middle_by_the_angle_drawn():
    """A dot off the middle moves on its circle, by the angle that the stream gives."""
    side, radius = 65, 20
    for seed in range(6):
        pixels = np.zeros((side, side), dtype=np.uint8)
        pixels[31:34, 32 + radius - 1:32 + radius + 2] = 255
        angle = np.random.default_rng(seed).uniform(-30, 30)
        found = changed("rotate=30", pixels, seed).astype(float)
        y, x = (np.average(axis, weights=found) for axis in np.mgrid[:side, :side])
        turned = np.degrees(np.arctan2(32 - y, x - 32))             # counterclockwise
        assert turned == pytest.approx(angle, abs=1.0)
        assert np.hypot(y - 32, x - 32) == pytest.approx(radius, abs=0.5)


@pytest.mark.parametrize("size", [(24, 16), (16, 24), (5, 40)])
def test_rotation_leaves_size_and_no_black_corner(size):
    white = np.full((size[1], size[0], 3), 255, dtype=np.uint8)
    for seed in range(8):
        found = changed("rotate=180", white, seed)
        assert found.shape == white.shape and found.min() == 255


def test_scale_multiplies_both_sides():
    for seed in range(5):
        factor = np.random.default_rng(seed).uniform(0.5, 2)
        assert changed("scale=0.5:2", noise(), seed).shape == (round(16 * factor), round(24 * factor), 3)


def test_colour_is_brightness_contrast_and_saturation():
    """Factors as the stream gives them; each step rounds to whole levels."""
    brightness, contrast, saturation = np.random.default_rng(3).uniform(0.8, 1.2, 3)
    luminance = np.array([0.299, 0.587, 0.114])
    x = (noise() * brightness).clip(0, 255)
    x = ((x - (x @ luminance).mean()) * contrast + (x @ luminance).mean()).clip(0, 255)
    grey = (x @ luminance)[..., None]
    x = ((x - grey) * saturation + grey).clip(0, 255)
    assert np.abs(changed("colour=0.2", noise(), 3) - x).max() < 4


def test_noise_has_its_std():
    grey = np.full((100, 100, 3), 128, dtype=np.uint8)
    found = changed("noise=0.05", grey, 0).astype(float) - 128
    assert found.std() == pytest.approx(0.05 * 255, rel=0.02) and abs(found.mean()) < 0.3
    white = changed("noise=0.5", np.full((9, 9), 255, dtype=np.uint8), 0)
    assert white.max() == 255 and white.dtype == np.uint8


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_grey_and_labels_are_taken_too(name):
    """Labels that a change of colours leaves are the very same; others keep their size and values."""
    text = {"rotate90": name, "scale": f"{name}=0.5:2"}.get(name, f"{name}=0.5")
    change, = augmentations(text)
    grey = change(Image.fromarray(noise()[..., 0]), stream())
    labels = Labels(Image.fromarray(np.arange(24 * 16, dtype=np.int32).reshape(16, 24)))
    moved = change(labels, stream())
    assert grey.mode == "L"
    if AUGMENTATIONS[name].moves:
        assert moved.size == grey.size and set(moved.to_tensor().flatten().tolist()) <= set(range(384))
    else:
        assert moved is labels


# ---- in a data set


@pytest.mark.parametrize("name", [None, *AUGMENTATIONS])
def test_an_item_is_a_function_of_its_place(options, paint, name):
    """Read twice, in any order and by any number of workers, it is the same; in another epoch it differs."""
    paint("trainA", 3, (24, 16)), paint("trainB", 3, (24, 16))
    for path in (*paint("trainA", 3), *paint("trainB", 3)):
        Image.fromarray(noise()).save(path)
    text = {None: ALL, "rotate90": name, "scale": f"{name}=0.5:2"}.get(name, f"{name}=0.5")
    dataset = find_dataset("unaligned")(options(augment=text, no_flip=True))
    first, again = (found[Position(2, 1)]["A"] for found in (
        dataset, find_dataset("unaligned")(options(augment=text, no_flip=True))))
    assert torch.equal(first, again)
    others = [dataset[Position(epoch, 1)]["A"] for epoch in (3, 4, 5, 6)]
    assert any(not torch.equal(first, other) for other in others)
    if name is None:
        batches = [list(create_loader(options(augment=text, num_threads=n))) for n in (0, 2)]
        for batch, other in zip(*batches, strict=True):
            assert torch.equal(batch["A"], other["A"]) and torch.equal(batch["B"], other["B"])


def test_the_crop_is_that_without_a_change_of_colours(options, paint):
    """However much noise draws, what is drawn behind it stays: labels and images agree."""
    for path in (*paint("trainA", 1), *paint("trainB", 1)):
        Image.fromarray(noise(40, 40)).save(path)
    quiet, loud = (find_dataset("unaligned")(options(augment=f"noise={std}", preprocess="crop"))[0]["A"]
                   for std in (1e-9, 0.01))
    assert 0 < (quiet - loud).abs().mean() < 0.05


def test_translation_is_not_augmented(options, paint):
    paint("testA", 1)
    plain, augmented = (find_dataset("unaligned")(options(augment=text, phase="test", isTrain=False))[0]["A"]
                        for text in ("", ALL))
    assert torch.equal(plain, augmented)


@pytest.mark.parametrize("text, says", [
    ("wiggle", "'wiggle' is none of rotate90, rotate"), ("rotate", "'rotate' should be rotate="),
    ("rotate=x", "should be rotate="), ("rotate=200", "a number up to 180"),
    ("colour=1.5", "a number up to 1"), ("rotate90=3", "should be rotate90"),
    ("scale=1", "scale={smallest}:{largest}"), ("scale=2:1", "should be"),
    ("scale=0:1", "should be"), ("noise=-1", "should be"), ("noise=nan", "should be"), ("rotate90,", "''")])
def test_what_is_no_list_of_augmentations(text, says):
    with pytest.raises(UsageError, match="--augment is") as error:
        TrainOptions().parse(["--augment", text, "--gpu_ids", "-1"])
    assert says in str(error.value)
