"""A visdom server that hangs or dies changes neither the result nor, but for its first seconds, the time."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.faults.table import tally
from tests.faults.trainings import SHORT, Training, assert_equal

pytest.importorskip("visdom")


@contextmanager
def server(answers: int) -> Iterator[int]:
    """A server that answers so many requests and then lets every other one wait for ever. Yields its port."""
    left, closing = [answers], threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            left[0] -= 1
            if left[0] < 0:
                closing.wait()
                return
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"win")

        def log_message(self, *arguments: object) -> None:
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.daemon_threads = True
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield running.server_address[1]
    closing.set()
    running.shutdown()
    running.server_close()


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
