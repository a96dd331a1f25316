"""The run on Weights & Biases: its server where there is a key for it, else files that `wandb sync` sends.

W&B's own environment variables choose: WANDB_MODE (online, offline), WANDB_PROJECT, WANDB_ENTITY.
"""

import contextlib
import subprocess
import threading
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

from util.checkpoints.run_record import git_commit
from util.console import say
from util.loggers.base import History, Logger, NamedImages, Values, curves, fixed_grid
from util.loggers.services.messages import pack
from util.loggers.services.outbox import Outbox
from util.loggers.services.process import start_module
from util.runtime.progress import Progress

FINISH_SECONDS = 10.0       # for W&B to take what is left at the end


def open_wandb(opt: Namespace, folder: Path) -> "Wandb":
    """The logger of a run. opt.parsed.asked and the commit become its config."""
    return Wandb(opt.name, folder / "wandb", dict(opt.parsed.asked) | {"git_commit": git_commit()})


class Wandb(Logger):
    """Curves, the fixed test images, the options and the commit. A step of W&B is an image seen.

    The package runs in a process of its own, wandb_process.py: it catches signals, hooks into Python's exit
    and may wait for its server, none of which a training may feel. A resumed run goes on under the same id,
    and leaves out what was reported already.
    """

    def __init__(self, name: str, folder: Path, config: dict[str, Any]):
        self._settings = {"name": name, "folder": str(folder), "config": config}
        self._process: subprocess.Popen[bytes] | None = None
        self._outbox = Outbox("wandb", self._send)

    def start(self, step: Progress, history: History) -> None:
        Path(self._settings["folder"]).mkdir(parents=True, exist_ok=True)
        self._process = start_module("util.loggers.services.wandb_process", WANDB_ERROR_REPORTING="false")
        self._listener = threading.Thread(target=self._say_what_it_says, daemon=True)
        self._listener.start()
        self._outbox.put({**self._settings, "new": not step.total_images})
        for images, values in history:
            self._put_curves(images, values)

    def scalars(self, step: Progress, values: Values) -> None:
        self._put_curves(step.total_images, values)

    def fixed_images(self, step: Progress, images: NamedImages) -> None:
        self._outbox.put((step.total_images, {"test images": fixed_grid(images)}), may_be_lost=True)

    def close(self) -> None:
        """Give W&B FINISH_SECONDS to take what is left; what its server did not take stays in the folder."""
        if not self._process:
            return
        give_up = time.monotonic() + FINISH_SECONDS
        try:
            self._outbox.put(None)      # its stdin may stay open: forked data workers hold it too
            self._outbox.close(FINISH_SECONDS)
            self._process.wait(max(give_up - time.monotonic(), 0))
            self._listener.join(1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            self._outbox.close(1)           # its pipe is broken now
            self._listener.join(1)
            say(f"wandb: not all was taken in time; wandb sync {self._settings['folder']}/*run-* sends it")

    def _put_curves(self, images: int, values: Values) -> None:
        if shown := curves(values):
            self._outbox.put((images, shown))

    # ---- on threads

    def _send(self, message: Any) -> None:
        """What cannot be sent is lost: its process has died, or could not be started."""
        with contextlib.suppress(BrokenPipeError):
            if self._process:
                self._process.stdin.write(pack(message))
                self._process.stdin.flush()

    def _say_what_it_says(self) -> None:
        for line in self._process.stdout:
            say(f"wandb: {line.decode(errors='replace').rstrip()}")
