"""Training and test.py on images of more than 8 bits: the depth goes through from file to file."""

import json
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.translator import Translator
from tests import adversarial

ROOT = Path(__file__).parents[3]
TINY = (*adversarial.SMALL, "--netF_nc", "4", "--num_patches", "8", "--display_id", "0")
SHORT = ("--n_epochs", "1", "--n_epochs_decay", "0")
GREY = ("--input_nc", "1", "--output_nc", "1")


def paint(root: Path, extension: str, low: float, high: float, dtype: str, shape: tuple[int, ...]) -> None:
    random = np.random.default_rng(0)
    for folder in ("trainA", "trainB", "testA", "testB"):
        (root / folder).mkdir(parents=True)
        for number in range(2):
            values = random.uniform(low, high, shape).astype(dtype)
            path = root / folder / f"{number}{extension}"
            np.save(path, values) if extension == ".npy" else Image.fromarray(values).save(path)


def program(monkeypatch, root: Path, script: str, *flags: str) -> None:
    results = ["--results_dir", str(root / "results")] if script == "test.py" else []
    monkeypatch.setattr(sys, "argv", [
        script, "--dataroot", str(root / "data"), "--name", "run", "--gpu_ids", "-1", "--num_threads", "0",
        "--checkpoints_dir", str(root), *results, *flags])
    runpy.run_path(str(ROOT / script), run_name="__main__")


@pytest.mark.parametrize("extension,dtype,low,high,value_range", [
    (".png", "uint16", 0, 65535, "auto"), (".png", "uint16", 0, 4095, "0:4095"),
    (".npy", "float32", -1000, 2000, "-1000:2000"), (".npy", "int16", -32768, 32767, "auto")])
def test_a_run_keeps_the_depth(tmp_path, monkeypatch, extension, dtype, low, high, value_range):
    """Trained, its test images scored and shown, translated: what is written is G's output, exactly."""
    paint(tmp_path / "data", extension, low, high, dtype, (18, 22))
    program(monkeypatch, tmp_path, "train.py", *TINY, *GREY, f"--value_range={value_range}", *SHORT,
            "--evaluation_freq", "2", "--evaluation_metrics", "swd")
    run = tmp_path / "run"
    assert json.loads((run / "evaluations.jsonl").read_text().splitlines()[-1])["metrics"]
    program(monkeypatch, tmp_path, "test.py", "--preprocess", "none")
    images = tmp_path / "results" / "run" / "test_latest" / "images"
    translate = Translator.load(run, device="cpu")
    for number in range(2):
        source = tmp_path / "data" / "testA" / f"{number}{extension}"
        given = np.load(source) if extension == ".npy" else np.asarray(Image.open(source))
        path = images / "fake_B" / source.name
        made = np.load(path) if extension == ".npy" else np.asarray(Image.open(path))
        assert made.dtype == dtype and made.shape == (18, 22)
        scaled = (given.astype(np.float64) - low) / (high - low) * 2 - 1
        exact = translate(torch.from_numpy(scaled.astype(np.float32))[None])[0].double().numpy()
        exact = (exact + 1) / 2 * (high - low) + low
        assert np.abs(made - exact).max() <= (0.5001 if dtype != "float32" else 1e-3) + (high - low) * 1e-6
        shown = np.asarray(Image.open(images / "fake_B" / f"{number}.png"))
        assert shown.shape == (18, 22) and shown.dtype == (np.uint16 if extension == ".png" else np.uint8)
        if dtype != "int16":    # in arrays of other types a Translator counts as the run does
            assert np.abs(translate(given).astype(np.float64) - made).max() <= 1 + (high - low) * 1e-6
            assert np.array_equal(translate(source), translate(str(source)))
    assert not (images / "real_A" / "0.npy").exists()
    assert "images/fake_B/0.png" in (images.parent / "index.html").read_text()


def test_colour_networks_write_16_bit_colour(tmp_path, monkeypatch):
    """Grey in, as the network sees colour; Pillow shows the high bytes of what is written."""
    paint(tmp_path / "data", ".png", 0, 65535, "uint16", (16, 16))
    program(monkeypatch, tmp_path, "train.py", *TINY, *SHORT, "--value_range", "auto")
    program(monkeypatch, tmp_path, "test.py", "--preprocess", "none")
    path = tmp_path / "results" / "run" / "test_latest" / "images" / "fake_B" / "0.png"
    assert path.read_bytes()[24:26] == bytes([16, 2])       # PNG's bit depth and colour type
    tensor = np.asarray(Image.open(tmp_path / "data" / "testA" / "0.png")).astype(np.float32) / 32767.5 - 1
    made = Translator.load(tmp_path / "run", device="cpu")(torch.from_numpy(tensor)[None])
    levels = ((made.double() + 1) * 32767.5).round().permute(1, 2, 0).numpy().astype(np.uint16)
    assert np.abs((levels >> 8).astype(int) - np.asarray(Image.open(path)).astype(int)).max() <= 1


@pytest.mark.parametrize("flags,words", [
    (["--value_range", "9:1"], "--value_range is '9:1'"),
    (["--value_range", "auto"], "--value_range is auto, but there are numbers of float32"),
    (["--value_range", "auto", "--augment", "rotate90"], "does not work with --augment rotate90"),
    (["--value_range", "auto", "--cache", "ram"], "does not work with --cache ram"),
    (["--value_range", "auto", "--companions", "a=trainA"], "does not work with --companions a=trainA"),
    ([], r"should hold domain A's images \(\.jpg .*\), but holds 0.npy, 1.npy")], ids=str)
def test_what_cannot_be_trained_gets_one_line(tmp_path, monkeypatch, capsys, flags, words):
    paint(tmp_path / "data", ".npy", 0, 1, "float32", (16, 16))
    with pytest.raises(SystemExit) as ended:
        program(monkeypatch, tmp_path, "train.py", *TINY, *flags)
    error = capsys.readouterr().err
    assert ended.value.code == 2 and re.search(words, error) and error.count("\n") == 1
    assert not (tmp_path / "run").exists()
