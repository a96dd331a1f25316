"""Two trainings of one name."""

import json
import os
import signal
import time
from pathlib import Path

from tests.faults.table import tally
from tests.faults.trainings import SHORT, Training, assert_equal


def test_second_training_is_refused(images: Path, tmp_path: Path, undisturbed: Training) -> None:
    training = Training(tmp_path, images, SHORT)
    with tally("second training of a name: refused"):
        first = training.start()
        assert first.until(lambda: training.stepped(first))
        second = training.run()
        assert second.end() == 2
        line, = second.err.splitlines()
        assert f"process {first.pid} on {os.uname().nodename}" in line and "--force" in line
        assert first.end() == 0
        assert_equal(training, undisturbed)


def test_forced_training_takes_the_place(images: Path, tmp_path: Path, undisturbed: Training) -> None:
    """The first one ends before it would write over the second one's state."""
    training = Training(tmp_path, images, [*SHORT, "--save_latest_freq", "1000"])
    with tally("second training of a name, forced: the first ends"):
        first = training.start(trap=("wait_in_step", 3, True))
        assert first.until(lambda: training.stepped(first, 2))
        second = training.run("--save_latest_freq", "4", "--force")
        assert second.end() == 0, second.err
        first.signal(signal.SIGTERM)
        assert first.end() == 1 and "another run took" in first.err
        assert training.kept()["total_images"] == 24


def test_lock_of_a_killed_training_is_no_hindrance(
        images: Path, tmp_path: Path, undisturbed: Training) -> None:
    training = Training(tmp_path, images, [*SHORT, "--num_threads", "2"])
    with tally("lock left by kill -9"):
        first = training.start_saved()
        first.kill()                                # its workers live on for a while
        assert (training.folder / "lock.json").exists()
        assert training.run(resume=True).end() == 0
        assert_equal(training, undisturbed)


def test_lock_of_another_machine(images: Path, tmp_path: Path) -> None:
    training = Training(tmp_path, images, SHORT)
    training.folder.mkdir(parents=True)
    lock = training.folder / "lock.json"
    with tally("lock of another machine: minded while it is touched", 2):
        lock.write_text(json.dumps({"pid": 1, "host": "elsewhere", "since": "yesterday"}))
        program = training.run()
        assert program.end() == 2 and "process 1 on elsewhere since yesterday" in program.err
        long_ago = time.time() - 3600
        os.utime(lock, (long_ago, long_ago))
        assert training.run().end() == 0


def test_fresh_start_keeps_the_earlier_run(images: Path, tmp_path: Path, undisturbed: Training) -> None:
    """--continue_train forgotten: what the earlier run had reached is not lost."""
    training = Training(tmp_path, images, SHORT)
    with tally("--continue_train forgotten"):
        training.stop_after(15)
        done = training.kept()["total_images"]
        second = training.start("--seed", "4")
        assert second.until(lambda: training.has_state and training.kept()["total_images"] == 4)
        second.signal(signal.SIGTERM)
        assert second.end() == 143 and "--continue_train --epoch earlier" in second.out
        third = training.run("--epoch", "earlier", "--seed", "3", resume=True)
        assert third.end() == 0
        assert f"goes on at epoch {done // 6 + 1}, image {done % 6 + 1} of it" in third.out
        for name in "GFD":
            path = f"latest_net_{name}.pth"
            assert (training.folder / path).read_bytes() == (undisturbed.folder / path).read_bytes()
