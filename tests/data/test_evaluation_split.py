"""The test split as an evaluation reads it."""

from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch

from data.evaluation_split import evaluation_split, find_split
from options.train_options import TrainOptions
from tests.exported import write_images


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for i, folder in enumerate(("testA", "testB", "valA", "valB")):
        write_images(tmp_path / folder, 3 + i, seed=i)
    return tmp_path


def options(root: Path, *more: str) -> Namespace:
    return TrainOptions().parse(["--dataroot", str(root), "--crop_size", "16", "--gpu_ids", "-1", *more])


def test_folders_are_test_or_else_val_and_need_images_in_both_domains(root):
    assert find_split(root) == (root / "testA", root / "testB")
    for path in (root / "testB").iterdir():
        path.unlink()
    assert find_split(root) == (root / "valA", root / "valB")
    (root / "valA").rename(root / "night")
    assert find_split(root) is None


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_images_are_those_of_the_files_by_name(root, direction):
    folders = ("testA", "testB") if direction == "AtoB" else ("testB", "testA")
    inputs, targets = evaluation_split(options(root, "--direction", direction))
    assert (inputs.folder, targets.folder) == tuple(root / folder for folder in folders)
    counts = {"testA": 3, "testB": 4}
    assert [len(images.names) for images in (inputs, targets)] == [counts[folder] for folder in folders]
    seed = {"testA": 0, "testB": 1}[folders[0]]
    written = write_images(root / "again", len(inputs.names), seed=seed)
    read = inputs.read()
    assert list(read) == inputs.names == [f"{i:02}" for i in range(len(written))]
    assert all(np.array_equal(*pair) for pair in zip(read.values(), written, strict=True))
    inverse = inputs.read(lambda batch: -batch[direction[0]])
    assert all(np.array_equal(255 - pixels, read[name]) for name, pixels in inverse.items())


def test_at_most_so_many_images_in_gray_and_no_random_numbers_taken(root):
    state = torch.get_rng_state()
    inputs, targets = evaluation_split(options(root, "--evaluation_images", "2", "--output_nc", "1"))
    assert [pixels.shape for pixels in inputs.read().values()] == [(16, 16, 3)] * 2
    assert [pixels.shape for pixels in targets.read().values()] == [(16, 16, 1)] * 2
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_of_a_list_the_rows_of_the_split(root, direction):
    rows = ["testA/00.png,testB/01.png,train", "testA/01.png,testB/00.png,val", "testA/02.png,,val"]
    (root / "list.csv").write_text("\n".join(["A,B,split", *rows]))
    inputs, targets = evaluation_split(options(root / "list.csv", "--direction", direction, "--companions",
                                               "mask=trainA_mask"))
    names = {"A": ["01", "02"], "B": ["00"]}
    assert (inputs.names, targets.names) == (names[direction[0]], names[direction[-1]])
    whole = {"A": write_images(root / "again", 3, seed=0), "B": write_images(root / "again", 4, seed=1)}
    for images, domain in ((inputs, direction[0]), (targets, direction[-1])):
        assert all(np.array_equal(pixels, whole[domain][int(name)]) for name, pixels in images.read().items())
    (root / "list.csv").write_text("\n".join(["A,B", *(row.rsplit(",", 1)[0] for row in rows)]))
    assert evaluation_split(options(root / "list.csv")) is None


def test_companions_of_the_training_are_not_looked_for(root):
    assert evaluation_split(options(root, "--companions", "mask=trainA_mask"))


def test_none_when_off_or_without_a_split(root):
    assert evaluation_split(options(root, "--evaluation_freq", "0")) is None
    for folder in root.iterdir():
        folder.rename(folder.with_name(f"my_{folder.name}"))
    assert evaluation_split(options(root)) is None


def test_with_a_range_images_are_not_rounded(tmp_path):
    """Levels by their definition, (value - black) / (white - black) * 255, of every slice."""
    values = np.random.default_rng(0).integers(0, 4096, (3, 16, 16), dtype=np.uint16)
    for folder in ("testA", "testB"):
        (tmp_path / folder).mkdir()
        np.save(tmp_path / folder / "scan.npy", values)
    inputs, _ = evaluation_split(options(tmp_path, "--value_range", "0:4095", "--input_nc", "1"))
    read = inputs.read()
    assert list(read) == inputs.names == ["scan/000", "scan/001", "scan/002"]
    for pixels, image in zip(read.values(), values, strict=True):
        assert pixels.dtype == np.float32 and np.abs(pixels[..., 0] - image / 4095 * 255).max() < 1e-4
