"""kill -9 whenever you like: the training that is started again ends as the undisturbed one does."""

import random
import time
from pathlib import Path

import pytest

from tests.faults.table import tally
from tests.faults.trainings import CUT, SHORT, Training, assert_equal

SAVE_CALLS = 13     # state: flush, two renamings, flush of the folder; G, F and D: flush, renaming, flush


def test_killed_at_random_moments(images: Path, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    kills = pytestconfig.getoption("--kills", 20)
    epochs = ["--n_epochs", str(kills), "--n_epochs_decay", "4", "--save_latest_freq", "2",
              "--save_epoch_freq", "10", "--num_threads", "0"]
    whole = Training(tmp_path / "whole", images, [*CUT, *epochs])
    assert whole.run().end() == 0
    training, moments = Training(tmp_path / "killed", images, [*CUT, *epochs]), random.Random(5)
    with tally("kill -9 at a random moment", kills):
        for _ in range(kills):
            program = training.start(resume=training.has_state)
            until = training.rows() + moments.randrange(8) - 2      # some before the first step
            program.until(lambda program=program, until=until: training.rows() >= until)
            time.sleep(moments.uniform(0, 0.1))                     # seconds; a step takes about 0.05
            assert program.alive, f"ended before it was killed: {program.err}"
            program.kill()
        assert training.run(resume=True).end() == 0
        assert_equal(training, whole)


def test_killed_at_every_step_of_a_save(images: Path, tmp_path: Path, undisturbed: Training) -> None:
    training = Training(tmp_path, images, SHORT)
    program = training.start_saved()
    program.kill()
    with tally("kill -9 within a save", SAVE_CALLS):
        for call in range(1, SAVE_CALLS + 1):
            assert training.run(resume=True, trap=("kill_in_save", call)).end() == -9
        assert training.run(resume=True).end() == 0
        assert_equal(training, undisturbed)


def test_killed_in_the_middle_of_writing_a_file(
        images: Path, tmp_path: Path, undisturbed: Training) -> None:
    training = Training(tmp_path, images, SHORT)
    program = training.start_saved()
    program.kill()
    state = (training.folder / "latest_state.pth").stat().st_size
    with tally("kill -9 within a write", 3):
        for size in (state // 10, state // 2, state - 1):
            assert training.run(resume=True, trap=("kill_at_size", size)).end() < 0
            assert list(training.folder.glob(".*.tmp")), "it did not die while it wrote"
        assert training.run(resume=True).end() == 0
        assert_equal(training, undisturbed)
