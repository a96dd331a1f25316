"""A new logger is one class and one line in the table: it gets all that a run reports."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import train
from tests.exported import write_images
from util.loggers.base import Logger
from util.loggers.registry import LOGGERS

SMALL = ("--netG resnet_4blocks --netD n_layers --n_layers_D 1 --ngf 2 --ndf 2 --netF_nc 4 --num_patches 8 "
         "--nce_layers 0,4 --crop_size 16 --load_size 16 --gpu_ids -1 --num_threads 0 --display_id 0 "
         "--print_freq 2 --evaluation_freq 3 --update_html_freq 4 --n_epochs_decay 0 --save_epoch_freq 1"
         ).split()


class Memory(Logger):
    """Keeps everything in memory."""

    def __init__(self, opt, folder: Path):
        self.name, self.folder, self.calls = opt.name, folder, []

    def start(self, step, history):
        self.calls.append(("start", step.total_images, list(history)))

    def scalars(self, step, values):
        self.calls.append(("scalars", step.total_images, dict(values)))

    def images(self, step, images, caption):
        self.calls.append(("images", step.total_images, dict(images)))

    def close(self):
        self.calls.append(("close", None, None))

    def of(self, kind: str) -> list[tuple]:
        return [call[1:] for call in self.calls if call[0] == kind]


@pytest.fixture
def made(monkeypatch) -> list[Memory]:
    """The loggers that are made because of one more line in the table."""
    made: list[Memory] = []
    monkeypatch.setitem(LOGGERS, "memory", lambda opt, folder: made.append(Memory(opt, folder)) or made[-1])
    return made


@pytest.fixture
def run(tmp_path, monkeypatch, made):
    """Runs train.py, and returns the additional logger."""
    for i, (folder, count) in enumerate(dict(trainA=4, trainB=4, testA=2, testB=2).items()):
        write_images(tmp_path / "data" / folder, count, seed=i)

    def start(*more: str) -> Memory:
        places = "--dataroot", str(tmp_path / "data"), "--checkpoints_dir", str(tmp_path), "--name", "run"
        monkeypatch.setattr(sys, "argv", ["train.py", *places, *SMALL, *more])
        train.main()
        return made[-1]
    return start


def rows(folder: Path, name: str) -> list[dict]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def test_it_gets_losses_scores_images_and_the_end(run, tmp_path):
    memory = run("--n_epochs", "2")
    assert (memory.name, memory.folder) == ("run", tmp_path / "run")
    assert [call[0] for call in memory.calls].count("close") == 1 and memory.calls[-1][0] == "close"
    assert memory.calls[0] == ("start", 0, [])

    losses = [(images, values) for images, values in memory.of("scalars") if "lr" in values]
    assert [images for images, _ in losses] == [2, 4, 6, 8]
    for (_, values), row in zip(losses, rows(memory.folder, "stats.jsonl"), strict=True):
        assert values.pop("seconds/compute") > 0 and values.pop("seconds/data") > 0
        assert values == {"lr": 0.0002} | {f"loss/{name}": loss for name, loss in row["losses"].items()}

    scores = [(images, values) for images, values in memory.of("scalars") if "lr" not in values]
    counts = {"count/fake": 2, "count/real": 2}
    assert scores == [(row["total_images"], {"score/swd": row["metrics"]["swd"], **counts})
                      for row in rows(memory.folder, "evaluations.jsonl")]
    assert [images for images, _ in scores] == [3, 6]

    images = memory.of("images")
    assert [at for at, _ in images] == [4, 4, 8, 8]         # --update_html_freq, and the end of the epoch
    for label, pixels in images[-1][1].items():
        saved = Image.open(memory.folder / "web" / "images" / f"epoch002_{label}.png")
        assert np.array_equal(np.asarray(saved), pixels)


def test_a_resumed_run_hands_it_what_was_reported_before(run):
    run("--n_epochs", "1")
    memory = run("--n_epochs", "2", "--continue_train")
    (at, history), = memory.of("start")
    assert at == 4 and [images for images, _ in history] == [2, 3, 4]
    assert history[1][1] == {"score/swd": rows(memory.folder, "evaluations.jsonl")[0]["metrics"]["swd"]}
    assert "loss/G_GAN" in history[0][1]


def test_it_is_closed_when_the_run_fails(run, made, monkeypatch):
    monkeypatch.setattr(train.BaseModel, "train_step", lambda self, batch: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run("--n_epochs", "1")
    assert [call[0] for call in made[0].calls] == ["start", "close"]
