"""A visdom server that hangs or dies changes neither the result nor, but for its first seconds, the time."""

import socket
from pathlib import Path

import pytest

from tests.faults.slow_server import server
from tests.faults.table import tally
from tests.faults.trainings import SHORT, Training, assert_equal

pytest.importorskip("visdom")


def train(folder: Path, images: Path, port: int) -> Training:
    flags = ["--display_id", "1", "--display_server", "http://127.0.0.1", "--display_port", str(port)]
    training = Training(folder, images, [*SHORT, *flags, "--display_freq", "1"])
    program = training.run()
    assert program.end() == 0, program.err
    return training


def test_server_that_hangs(images: Path, tmp_path: Path, undisturbed: Training) -> None:
    with tally("visdom hangs in the middle"), server(answers=8) as port:
        assert_equal(train(tmp_path, images, port), undisturbed)


def test_server_that_never_answers(images: Path, tmp_path: Path, undisturbed: Training) -> None:
    with tally("visdom never answers"), socket.create_server(("127.0.0.1", 0)) as silent:
        assert_equal(train(tmp_path, images, silent.getsockname()[1]), undisturbed)


def test_server_that_dies(images: Path, tmp_path: Path, undisturbed: Training) -> None:
    flags = ["--display_id", "1", "--display_server", "http://127.0.0.1", "--display_freq", "1"]
    with tally("visdom dies in the middle"):
        with server(answers=10**6) as port:
            training = Training(tmp_path, images, [*SHORT, *flags, "--display_port", str(port)])
            program = training.start()
            assert program.until(lambda: training.stepped(program, 5))
        assert program.end() == 0, program.err
        assert_equal(training, undisturbed)
