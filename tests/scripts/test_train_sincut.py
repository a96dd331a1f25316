"""train_sincut.sh: what it runs and what it refuses. A script that records stands in for the environment."""

import json
import shutil
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from options.test_options import TestOptions
from options.train_options import TrainOptions

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder with the script and a .venv whose python writes down the arguments it is called with."""
    folder = tmp_path / "a b"
    (folder / "scripts/environment").mkdir(parents=True)
    shutil.copy(ROOT / "scripts/train_sincut.sh", folder / "scripts")
    (folder / "scripts/environment/setup_venv.sh").touch()
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / "images").mkdir()
    python = folder / ".venv/bin/python"
    python.write_text(f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n")
    python.chmod(0o755)
    return folder


def run(copy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "scripts/train_sincut.sh", *arguments], cwd=copy, text=True,
                          capture_output=True)


def parsed(copy: Path, *arguments: str) -> tuple[Namespace, Namespace]:
    """The options of the training and of the translation that the script starts."""
    done = run(copy, *arguments)
    assert done.returncode == 0, done.stderr
    (train, *train_flags), (test, *test_flags) = map(json.loads, done.stdout.splitlines())
    assert (train, test) == ("train.py", "test.py")
    return TrainOptions().parse(train_flags), TestOptions().parse(test_flags)


def test_as_published(copy):
    train, test = parsed(copy, "images", "etretat")
    assert (train.model, train.name, train.dataroot) == ("sincut", "etretat", str(copy / "images"))
    assert (train.n_epochs, train.n_epochs_decay, train.crops_per_epoch) == (8, 8, 100_000)
    assert (test.model, test.name, test.dataroot) == (train.model, train.name, train.dataroot)


@pytest.mark.parametrize("length,crops", [("--short", 48_000), ("--glance", 4_000)])
def test_shortened(copy, length, crops):
    train, _ = parsed(copy, "images", "etretat", length, "--batch_size", "2")
    assert train.crops_per_epoch * (train.n_epochs + train.n_epochs_decay) == crops
    assert (train.netG, train.nce_layers, train.batch_size) == ("smallstylegan2", "0,2", 2)


@pytest.mark.parametrize("arguments,words", [
    ([], "DATAROOT NAME"), (["images"], "DATAROOT NAME"), (["images", "--short"], "DATAROOT NAME"),
    (["nowhere", "etretat"], "'nowhere'"),
])
def test_what_is_missing_is_named(copy, arguments, words):
    done = run(copy, *arguments)
    assert done.returncode == 2 and words in done.stderr and not done.stdout
