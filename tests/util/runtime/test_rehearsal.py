"""train.py --dry_run: what it says is counted by hand, and nothing is written."""

import re
import sys
from pathlib import Path

import pytest

import train
from tests.exported import write_images
from util.errors import UsageError
from util.runtime import rehearsal
from util.runtime.progress import Progress

SMALL = ("--netG resnet_4blocks --netD n_layers --n_layers_D 1 --ngf 2 --ndf 2 --netF_nc 4 --num_patches 8 "
         "--nce_layers 0,4 --crop_size 16 --load_size 16 --gpu_ids -1 --num_threads 0 --logger none "
         "--n_epochs 3 --n_epochs_decay 2 --batch_size 2").split()


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    for i, (folder, count) in enumerate(dict(trainA=7, trainB=5, testA=2, testB=2).items()):
        write_images(tmp_path / "data" / folder, count, seed=i)
    monkeypatch.chdir(tmp_path)

    def start(*more: str) -> str:
        monkeypatch.setattr(sys, "argv", ["train.py", "--dataroot", "data", "--name", "run", *SMALL, *more])
        train.main()
        return capsys.readouterr().out
    return start


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() if path.is_file() else b""
            for path in root.rglob("*")}


def test_the_plan_is_printed_and_nothing_written(run, tmp_path):
    before = contents(tmp_path)
    said = run("--dry_run", "--cache", "disk")
    assert contents(tmp_path) == before
    assert "A: 7 images in data/trainA" in said and "B: 5 images in data/trainB" in said
    assert "A: 3 x 16 x 16 in a step's 2, read well" in said
    assert "checkpoints take up to" in said and "memory: " in said and "losses after 12 steps: " in said
    assert "evaluates swd every 5000 images, 2 of data/testA against 2 of data/testB" in said
    assert re.search(r"plan: 5 epochs of 6 images, 15 steps of 2; at [\d.e-]+ s a step", said)
    assert said.endswith("leave out --dry_run to begin\n")


def test_a_run_to_be_resumed_stays_as_it_is(run, tmp_path):
    run("--n_epochs", "1", "--n_epochs_decay", "0")
    before = contents(tmp_path)
    said = run("--dry_run", "--continue_train")
    assert contents(tmp_path) == before
    assert "goes on at epoch 2" in said and "plan: 4 epochs of 6 images, 12 steps of 2" in said


def test_it_is_no_option_of_the_run_that_follows(run, tmp_path):
    """Which goes on from the record of a run whose last start may have been a rehearsal."""
    run("--n_epochs", "1", "--n_epochs_decay", "0")
    said = run("--continue_train", "--n_epochs", "2", "--n_epochs_decay", "0")
    assert "End of epoch 2 / 2" in said


def test_hours_are_steps_times_seconds():
    progress = Progress(first_epoch=3, last_epoch=4, images_per_epoch=900)
    progress.epoch_images = 300
    assert rehearsal.plan(progress, images=4, seconds=9.6) == (
        "plan: 2 epochs of 900 images, 375 steps of 4; at 9.6 s a step (0.417 images/s) 1.0 hours, "
        "evaluations and saves aside")


def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(rehearsal.os, "access", lambda path, mode: path != tmp_path)
    with pytest.raises(UsageError, match=f"{tmp_path} cannot be written to; .* --checkpoints_dir"):
        rehearsal.check_writable(tmp_path / "checkpoints" / "run")
