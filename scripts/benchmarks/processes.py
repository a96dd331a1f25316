"""Run a program for at most so long, and never leave it or a child of it behind."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from util.errors import RunError


class TimeUp(RunError):
    """The program was ended because its time was over."""


def run_bounded(command: Sequence[str], log: Path, *, seconds: float | None = None,
                cwd: str | Path | None = None, environment: dict[str, str] | None = None) -> int:
    """Run a command; what it prints goes to `log`. Returns its exit code; raises TimeUp after `seconds`.

    It leads a process group, which is killed as a whole when the time is up or this program is interrupted.
    seconds: None for a program that may take as long as it wants.
    """
    with open(log, "wb") as stream:
        process = subprocess.Popen(command, cwd=cwd, env=environment, stdout=stream, stderr=subprocess.STDOUT,
                                   stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        raise TimeUp(f"ended after {seconds:.0f} s, when its time was over") from None
    finally:
        kill_group(process)


def kill_group(process: subprocess.Popen) -> None:
    """Kill a process that leads a group, and what is left of the group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def last_line(log: Path) -> str:
    """The last line that a program printed, where Python says what went wrong."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip()[:300] if lines else "it printed nothing"
