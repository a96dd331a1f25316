"""The process that runs the package wandb for a training.

Messages come on stdin, lines for people go to stdout. The first message is a dict: name, folder, config, new
(false: the run of that folder goes on). Each other one is a pair: images seen, and values by name, numbers or
uint8 [H, W, 3]. All are packed by messages.py; None is the last.
"""

import json
import os
import queue
import signal
import sys
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from util.atomic import write_text
from util.console import say
from util.loggers.services.messages import unpack

INIT_SECONDS = 30       # for the server to open the run
LAST_SECONDS = 300      # for it to take the rest, once the training has ended without waiting for it


def main() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)       # it ends when stdin does: the training decides
    messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(messages,), daemon=True).start()
    first = messages.get()
    if first is None:
        return
    try:
        _report(first, messages)
    except Exception as error:      # whatever the package does, one line tells it
        say(f"shown no more, it failed ({type(error).__name__}: {' '.join(str(error).split())[:300]})")
        os._exit(1)                 # its hooks would wait for a server


def _receive(messages: "queue.SimpleQueue[Any]") -> None:
    """Read without a pause, so that the training's pipe never fills."""
    with suppress(ValueError):      # the training died within a message
        for line in sys.stdin.buffer:
            messages.put(unpack(line))
    messages.put(None)
    time.sleep(LAST_SECONDS)
    os._exit(1)


def _report(first: dict[str, Any], messages: "queue.SimpleQueue[Any]") -> None:
    record = Path(first["folder"]) / "reported.json"
    known = {} if first["new"] else _read(record)
    run_id, reported = known.get("id", uuid.uuid4().hex[:8]), known.get("images", -1)
    run = _open(first, run_id)
    import wandb
    newest = reported
    while message := messages.get():
        images, values = message
        if images <= reported:          # a resumed run reports some moments again
            continue
        run.log({name: wandb.Image(value, file_type="jpg") if isinstance(value, np.ndarray) else value
                 for name, value in values.items()}, step=images)
        if images > newest:
            newest = images
            with suppress(OSError):
                write_text(record, json.dumps({"id": run_id, "images": images}) + "\n")
    run.finish()


def _read(record: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(record.read_text()))
    except (OSError, ValueError, TypeError):
        return {}


def _open(first: dict[str, Any], run_id: str) -> Any:
    """The run, online where there is a key and a server that answers, else offline; says which."""
    import wandb
    mode = os.environ.get("WANDB_MODE") or ("online" if wandb.api.api_key else "offline")
    settings = wandb.Settings(silent=True, console="off", init_timeout=INIT_SECONDS, disable_code=True,
                              disable_git=True, mode=mode)
    wanted = {"project": os.environ.get("WANDB_PROJECT", "cut"), "name": first["name"], "id": run_id,
              "dir": str(Path(first["folder"]).parent), "config": first["config"], "resume": "allow"}
    try:
        run = wandb.init(**wanted, settings=settings)
    except Exception as error:      # the package has an error for each way of failing
        if mode != "online":
            raise
        say(f"the server does not open the run ({type(error).__name__}); it is kept offline")
        mode = "offline"
        run = wandb.init(**wanted, settings=settings.model_copy(update={"mode": mode}))
    where = run.url if mode == "online" else f"kept offline; wandb sync {Path(run.dir).parent} sends it"
    say(f"run {run_id}, {where}")
    return run


if __name__ == "__main__":
    main()
