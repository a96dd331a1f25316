import contextlib
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

from util.loggers.run_log import RunLog
from util.runtime.progress import Progress

ROOT = Path(__file__).parents[3]

TRAINING = """
import sys, time, torch
from pathlib import Path
from util.runtime.progress import Progress
from util.loggers.run_log import RunLog
progress = Progress(first_epoch=1, last_epoch=2)
with RunLog(folder=Path(sys.argv[1]), name="run", progress=progress, images_in_total=40) as log:
    for epoch in progress.remaining_epochs():
        for _ in log.timed(range(10)):
            time.sleep(0.02)
            progress.advance(2)
            log.step(progress)
            if progress.crossed(10):
                log.losses(progress, {"G": torch.tensor(1.5), "D": torch.tensor(0.25)})
        log.epoch_end(progress)
        log.note("a note")
        progress.end_epoch()
"""


def visuals(batch: int) -> dict[str, torch.Tensor]:
    return {"real_A": torch.full((batch, 3, 4, 6), -1.0), "fake_B": torch.full((batch, 1, 4, 6), 1.0)}


def run(folder, progress, steps, **kwargs):
    log = RunLog(folder=folder, name="run", progress=progress, images_in_total=8, **kwargs)
    for _ in log.timed(range(steps)):
        progress.advance(2)
        log.step(progress)
        log.losses(progress, {"G": torch.tensor(progress.total_images / 4), "D": torch.tensor(0.1)}, lr=1e-3)
    log.images(progress, visuals(3), save=True)
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
    with RunLog(folder=tmp_path, name="run", progress=progress, images_in_total=8) as log:
        loss = torch.tensor(0.1, requires_grad=True)
        assert log.losses(progress, {"G": loss}) == {"G": float(np.float32(0.1))}
    assert json.loads((tmp_path / "stats.jsonl").read_text())["losses"]["G"] == float(np.float32(0.1))


def test_all_samples_of_the_batch_are_in_the_gallery(tmp_path):
    run(tmp_path, Progress(first_epoch=7, last_epoch=7), 1)
    with Image.open(tmp_path / "web/images/epoch007_real_A.png") as image:
        assert image.size == (18, 4) and image.mode == "RGB"
    with Image.open(tmp_path / "web/images/epoch007_fake_B.png") as image:
        assert image.size == (18, 4) and image.mode == "L"
    assert "epoch 7" in (tmp_path / "web/index.html").read_text()


def test_no_gallery_on_request_and_none_without_save(tmp_path):
    run(tmp_path / "off", Progress(first_epoch=1, last_epoch=1), 1, gallery=False)
    with RunLog(folder=tmp_path / "unsaved", name="run", progress=Progress(first_epoch=1, last_epoch=1),
                images_in_total=8) as log:
        log.images(Progress(first_epoch=1, last_epoch=1), visuals(1), save=False)
    assert not (tmp_path / "off/web").exists() and not (tmp_path / "unsaved/web").exists()


def test_on_a_terminal_there_is_a_bar_and_notes_stand_on_lines_of_their_own(tmp_path):
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 160, 0, 0))      # rows, columns
    process = subprocess.Popen([sys.executable, "-c", TRAINING, str(tmp_path)], stdout=slave, stderr=slave,
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
