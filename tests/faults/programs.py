"""train.py and test.py as real processes, to be watched, signalled and killed."""

import atexit
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

PATIENCE = 180.0        # seconds for anything to happen on a busy machine


@cache
def _server() -> subprocess.Popen:
    """The process that forks the others; it ends with its stdin."""
    server = subprocess.Popen([sys.executable, str(Path(__file__).with_name("server.py"))], text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    atexit.register(lambda: (server.stdin.close(), server.wait()))
    return server


class Program:
    """One process that runs a script of the repository; what it prints goes to <log>.out and .err."""

    def __init__(self, script: str, arguments: list[str], log: Path, trap: tuple = ()):
        """trap: name of a function of traps.py, to be called ahead of the script, and its arguments."""
        self._log = str(log)
        job = {"script": script, "arguments": arguments, "log": self._log, "trap": trap}
        server = _server()
        server.stdin.write(json.dumps(job) + "\n")
        server.stdin.flush()
        self.pid = int(server.stdout.readline())

    @property
    def out(self) -> str:
        return self._said("out")

    @property
    def err(self) -> str:
        return self._said("err")

    def _said(self, stream: str) -> str:
        path = Path(f"{self._log}.{stream}")
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def alive(self) -> bool:
        return not Path(f"{self._log}.exit").exists()

    def end(self) -> int:
        """Wait for the end; the exit code, or minus the number of the signal that ended it."""
        self.until(lambda: not self.alive)
        return int(Path(f"{self._log}.exit").read_text())

    def until(self, condition: Callable[[], bool]) -> bool:
        """Wait until something holds; False if the process ended before."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if not self.alive:
                return condition()
            if time.monotonic() > deadline:
                self.signal(signal.SIGKILL)
                raise TimeoutError(f"it said {self.out[-2000:]} {self.err[-2000:]}")
            time.sleep(0.005)
        return True

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def signal_all(self, number: int) -> None:
        """To the process and its workers, as a scheduler does."""
        os.killpg(self.pid, number)

    def workers(self) -> list[int]:
        """The processes that it has forked."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.end()
