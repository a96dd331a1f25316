"""Programs that run for a bounded time, really: their output, their end, and their children's."""

import os
import sys
import time
from pathlib import Path

import pytest

from scripts.benchmarks.processes import TimeUp, last_line, run_bounded


def test_what_it_prints_and_its_exit_code(tmp_path):
    code = "import sys; print('one'); print('two', file=sys.stderr); sys.exit(3)"
    assert run_bounded([sys.executable, "-c", code], tmp_path / "log") == 3
    assert last_line(tmp_path / "log") in ("one", "two")


def test_it_and_its_children_end_with_the_time(tmp_path):
    """A child that would outlive its parent writes its number first."""
    code = ("import os, subprocess, sys, time, pathlib\n"
            "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
            f"pathlib.Path({str(tmp_path / 'child')!r}).write_text(str(child.pid))\n"
            "time.sleep(600)")
    with pytest.raises(TimeUp, match="ended after 3 s"):
        run_bounded([sys.executable, "-c", code], tmp_path / "log", seconds=3)
    assert ended(int((tmp_path / "child").read_text()))


def ended(pid: int) -> bool:
    """Whether the process is gone, or dead and not yet collected, within five seconds."""
    for _ in range(100):
        try:
            os.kill(pid, 0)
            if "State:\tZ" in Path(f"/proc/{pid}/status").read_text():
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.05)
    return False
