"""What a log shows of a long piece of work."""

import re

from util import console


def test_a_line_now_and_then_with_speed_and_time_left(capsys, monkeypatch):
    """100 things, one in two seconds, a line after every 60 seconds: at 30, 60 and 90."""
    now = [1000.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    with console.progress(100, "images") as lines:      # pytest's stderr is no terminal
        for _ in range(100):
            now[0] += 2
            lines.update(1)
    assert capsys.readouterr().out.splitlines() == [
        "30 of 100 images, 0.5 images/s, 02:20 left", "60 of 100 images, 0.5 images/s, 01:20 left",
        "90 of 100 images, 0.5 images/s, 00:20 left"]


def test_without_a_total_no_time_is_left(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    lines = console.ProgressLines(0, "frames", every=1)
    now[0] = 4.0
    lines.update(8)
    assert capsys.readouterr().out == "8 frames, 2 frames/s\n"


def test_a_terminal_gets_a_bar(capsys, monkeypatch):
    monkeypatch.setattr(console.sys.stderr, "isatty", lambda: True, raising=False)
    with console.progress(4, "frames") as bar:
        bar.update(4)
    assert re.search(r"100%.*4/4 .*frames", capsys.readouterr().err)
