"""Start a module of this project as a process beside the training."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def start_module(module: str, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
    """A process with pipes for stdin and stdout; its stderr is lost.

    environment: variables for where the user has not set them. Its stdin ends with this process, also after
    kill -9, and that should end it. Signals to this process's terminal do not reach it.
    """
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, start_new_session=True,
        env={**environment, **os.environ, "PYTHONPATH": path})
