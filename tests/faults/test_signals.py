"""Signals that ask a training to end: it finishes the step, saves, and says so by its exit code."""

import re
import signal
import time
from pathlib import Path

import pytest

from tests.faults.programs import Program
from tests.faults.table import tally
from tests.faults.trainings import SHORT, Training, assert_equal

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGUSR1: 138, signal.SIGHUP: 129}


@pytest.mark.parametrize("number", CODES)
def test_saves_within_seconds_and_ends(number: signal.Signals, images: Path, tmp_path: Path) -> None:
    training = Training(tmp_path, images, [*SHORT, "--save_latest_freq", "1000"])
    with tally(f"{number.name}: saves, exit code {CODES[number]}"):
        program = training.start()
        assert program.until(lambda: training.stepped(program, 2))
        program.signal(number)
        sent = time.monotonic()
        assert program.end() == CODES[number]
        assert time.monotonic() - sent < 20     # seconds; about 0.1 on a machine that is not busy
        assert f"{number.name}: ends; kept is epoch 1" in program.out and not program.err
        assert training.kept()["total_images"] == training.rows() < 6


def test_scheduler_signals_workers_too(images: Path, tmp_path: Path, undisturbed: Training) -> None:
    training = Training(tmp_path, images, [*SHORT, "--num_threads", "2"])
    with tally("SIGTERM to the workers as well"):
        program = training.start()
        assert program.until(lambda: training.stepped(program, 8))
        program.signal_all(signal.SIGTERM)
        assert program.end() == 143, program.err
        assert training.run(resume=True).end() == 0
        assert_equal(training, undisturbed)


def test_second_ctrl_c_ends_at_once(images: Path, tmp_path: Path) -> None:
    training = Training(tmp_path, images, SHORT)
    with tally("second Ctrl-C: ends at once"):
        program = training.start(trap=("wait_in_step", 3))
        assert program.until(lambda: training.stepped(program, 2))
        program.signal(signal.SIGINT)
        assert program.until(lambda: not is_caught(program, signal.SIGINT))     # the first has arrived
        program.signal(signal.SIGINT)
        assert program.end() == -signal.SIGINT
        assert not training.has_state


def is_caught(program: Program, number: int) -> bool:
    """Whether the process handles a signal itself."""
    status = Path(f"/proc/{program.pid}/status").read_text()
    mask = int(re.search(r"SigCgt:\s*(\w+)", status)[1], 16)
    return bool(mask >> (number - 1) & 1)


def test_terminal_that_goes_away(images: Path, tmp_path: Path, undisturbed: Training) -> None:
    """As when the other end of `train.py | tee log` is killed: nobody reads, the training goes on."""
    training = Training(tmp_path, images, SHORT)
    with tally("nobody reads what it prints"):
        assert training.run(trap=("print_into_a_closed_pipe",)).end() == 0
        assert_equal(training, undisturbed)
