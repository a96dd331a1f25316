import contextlib
import errno
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from util.loggers.base import Logger
from util.loggers.gallery import Gallery
from util.loggers.run_log import RunLog
from util.runtime.progress import Progress

ROOT = Path(__file__).parents[3]

PROGRAM = """
import sys, time, torch
from pathlib import Path
from util.console import say
from util.runtime.progress import Progress
from util.loggers.run_log import RunLog
progress = Progress(first_epoch=1, last_epoch=2)
with RunLog(Path(sys.argv[1]), progress, images_in_total=40, loggers={}) as log:
    for epoch in progress.remaining_epochs():
        for _ in log.timed(range(10)):
            time.sleep(0.02)
            progress.advance(2)
            log.step(progress)
            if progress.crossed(10):
                log.losses(progress, {"G": torch.tensor(1.5), "D": torch.tensor(0.25)}, lr=1e-3)
        log.epoch_end(progress)
        say("a note")
        progress.end_epoch()
"""


def visuals(batch: int) -> dict[str, torch.Tensor]:
    return {"real_A": torch.full((batch, 3, 4, 6), -1.0), "fake_B": torch.full((batch, 1, 4, 6), 1.0)}


def run(folder, progress, steps, loggers=None):
    log = RunLog(folder, progress, images_in_total=8, loggers=loggers or {})
    for _ in log.timed(range(steps)):
        progress.advance(2)
        log.step(progress)
        log.losses(progress, {"G": torch.tensor(progress.total_images / 4), "D": torch.tensor(0.1)}, lr=1e-3)
    log.images(progress, visuals(3), keep=True)
    log.close()


def test_without_a_terminal_the_lines_are_printed(tmp_path, capsys):
    run(tmp_path, Progress(first_epoch=1, last_epoch=1), 4)
    printed = capsys.readouterr()
    log = (tmp_path / "loss_log.txt").read_text().splitlines()
    assert printed.out.splitlines() == log[1:] and printed.err == ""
    assert re.fullmatch(r"\(epoch: 1, iters: 8, time: \d\.\d+, data: \d\.\d+\) G: 2\.000 D: 0\.100", log[-1])


def test_losses_are_returned_and_kept_to_the_last_bit(tmp_path):
    progress = Progress(first_epoch=1, last_epoch=1)
    progress.advance(2)
    with RunLog(tmp_path, progress, images_in_total=8, loggers={}) as log:
        loss = torch.tensor(0.1, requires_grad=True)
        assert log.losses(progress, {"G": loss}, lr=1e-3) == {"G": float(np.float32(0.1))}
    assert json.loads((tmp_path / "stats.jsonl").read_text())["losses"]["G"] == float(np.float32(0.1))


def test_all_samples_of_the_batch_are_in_the_gallery(tmp_path):
    run(tmp_path, Progress(first_epoch=7, last_epoch=7), 1, {"gallery": Gallery(tmp_path / "web", "t", 64)})
    with Image.open(tmp_path / "web/images/epoch007_real_A.png") as image:
        assert image.size == (18, 4) and image.mode == "RGB"
    with Image.open(tmp_path / "web/images/epoch007_fake_B.png") as image:
        assert image.size == (18, 4) and image.mode == "L"
    assert "epoch 7" in (tmp_path / "web/index.html").read_text()


class Images(Logger):
    """Remembers the labels and sizes of the images that reach it, and their captions."""

    def __init__(self, live: bool):
        self.live, self.seen = live, []

    def images(self, step, images, caption):
        self.seen.append(({label: pixels.shape for label, pixels in images.items()}, caption))


def test_live_loggers_get_all_images_and_the_others_those_to_keep(tmp_path):
    live, keeping, progress = Images(live=True), Images(live=False), Progress(first_epoch=1, last_epoch=5)
    progress.advance(1200)
    with RunLog(tmp_path, progress, images_in_total=8, loggers={"a": live, "b": keeping}) as log:
        log.images(progress, visuals(2), keep=False)
        log.images(progress, visuals(1), keep=True)
    first, second = [({"real_A": (4, width, 3), "fake_B": (4, width, 1)}, "Epoch 1 of 5, 1,200 images seen")
                     for width in (12, 6)]
    assert live.seen == [first, second] and keeping.seen == [second]


class Full(Logger):
    """A logger on a full disk."""

    live = True

    def fail(self, *_):
        raise OSError(errno.ENOSPC, "No space left on device")

    start = scalars = images = close = fail


def test_a_logger_that_fails_is_named_and_stops_nothing(tmp_path, capsys):
    after = Images(live=False)
    run(tmp_path, Progress(first_epoch=3, last_epoch=3), 1, {"full": Full(), "after": after})
    said = [line for line in capsys.readouterr().out.splitlines() if "(epoch" not in line]
    assert said == [f"{what} are not in the full: No space left on device"
                    for what in ("earlier values", "values of image 2", "images of epoch 3")]
    assert len(after.seen) == 1 and "G: 0.500" in (tmp_path / "loss_log.txt").read_text()


def test_on_a_terminal_there_is_a_bar_and_notes_stand_on_lines_of_their_own(tmp_path):
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 160, 0, 0))      # rows, columns
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path)], stdout=slave, stderr=slave,
                               cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)})
    os.close(slave)
    shown = b""
    with contextlib.suppress(OSError):              # Linux's way to say that the other end is closed
        while chunk := os.read(master, 65536):
            shown += chunk
    os.close(master)
    assert process.wait() == 0
    screen = shown.decode()
    bars = re.findall(r"epoch 2/2 +\d+%\|.*?40, +[\d.]+ images/s, [\d:]+ left, G 1\.500 D 0\.250 "
                      r"time \d\.\d{3} data \d\.\d{3}", screen)
    assert bars, screen
    assert "(epoch:" not in screen                  # the bar says it
    for note in ("a note", "End of epoch 1 / 2, 0 s"):
        assert any(line.split("\r")[-1] == note for line in screen.replace("\r\n", "\n").split("\n")), note
