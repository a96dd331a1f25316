"""Fixed test images: always the same ones, as the weights of then translate them, without a trace in them."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import train
from tests.exported import write_images
from util.errors import RunError, UsageError
from util.loggers.base import Logger
from util.loggers.fixed_images import FixedImages
from util.loggers.registry import LOGGERS

SMALL = ("--netG resnet_4blocks --netD n_layers --n_layers_D 1 --ngf 2 --ndf 2 --netF_nc 4 --num_patches 8 "
         "--nce_layers 0,4 --crop_size 16 --load_size 16 --gpu_ids -1 --num_threads 0 --display_id 0 "
         "--evaluation_freq 0 --update_html_freq 4 --n_epochs 2 --n_epochs_decay 0 --lr 0.01 "
         "--save_epoch_freq 1 --normG batch --no_dropout false").split()


class Watcher(Logger):
    """Keeps the fixed images."""

    def __init__(self):
        self.shown: list[tuple[int, dict]] = []

    def fixed_images(self, step, images):
        self.shown.append((step.total_images, {name: dict(of) for name, of in images.items()}))


@pytest.fixture
def root(tmp_path) -> Path:
    for i, (folder, count) in enumerate(dict(trainA=6, trainB=6, testA=3).items()):
        write_images(tmp_path / "data" / folder, count, seed=i)
    return tmp_path


def run(root: Path, monkeypatch, *flags: str, watched: bool = True) -> Watcher:
    watcher = Watcher()
    with monkeypatch.context() as patch:
        if watched:
            patch.setitem(LOGGERS, "watcher", lambda opt, folder: watcher)
        places = "--dataroot", str(root / "data"), "--checkpoints_dir", str(root), "--name", "run"
        patch.setattr(sys, "argv", ["train.py", *places, *SMALL, *flags])
        train.main()
    return watcher


def test_the_same_images_change_as_the_run_learns(root, monkeypatch):
    shown = run(root, monkeypatch, "--fixed_images", "2", "--no_html").shown
    assert [at for at, _ in shown] == [4, 6, 8, 12, 12]     # every 4 images, and the ends of two epochs of 6
    files = sorted((root / "data" / "testA").iterdir())[:2]
    for _, images in shown:
        assert list(images) == [path.stem for path in files]
        for path in files:
            assert np.array_equal(images[path.stem]["real_A"], np.asarray(Image.open(path).convert("RGB")))
            assert set(images[path.stem]) == {"real_A", "fake_B"}
    first, later = (np.stack([of["fake_B"] for of in shown[i][1].values()]) for i in (0, 2))
    assert first.shape == (2, 16, 16, 3) and not np.array_equal(first, later)


def test_the_averages_of_ema_translate_them_too(root, monkeypatch):
    _, images = run(root, monkeypatch, "--ema", "8", "--no_html").shown[-1]
    assert len(images) == 3
    for of in images.values():
        assert list(of) == ["real_A", "fake_B", "fake_B_ema"]
        assert not np.array_equal(of["fake_B"], of["fake_B_ema"])


def test_they_leave_no_trace_in_the_weights(root, monkeypatch):
    """With dropout and batch norm, which a careless translation would disturb."""
    states = []
    for watched in (True, False):
        run(root, monkeypatch, "--no_html", watched=watched)
        states.append(torch.load(root / "run" / "latest_state.pth", weights_only=True))
    one, other = (state["model"]["networks"] for state in states)
    assert all(torch.equal(one[net][name], other[net][name]) for net in one for name in one[net])


def test_none_are_none(root, monkeypatch):
    assert run(root, monkeypatch, "--fixed_images", "0", "--no_html").shown == []


@pytest.mark.parametrize("error", [
    RunError("none can be read"), UsageError("the model asks the data for 'mask'"), FileNotFoundError("gone"),
    torch.OutOfMemoryError("too little")])
def test_images_that_fail_are_given_up_in_one_line(error, capsys):
    class Inputs:
        folder = Path("data/testA")

        def batches(self):
            raise error

    class Log:
        calls = 0

        def fixed_images(self, progress, translate):
            self.calls += 1
            assert translate() == {}

    log, fixed = Log(), FixedImages(Inputs(), seed=0)
    fixed.show(None, None, log)
    fixed.show(None, None, log)
    assert log.calls == 1
    line = capsys.readouterr().out
    assert line.count("\n") == 1 and "the fixed test images of data/testA are shown no more" in line
