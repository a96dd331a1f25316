"""Images, and the processes that read them, that go away while a training runs."""

import os
import shutil
import signal
from pathlib import Path

from PIL import Image

from tests.faults.table import tally
from tests.faults.trainings import SHORT, Training, assert_equal


def test_data_worker_killed(images: Path, tmp_path: Path, undisturbed: Training) -> None:
    training = Training(tmp_path, images, [*SHORT, "--num_threads", "2"])
    with tally("kill -9 of a data worker: saved, exit code 1"):
        program = training.start()
        assert program.until(lambda: training.stepped(program, 7))
        os.kill(program.workers()[0], signal.SIGKILL)
        assert program.end() == 1
        assert len(program.err.splitlines()) == 1 and "was killed (SIGKILL)" in program.err
        assert training.kept()["total_images"] == training.rows() >= 7
        assert training.run(resume=True).end() == 0
        assert_equal(training, undisturbed)


def test_folder_vanishes(own_images: Path, tmp_path: Path, undisturbed: Training) -> None:
    training = Training(tmp_path, own_images, SHORT)
    with tally("data folder gone: saved, exit code 1"):
        program = training.start()
        assert program.until(lambda: training.stepped(program, 3))
        (own_images / "trainA").rename(own_images / "away")
        assert program.end() == 1
        assert program.err.splitlines()[-1].startswith("train.py: error: the folder")
        assert "trainA' is gone" in program.err
        assert training.kept()["total_images"] == training.rows() >= 3
        (own_images / "away").rename(own_images / "trainA")
        assert training.run(resume=True).end() == 0
        assert_equal(training, undisturbed)


def test_images_replaced(own_images: Path, tmp_path: Path) -> None:
    """By others, of another size and kind, one by a text: what is read is what lies there."""
    training = Training(tmp_path, own_images, SHORT)
    with tally("images replaced while it trains"):
        program = training.start()
        assert program.until(lambda: training.stepped(program, 2))
        for number in range(5):
            Image.new("L", (50 + number, 90), number).save(own_images / "trainA" / f"{number}.png")
        (own_images / "trainA" / "5.png").write_text("no image")
        assert program.end() == 0
        assert program.err.count("bad image") == 1 and "5.png" in program.err
        assert training.rows() == 24


def test_images_added_between_two_runs(own_images: Path, tmp_path: Path) -> None:
    training = Training(tmp_path, own_images, SHORT)
    with tally("images added before resuming"):
        training.stop_after(8)
        for number in range(3):
            shutil.copy(own_images / "trainA" / "0.png", own_images / "trainA" / f"more{number}.png")
        program = training.run(resume=True)
        assert program.end() == 0
        assert "an epoch had 6 images, now 9" in program.out


def test_images_removed_between_two_runs(own_images: Path, tmp_path: Path) -> None:
    """So many that the epoch which was begun has fewer images than it had seen."""
    training = Training(tmp_path, own_images, SHORT)
    with tally("images removed before resuming"):
        training.stop_after(4)
        for side in ("trainA", "trainB"):
            for number in range(2, 6):
                (own_images / side / f"{number}.png").unlink(missing_ok=True)
        program = training.run(resume=True)
        assert program.end() == 0
        assert "an epoch had 6 images, now 2" in program.out
