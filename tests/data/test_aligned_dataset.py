"""Pairs: which images belong together, moved alike, and mixed with images at random."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data import create_loader, find_dataset
from data.base_dataset import Position
from options.train_options import TrainOptions
from util.errors import DataError, UsageError

ALIGNED = dict(dataset_mode="aligned")


def noise(path: Path, seed: int, size: tuple[int, int] = (20, 16)) -> np.ndarray:
    """Writes an image of noise, (width, height)."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


def pairs_on_disk(root: Path, count: int = 6, more: int = 0) -> None:
    """Pairs of negatives: B = 255 - A; and `more` images of each domain without a partner."""
    for number in range(count):
        pixels = noise(root / "trainA" / f"{number}.png", number)
        (root / "trainB").mkdir(exist_ok=True)
        Image.fromarray(255 - pixels).save(root / "trainB" / f"{number}.png")
    for number in range(more):
        noise(root / "trainA" / f"a{number}.png", 100 + number)
        noise(root / "trainB" / f"b{number}.png", 200 + number)


# Without interpolation, so that the negative of a crop is the crop of the negative.
@pytest.mark.parametrize("preprocess", ["crop", "trim", "scale_shortside_and_crop"])
def test_pairs_are_cropped_and_mirrored_alike(options, tmp_path, preprocess):
    pairs_on_disk(tmp_path)
    dataset = find_dataset("aligned")(options(**ALIGNED, preprocess=preprocess, load_size=8))
    assert len(dataset) == 6
    items = [dataset[Position(epoch, index)] for epoch in (1, 2, 3) for index in range(6)]
    for item in items:
        assert Path(item["A_paths"]).name == Path(item["B_paths"]).name
        assert torch.allclose(item["A"], -item["B"], atol=1e-6) and "paired" not in item
    assert len({item["A"].sum().item() for item in items}) > 12        # other crops in each epoch


def test_halves_of_one_image(options, tmp_path):
    whole = [noise(tmp_path / "train" / f"{number}.png", number, (41, 20)) for number in range(3)]
    opt = options(**ALIGNED, paired_layout="halves", preprocess="none", no_flip=True)
    dataset = find_dataset("aligned")(opt)
    for index, pixels in enumerate(whole):
        item = dataset[index]
        for domain, x in (("A", 0), ("B", 20)):
            expected = pixels[:, x:x + 20].transpose(2, 0, 1) / 127.5 - 1
            assert torch.allclose(item[domain], torch.from_numpy(expected).float(), atol=1e-6)


def test_halves_are_the_same_to_translate(options, tmp_path):
    pixels = noise(tmp_path / "test" / "0.png", 0, (40, 20))
    opt = options(**ALIGNED, paired_layout="halves", preprocess="none", phase="test", isTrain=False)
    levels = ((find_dataset("aligned")(opt)[0]["B"] + 1) * 127.5).round().numpy().transpose(1, 2, 0)
    assert np.array_equal(levels, pixels[:, 20:])


def test_a_ratio_of_pairs_among_images_at_random(options, tmp_path):
    """600 items: a third of them pairs, within five standard deviations; none but those are said to be."""
    pairs_on_disk(tmp_path, count=5, more=15)
    dataset = find_dataset("aligned")(options(**ALIGNED, paired_ratio=1 / 3, preprocess="crop"))
    assert len(dataset) == 20
    items = [dataset[Position(epoch, index)] for epoch in range(1, 31) for index in range(20)]
    paired = [item for item in items if item["paired"].item() == 1]
    assert abs(len(paired) - 200) < 5 * np.sqrt(600 * 2 / 9)
    assert all(torch.allclose(item["A"], -item["B"], atol=1e-6) for item in paired)
    counts = np.unique([Path(item["A_paths"]).stem for item in paired], return_counts=True)
    assert list(counts[0]) == list("01234")
    others = [item for item in items if item["paired"].item() == 0]
    assert {Path(item["B_paths"]).stem[0] for item in others} == set("01234b")
    assert all(item["paired"].shape == (1, 1, 1) for item in items)


def test_a_minibatch_holds_the_flags_of_its_images(options, tmp_path):
    pairs_on_disk(tmp_path, more=2)
    batch = next(iter(create_loader(options(**ALIGNED, paired_ratio=0.5, batch_size=4))))
    assert batch["paired"].shape == (4, 1, 1, 1) and batch["A"].shape == (4, 3, 8, 8)


def test_a_bad_image_costs_its_pair(options, tmp_path):
    pairs_on_disk(tmp_path)
    (tmp_path / "trainB" / "2.png").write_bytes(b"")
    item = find_dataset("aligned")(options(**ALIGNED, preprocess="crop"))[2]
    assert [Path(item[f"{domain}_paths"]).stem for domain in "AB"] == ["3", "3"]
    assert torch.allclose(item["A"], -item["B"], atol=1e-6) and len(item["bad"]) == 1


def test_too_many_bad_pairs_in_a_row(options, tmp_path):
    pairs_on_disk(tmp_path)
    for number in range(6):
        (tmp_path / "trainB" / f"{number}.png").write_bytes(b"")
    with pytest.raises(DataError, match="4 pairs in a row cannot be read"):
        find_dataset("aligned")(options(**ALIGNED))[0]


def test_images_without_a_partner_are_named(options, tmp_path):
    pairs_on_disk(tmp_path, more=2)
    with pytest.raises(UsageError, match=r"2 of 8 images of A have no partner in B, the first is .*a0.png"):
        find_dataset("aligned")(options(**ALIGNED))


def test_no_pair_at_all(options, paint, tmp_path):
    noise(tmp_path / "trainA" / "a.png", 0), noise(tmp_path / "trainB" / "b.png", 1)
    with pytest.raises(UsageError, match="no image of A has a partner in B"):
        find_dataset("aligned")(options(**ALIGNED, paired_ratio=0.5))


def test_pairs_of_two_sizes(options, tmp_path):
    pairs_on_disk(tmp_path)
    noise(tmp_path / "trainB" / "4.png", 4, (20, 17))
    with pytest.raises(UsageError, match=r"4.png' measures 20x17 pixels, but .*4.png' 20x16"):
        find_dataset("aligned")(options(**ALIGNED))


def test_what_it_gives(options):
    opt = options(**ALIGNED, companions="mask=trainA_mask,after=trainB_mask")
    assert find_dataset("aligned").gives(opt) == {"pairs", "mask", "after"}
    assert find_dataset("unaligned").gives(opt) == {"mask"}


def test_a_ratio_above_one():
    opt = TrainOptions().parse(["--dataset_mode", "aligned", "--paired_ratio", "1.5", "--gpu_ids", "-1"])
    with pytest.raises(UsageError, match="--paired_ratio is 1.5; it must be from 0 to 1"):
        find_dataset("aligned")(opt)
