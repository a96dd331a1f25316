"""The scripts that prepare data sets, on small trees like those that are given out."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
ROAD, SKY = (128, 64, 128), (70, 130, 180)    # Cityscapes' colours of two classes


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a script as its command line does. Returns exit code, what it printed, and its error line."""
    def call(script: str, *arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
        code = 0
        try:
            runpy.run_path(str(ROOT / "datasets" / script), run_name="__main__")
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()
    return call


def paint(path: Path, colour=(9, 8, 7), size=(40, 20)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def tree(folder: Path) -> dict[str, int]:
    """Folder -> number of files in it."""
    return {path.name: len(list(path.iterdir())) for path in sorted(folder.iterdir())}


def cityscapes(root: Path) -> tuple[Path, Path]:
    for split, city, count in (("train", "aachen", 2), ("train", "ulm", 1), ("val", "frankfurt", 2)):
        for number in range(count):
            stem = f"{city}_{number:06}_000019"
            paint(root / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png", (10 * number, 200, 30))
            label = np.full((64, 128, 4), (*ROAD, 255), dtype=np.uint8)
            label[:31] = (*SKY, 255)
            folder = root / "gtFine" / split / city
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(label).save(folder / f"{stem}_gtFine_color.png")
            paint(folder / f"{stem}_gtFine_labelIds.png")
    return root / "leftImg8bit", root / "gtFine"


def test_cityscapes(run, tmp_path):
    photos, labels = cityscapes(tmp_path)
    code, out, _ = run("prepare_cityscapes.py", "--photos", photos, "--labels", labels,
                       "--output", tmp_path / "city")
    assert code == 0 and "train: 3 pairs" in out and "test: 2 pairs" in out
    assert tree(tmp_path / "city") == {"testA": 2, "testB": 2, "trainA": 3, "trainB": 3}
    for split in ("train", "test"):
        assert ({path.name for path in (tmp_path / "city" / f"{split}A").iterdir()}
                == {path.name for path in (tmp_path / "city" / f"{split}B").iterdir()})
    with Image.open(tmp_path / "city" / "trainB" / "aachen_000000_000019.jpg") as label:
        assert (label.size, label.mode) == ((256, 256), "RGB")
        assert label.layer[1][1:3] == (1, 1)                            # no chroma subsampling
        assert all(max(table) <= 1 for table in label.quantization.values())     # quality 100
        pixels = np.asarray(label).astype(int)
    # 31 of 64 rows are sky: 124 of 256; the nearest pixel leaves no colour between the two.
    assert np.abs(pixels[:120] - SKY).max() <= 3 and np.abs(pixels[128:] - ROAD).max() <= 3
    with Image.open(tmp_path / "city" / "trainA" / "aachen_000001_000019.jpg") as photo:
        assert np.abs(np.asarray(photo).astype(int) - (10, 200, 30)).max() <= 2


def test_cityscapes_paired_and_at_another_size(run, tmp_path):
    photos, labels = cityscapes(tmp_path)
    run("prepare_cityscapes.py", "--photos", photos, "--labels", labels, "--output", tmp_path / "city",
        "--paired", "--size", 32)
    assert tree(tmp_path / "city") == {"test": 2, "train": 3}
    with Image.open(tmp_path / "city" / "train" / "ulm_000000_000019.jpg") as pair:
        pixels = np.asarray(pair).astype(int)
    assert pixels.shape == (32, 64, 3)
    assert np.abs(pixels[24, 8] - (0, 200, 30)).max() <= 3 and np.abs(pixels[24, 56] - ROAD).max() <= 3


def test_cityscapes_refuses_what_is_incomplete_and_leaves_nothing(run, tmp_path):
    photos, labels = cityscapes(tmp_path)
    arguments = ["--photos", photos, "--labels", labels, "--output", tmp_path / "city"]
    (labels / "val" / "frankfurt" / "frankfurt_000001_000019_gtFine_color.png").unlink()
    code, _, err = run("prepare_cityscapes.py", *arguments)
    assert code == 2 and "frankfurt_000001_000019_gtFine_color.png for" in err and len(err.splitlines()) == 1
    bad = photos / "train" / "ulm" / "ulm_000000_000019_leftImg8bit.png"
    bad.write_bytes(bad.read_bytes()[:60])
    code, _, err = run("prepare_cityscapes.py", *arguments)
    assert code == 1 and str(bad) in err and len(err.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gtFine", "leftImg8bit"]
    code, _, err = run("prepare_cityscapes.py", "--photos", labels, "--labels", labels)
    assert code == 2 and "holds no <city>/*_leftImg8bit.png" in err
    assert run("prepare_cityscapes.py", "--photos", tmp_path / "none", "--labels", labels)[0] == 2
    assert run("prepare_cityscapes.py", *arguments, "--size", 0)[0] == 2


@pytest.mark.parametrize("test", ["val", "test"])
def test_afhq(run, tmp_path, test):
    for split, count in (("train", 3), (test, 2)):
        for animal in ("cat", "dog", "wild"):
            for number in range(count):
                paint(tmp_path / "afhq" / split / animal / f"{split}_{number}.png", (number, len(animal), 0))
    code, _, _ = run("prepare_afhq.py", "--afhq", tmp_path / "afhq", "--output", tmp_path / "cat2dog")
    assert code == 0 and tree(tmp_path / "cat2dog") == {"testA": 2, "testB": 2, "trainA": 3, "trainB": 3}
    cat = tmp_path / "afhq" / "train" / "cat" / "train_2.png"
    assert (tmp_path / "cat2dog" / "trainA" / "train_2.png").read_bytes() == cat.read_bytes()
    code, _, err = run("prepare_afhq.py", "--afhq", tmp_path / "afhq", "--output", tmp_path / "cat2dog")
    assert code == 2 and "is there already" in err
    run("prepare_afhq.py", "--afhq", tmp_path / "afhq", "--A", "wild", "--output", tmp_path / "wild2dog")
    assert (tmp_path / "wild2dog" / "testB" / f"{test}_1.png").exists()
    assert run("prepare_afhq.py", "--afhq", tmp_path / "afhq", "--A", "dog")[0] == 2
    assert run("prepare_afhq.py", "--afhq", tmp_path)[0] == 2


def test_gta(run, tmp_path):
    photos, _ = cityscapes(tmp_path)
    for number in range(1, 8):
        paint(tmp_path / "gta" / str(number % 2) / "images" / f"{number:05}.png", (number, 0, 0))
    arguments = ["--gta", tmp_path / "gta", "--photos", photos, "--output", tmp_path / "gta2city"]
    code, _, _ = run("prepare_gta.py", *arguments, "--test", 2)
    assert code == 0 and tree(tmp_path / "gta2city") == {"testA": 2, "testB": 2, "trainA": 5, "trainB": 3}
    assert {path.stem for path in (tmp_path / "gta2city" / "testA").iterdir()} == {"00006", "00007"}
    code, _, err = run("prepare_gta.py", *arguments[:4], "--output", tmp_path / "x")
    assert code == 2 and "--test is 500 of 7 frames" in err
    paint(tmp_path / "gta" / "again" / "00001.png")
    code, _, err = run("prepare_gta.py", *arguments[:4], "--output", tmp_path / "x", "--test", 1)
    assert code == 1 and "two images would be trainA/00001.png" in err and not (tmp_path / "x").exists()


def test_facades(run, tmp_path):
    for part, count in (("base", 3), ("extended", 2)):
        for number in range(count):
            photo = paint(tmp_path / "cmp" / part / part / f"cmp_{number}.jpg")
            label = Image.new("P", (40, 20), 1)
            label.putpalette([0, 0, 170, 0, 85, 255])
            label.save(photo.with_suffix(".png"))
    code, _, _ = run("prepare_facades.py", "--cmp", tmp_path / "cmp", "--output", tmp_path / "facades")
    assert code == 0 and tree(tmp_path / "facades") == {"testA": 2, "testB": 2, "trainA": 3, "trainB": 3}
    with Image.open(tmp_path / "facades" / "testB" / "cmp_1.png") as label:
        assert (label.mode, label.getpixel((5, 5))) == ("RGB", (0, 85, 255))
    (tmp_path / "cmp" / "base" / "base" / "cmp_0.png").unlink()
    code, _, err = run("prepare_facades.py", "--cmp", tmp_path / "cmp", "--output", tmp_path / "other")
    assert code == 2 and "has no label map cmp_0.png beside it" in err
    code, _, err = run("prepare_facades.py", "--cmp", tmp_path / "facades")
    assert code == 2 and "there is no base/*.jpg" in err
