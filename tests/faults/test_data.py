"""Pictures, and the processes that read them, that go away while a training runs."""

import os
import shutil
import signal
from pathlib import Path

from PIL import Image

from tests.faults.table import tally
from tests.faults.trainings import SHORT, Training, assert_equal


def test_data_worker_killed(pictures: Path, tmp_path: Path, undisturbed: Training) -> None:
    training = Training(tmp_path, pictures, [*SHORT, "--num_threads", "2"])
    with tally("kill -9 of a data worker: saved, exit code 1"):
        program = training.start()
        assert program.until(lambda: training.stepped(program, 7))
        os.kill(program.workers()[0], signal.SIGKILL)
        assert program.end() == 1
        assert len(program.err.splitlines()) == 1 and "was killed (SIGKILL)" in program.err
        assert training.kept()["total_images"] == training.rows() >= 7
        assert training.run(resume=True).end() == 0
        assert_equal(training, undisturbed)


def test_folder_vanishes(own_pictures: Path, tmp_path: Path, undisturbed: Training) -> None:
    training = Training(tmp_path, own_pictures, SHORT)
    with tally("data folder gone: saved, exit code 1"):
        program = training.start()
        assert program.until(lambda: training.stepped(program, 3))
        (own_pictures / "trainA").rename(own_pictures / "away")
        assert program.end() == 1
        assert program.err.splitlines()[-1].startswith("train.py: error: the folder")
        assert "trainA' is gone" in program.err
        assert training.kept()["total_images"] == training.rows() >= 3
        (own_pictures / "away").rename(own_pictures / "trainA")
        assert training.run(resume=True).end() == 0
        assert_equal(training, undisturbed)


def test_pictures_replaced(own_pictures: Path, tmp_path: Path) -> None:
    """By others, of another size and kind, one by a text: what is read is what lies there."""
    training = Training(tmp_path, own_pictures, SHORT)
    with tally("pictures replaced while it trains"):
        program = training.start()
        assert program.until(lambda: training.stepped(program, 2))
        for number in range(5):
            Image.new("L", (50 + number, 90), number).save(own_pictures / "trainA" / f"{number}.png")
        (own_pictures / "trainA" / "5.png").write_text("no picture")
        assert program.end() == 0
        assert program.err.count("bad picture") == 1 and "5.png" in program.err
        assert training.rows() == 24


def test_pictures_added_between_two_runs(own_pictures: Path, tmp_path: Path) -> None:
    training = Training(tmp_path, own_pictures, SHORT)
    with tally("pictures added before resuming"):
        training.stop_after(8)
        for number in range(3):
            shutil.copy(own_pictures / "trainA" / "0.png", own_pictures / "trainA" / f"more{number}.png")
        program = training.run(resume=True)
        assert program.end() == 0
        assert "an epoch had 6 images, now 9" in program.out


def test_pictures_removed_between_two_runs(own_pictures: Path, tmp_path: Path) -> None:
    """So many that the epoch which was begun has fewer images than it had seen."""
    training = Training(tmp_path, own_pictures, SHORT)
    with tally("pictures removed before resuming"):
        training.stop_after(4)
        for side in ("trainA", "trainB"):
            for number in range(2, 6):
                (own_pictures / side / f"{number}.png").unlink(missing_ok=True)
        program = training.run(resume=True)
        assert program.end() == 0
        assert "an epoch had 6 images, now 2" in program.out
