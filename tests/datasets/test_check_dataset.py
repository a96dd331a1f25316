"""check_dataset.py on folders with one fault of every kind."""

import json
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.exported import write_images

SCRIPT = Path(__file__).parents[2] / "datasets" / "check_dataset.py"


@pytest.fixture
def check(monkeypatch, capsys):
    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["check_dataset.py", *map(str, arguments)])
        code = 0
        try:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()
    return call


@pytest.fixture
def dataset(tmp_path):
    for seed, (folder, count) in enumerate((("trainA", 4), ("trainB", 3), ("testA", 2), ("testB", 2))):
        write_images(tmp_path / folder, count, seed=seed, size=(16, 12))
    return tmp_path


def test_a_sound_data_set(check, dataset):
    code, out, _ = check(dataset)
    assert code == 0
    assert out.splitlines() == [
        "trainA: 4 images, all 16 x 12, RGB", "trainB: 3 images, all 16 x 12, RGB",
        "testA: 2 images, all 16 x 12, RGB", "testB: 2 images, all 16 x 12, RGB", "",
        "no bad images, and none in both training and test"]


def test_sizes_and_kinds(check, dataset):
    write_images(dataset / "trainA", 1, size=(30, 40), names="large.png")
    Image.new("L", (2, 3)).save(dataset / "trainA" / "gray.png")
    Image.fromarray(np.zeros((12, 16), np.uint16)).save(dataset / "trainA" / "deep.png")
    _, out, _ = check(dataset)
    assert out.splitlines()[0] == ("trainA: 7 images, 2 x 3 to 30 x 40, mostly 16 x 12 (5), "
                                   "RGB 5, I;16 1, L 1")


def test_bad_files_are_named(check, dataset):
    whole = (dataset / "trainB" / "00.png").read_bytes()
    (dataset / "trainB" / "00.png").write_bytes(whole[:len(whole) // 2])
    (dataset / "testA" / "page.jpg").write_text("<html>")
    (dataset / "testA" / "empty.png").touch()
    (dataset / "testA" / "notes.txt").write_text("not looked at")
    code, out, _ = check(dataset)
    assert code == 1 and "cannot be read: 3" in out
    for name in ("trainB/00.png", "testA/page.jpg", "testA/empty.png"):
        assert f"{dataset}/{name}: " in out
    assert "notes.txt" not in out and "testA: 4 images, all 16 x 12" in out


def test_equal_pixels_are_found_whatever_the_file(check, dataset):
    shutil.copy(dataset / "trainA" / "00.png", dataset / "trainA" / "twin.png")
    code, out, _ = check(dataset)
    assert code == 0 and "the same image more than once: 1\n  trainA/00.png = trainA/twin.png\n" in out
    Image.open(dataset / "trainB" / "01.png").save(dataset / "testB" / "other.bmp")     # another format
    code, out, _ = check(dataset)
    assert code == 1
    assert "the same image in training and test: 1\n  trainB/01.png = testB/other.bmp\n" in out


def test_val_and_test_may_share(check, dataset):
    (dataset / "valA").mkdir()
    shutil.copy(dataset / "testA" / "00.png", dataset / "valA" / "a.png")
    code, out, _ = check(dataset)
    assert code == 0 and "valA/a.png = testA/00.png" in out


def test_a_bare_folder_and_json(check, dataset, tmp_path):
    code, out, _ = check(dataset / "trainA", "--json", tmp_path / "report.json")
    assert code == 0 and out.startswith("trainA: 4 images")
    report = json.loads((tmp_path / "report.json").read_text())
    assert [image["size"] for image in report["folders"]["trainA"]] == [[16, 12]] * 4
    assert report["doubled"] == []


def test_long_lists_are_shortened(check, dataset):
    for number in range(13):
        (dataset / "trainA" / f"bad{number}.jpg").touch()
    _, out, _ = check(dataset)
    assert "cannot be read: 13" in out and "  and 3 more" in out and out.count(".jpg: ") == 10


def test_no_folder_and_no_images(check, tmp_path):
    code, _, err = check(tmp_path / "none")
    assert code == 2 and "is no folder" in err
    (tmp_path / "trainA").mkdir()
    assert "trainA: no images" in check(tmp_path)[1]
