"""Forks scripts of the repository from one process that has torch imported: a start takes no seconds.

Reads one JSON object a line: script, arguments, log, trap. Answers with the process's number, and writes how
it ended to <log>.exit. Run by programs.py as a script, so that its folder is the first on the path.
"""

import importlib
import json
import os
import runpy
import select
import signal
import sys
from pathlib import Path

import traps

ROOT = Path(__file__).resolve().parents[2]
PRELOADED = ("data.single_dataset", "data.singleimage_dataset", "data.unaligned_dataset", "models.cut_model",
             "models.sincut_model", "options.test_options", "options.train_options", "util.loggers.gallery",
             "util.loggers.results", "util.loggers.run_log", "torch._dynamo")    # of the first optimizer


def serve() -> None:
    """Until stdin ends. Returns in each forked process as well, after its script."""
    running: dict[int, str] = {}
    while True:
        for pid in list(running):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                log = running.pop(pid)
                Path(f"{log}.part").write_text(str(os.waitstatus_to_exitcode(status)))
                os.replace(f"{log}.part", f"{log}.exit")
        if not select.select([0], [], [], 0.005)[0]:
            continue
        line = sys.stdin.readline()
        if not line:
            return
        job = json.loads(line)
        pid = os.fork()
        if pid == 0:
            run(**job)
            return
        running[pid] = job["log"]
        print(pid, flush=True)


def run(script: str, arguments: list[str], log: str, trap: list) -> None:
    """Become the script, in a process group of its own."""
    os.setsid()
    for descriptor, path, mode in ((0, os.devnull, os.O_RDONLY), (1, f"{log}.out", os.O_WRONLY | os.O_CREAT),
                                   (2, f"{log}.err", os.O_WRONLY | os.O_CREAT)):
        opened = os.open(path, mode)
        os.dup2(opened, descriptor)
        os.close(opened)
    signal.signal(signal.SIGINT, signal.default_int_handler)    # which jobs in the background begin without
    signal.signal(signal.SIGHUP, signal.SIG_DFL)                # which nohup takes away
    sys.argv = [script, *arguments]
    if trap:
        getattr(traps, trap[0])(*trap[1:])
    runpy.run_path(str(ROOT / script), run_name="__main__")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    for module in PRELOADED:
        importlib.import_module(module)
    serve()
