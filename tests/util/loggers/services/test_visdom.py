"""With a real server on the loopback interface; what it shows is read back over its own HTTP interface."""

import base64
import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from util.loggers.base import add_prefix
from util.loggers.services.outbox import QUEUED
from util.loggers.services.visdom import ANSWER_SECONDS, SEND_SECONDS, connect_visdom
from util.runtime.progress import Progress

pytest.importorskip("visdom")
pytestmark = pytest.mark.filterwarnings("ignore:The 'warn' method is deprecated")     # visdom's own
IMAGES = {"real_A": np.zeros((8, 16, 3), np.uint8), "fake_B": np.full((8, 16, 1), 200, np.uint8)}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(port: int, endpoint: str, message: dict) -> str:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/{endpoint}", json.dumps(message).encode())
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=5) as reply:
        return reply.read().decode()


@contextlib.contextmanager
def visdom_server(folder):
    """Its process and port."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", "from visdom.server.run_server import main; main()", "-port", str(port),
         "-bind_local", "-env_path", str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        give_up = time.monotonic() + 60
        while not answers(port):
            assert process.poll() is None and time.monotonic() < give_up
            time.sleep(0.05)
        yield process, port
    finally:
        process.kill()
        process.wait()


def answers(port: int) -> bool:
    try:
        ask(port, "env_state", {})
    except urllib.error.HTTPError:
        return True
    except (urllib.error.URLError, ConnectionError):
        return False
    return True


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One for all tests but those that harm it; each test takes windows of its own display_id."""
    with visdom_server(tmp_path_factory.mktemp("visdom")) as process_and_port:
        yield process_and_port


def connect(port: int, **changes):
    flags = {"server": "http://localhost", "port": port, "env": "main", "id": 5, "ncols": 4, "winsize": 256}
    return connect_visdom(Namespace(name="run", **add_prefix("display_", flags | changes)), Path("run"))


def at(images: int) -> Progress:
    progress = Progress(first_epoch=1, last_epoch=1)
    progress.advance(images)
    return progress


def windows(port: int, env: str = "main") -> dict:
    return json.loads(ask(port, "win_data", {"win": None, "eid": env}))


def curves(port: int, display_id: int, window: str = "losses") -> dict[str, list]:
    return {line["name"]: list(zip(line["x"], line["y"], strict=True))
            for line in windows(port)[f"{display_id}_{window}"]["content"]["data"]}


def test_curves_and_images_arrive(server, capsys):
    _, port = server
    log = connect(port)
    log.scalars(at(100), {"loss/G": 1.5, "loss/D": 0.5, "lr": 0.1, "seconds/data": 0.2})
    log.scalars(at(150), {"score/swd": 30.0, "count/fake": 5})
    log.scalars(at(200), {"loss/G": 1.25, "loss/D": float("inf")})
    log.images(at(200), IMAGES, "Epoch 1")
    log.close()
    assert curves(port, 5) == {"G": [(100, 1.5), (200, 1.25)], "D": [(100, 0.5), (200, None)]}
    assert curves(port, 5, "scores") == {"swd": [(150, 30.0)]}
    window = windows(port)["5_images"]["content"]
    assert window["caption"] == "Epoch 1: real_A, fake_B"
    panel = np.asarray(Image.open(io.BytesIO(base64.b64decode(window["src"].partition(",")[2]))))
    assert panel.shape == (8, 16 + 4 + 16, 3)
    assert (panel[:, :16] == 0).all() and (panel[:, 16:20] == 255).all() and (panel[:, 20:] == 200).all()
    output = capsys.readouterr()
    assert output.out == output.err == ""


def test_a_resumed_run_draws_its_history_and_a_new_loss_joins(server):
    _, port = server
    log = connect(port, id=6)
    log.start(at(200), [(100, {"loss/G": 3.0}), (150, {"score/swd": 9.0}), (200, {"loss/G": 2.0})])
    log.scalars(at(300), {"loss/G": 1.0})
    log.scalars(at(400), {"loss/G": 0.5, "loss/D": 7.0})
    log.scalars(at(400), {"score/swd": 8.0})
    log.close()
    assert curves(port, 6, "scores") == {"swd": [(150, 9.0), (400, 8.0)]}
    assert curves(port, 6) == {"G": [(100, 3.0), (200, 2.0), (300, 1.0), (400, 0.5)],
                               "D": [(100, None), (200, None), (300, None), (400, 7.0)]}


def test_without_columns_each_label_has_its_window(server):
    _, port = server
    log = connect(port, ncols=0, env="other")
    log.images(at(1), IMAGES, "Epoch 1")
    log.close()
    assert set(windows(port, "other")) == {"5_real_A", "5_fake_B"}


@pytest.mark.parametrize("display_id", [0, -1])
def test_off_says_nothing(display_id, capsys):
    assert connect(free_port(), id=display_id) is None
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("address", ["http://localhost", "nonsense://", "http://no.such.host.invalid"])
def test_no_server_is_one_line(address, capsys):
    began = time.perf_counter()
    assert connect(free_port(), server=address) is None
    assert time.perf_counter() - began < ANSWER_SECONDS + 1
    output = capsys.readouterr()
    assert output.out.startswith("visdom: not shown, no server answers at ") and output.out.count("\n") == 1
    assert output.err == ""


def test_a_package_that_does_not_import_is_one_line(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "visdom", None)            # Python's own way to forbid an import
    assert connect(free_port()) is None
    line = capsys.readouterr().out
    assert line.startswith("visdom: not shown, its package does not import (ModuleNotFoundError")


def longest_call(log, calls: int) -> float:
    """Seconds of the slowest of so many calls, among steps of a run."""
    slowest = 0.0
    for i in range(calls):
        began = time.perf_counter()
        log.scalars(at(i), {"loss/G": 1.0})
        log.images(at(i), IMAGES, "x")
        slowest = max(slowest, time.perf_counter() - began)
        time.sleep(0.002)
    return slowest


def test_a_killed_server_costs_one_line_and_no_time(tmp_path, capsys):
    with visdom_server(tmp_path) as (process, port):
        log = connect(port)
        log.scalars(at(0), {"loss/G": 1.0})
        process.kill()
        process.wait()
        assert longest_call(log, 100) < 0.5
        log.close()
    output = capsys.readouterr()
    assert output.out.startswith("visdom: shown no more, the server failed (") and output.out.count("\n") == 1
    assert output.err == ""


@contextlib.contextmanager
def stopped(process):
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)


def test_a_hanging_server_costs_no_time_and_bounded_memory(server, capsys):
    process, port = server
    log = connect(port, id=7)
    with stopped(process):
        assert longest_call(log, 2 * QUEUED) < 0.5
        began = time.perf_counter()
        log.close()
        assert time.perf_counter() - began < ANSWER_SECONDS + 0.5
    assert capsys.readouterr().out == "visdom: the server did not take the last messages in time\n"


def test_a_server_that_hangs_from_the_start_is_given_up(server, capsys):
    process, port = server
    began = time.perf_counter()
    with stopped(process):
        assert connect(port, id=8) is None
    assert time.perf_counter() - began < ANSWER_SECONDS + 1 < SEND_SECONDS
    assert "no server answers" in capsys.readouterr().out


def test_a_server_that_refuses_is_given_up(capsys):
    """Any HTTP server that is not visdom answers with an error."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not answers(port):
            time.sleep(0.05)
        assert connect(port) is None
    finally:
        process.kill()
        process.wait()
    assert "no server answers" in capsys.readouterr().out
