"""The comparison of two ways to read an image: both really, where torchvision is installed."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "benchmark.py"


def run(folder: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, str(SCRIPT), "decoding", str(folder), "--rounds", "2"]
    return subprocess.run(command, capture_output=True, text=True)


def test_both_ways_read_the_same_image(tmp_path):
    """One that needs no resizing, stored without loss, so that nothing may differ."""
    pixels = np.random.default_rng(0).integers(0, 256, (286, 286, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "noise.png")
    done = run(tmp_path)
    if importlib.util.find_spec("torchvision") is None:
        assert done.returncode == 2 and "pip install -r requirements-eval.txt" in done.stderr
        return
    assert re.search(r"^Pillow +\d+\.\d\d ms", done.stdout, re.M), done.stderr
    assert re.search(r"^torchvision +\d+\.\d\d ms", done.stdout, re.M)
    assert "largest difference 0.0 grey levels" in done.stdout


def test_a_folder_that_is_not_there(tmp_path):
    done = run(tmp_path / "none")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and "there is no folder" in done.stderr
