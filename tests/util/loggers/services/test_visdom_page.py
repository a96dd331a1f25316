"""visdom's own page in a real browser: --display_server auto, Chromium, windows drawn."""

import json
import re
import shutil
import subprocess
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

from util.loggers.base import add_prefix
from util.loggers.services import visdom_server
from util.loggers.services.visdom import connect_visdom
from util.runtime.progress import Progress

pytest.importorskip("visdom")
pytestmark = pytest.mark.filterwarnings("ignore:The 'warn' method is deprecated")     # visdom's own
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def at(images: int) -> Progress:
    progress = Progress(first_epoch=1, last_epoch=1)
    progress.advance(images)
    return progress


@pytest.fixture
def auto(tmp_path, capsys):
    """The windows on a server of their own, and its port, which a line tells."""
    flags = {"server": "auto", "port": 0, "env": "main", "id": 5, "ncols": 4, "winsize": 256}
    log = connect_visdom(Namespace(name="run", **add_prefix("display_", flags)), tmp_path)
    assert log._answered.wait(visdom_server.START_SECONDS)
    yield log, int(re.search(r"http://127\.0\.0\.1:(\d+) until the run ends", capsys.readouterr().out)[1])
    log.close()


def report(log, images: int) -> None:
    picture = np.full((8, 16, 3), 200, np.uint8)
    log.scalars(at(images), {"loss/G": 1.5, "lr": 0.1, "seconds/compute": 0.5, "score/swd": 30.0})
    log.images(at(images), {"real_A": picture, "fake_B": picture}, "Epoch 1")
    log.fixed_images(at(images), {"one": {"real_A": picture, "fake_B": picture}})


def delivered(log) -> None:
    """Waits until all is sent; the outbox of these tests then takes no more."""
    assert log._outbox.close(seconds=30)


def page(port: int, folder: Path) -> str:
    command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-proxy-server",
               f"--user-data-dir={folder / 'chromium'}", "--virtual-time-budget=20000", "--dump-dom",
               f"http://127.0.0.1:{port}/"]
    return subprocess.run(command, capture_output=True, text=True, timeout=120).stdout


def test_the_page_of_its_own_server_is_served_and_the_server_ends_with_the_run(auto):
    windows, port = auto
    assert visdom_server.answers(port)
    windows.close()
    assert not visdom_server.answers(port)


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium here")
def test_chromium_draws_the_windows(auto, tmp_path):
    windows, port = auto
    if not visdom_server.has_scripts():
        pytest.skip("visdom's page has no scripts here: the command `visdom` fetches them once")
    report(windows, 100)
    delivered(windows)
    drawn = page(port, tmp_path)
    titles = set(re.findall(r"run: ([a-z ]+)", drawn))
    assert titles == {"losses", "scores", "learning rate", "speed", "images", "test images"}
    assert drawn.count("js-plotly-plot") == 4 and len(re.findall(r'<img[^>]*src="data:image', drawn)) == 2


def test_a_server_that_was_killed_is_started_again_and_has_the_whole_curves(auto, monkeypatch, capsys):
    windows, _ = auto
    monkeypatch.setattr("util.loggers.services.visdom.RETRY_SECONDS", 0.0)
    for images in (100, 200):
        report(windows, images)
    windows._local._process.kill()
    windows._local._process.wait()
    for images in (300, 400):
        report(windows, images)
    delivered(windows)
    said = capsys.readouterr().out.splitlines()
    assert sum("visdom: shown no more" in line for line in said) == 1 and said[-1] == "visdom: shown again"
    shown = json.loads(windows._client.get_window_data(win="5_losses", env="main"))
    assert shown["content"]["data"][0]["x"] == [100, 200, 300, 400]
