"""Start the ranks of one machine, as torchrun does, for a program that was called with --ranks or --gpu_ids.

Every rank is this command once more, with a place in its environment.
"""

import os
import signal
import subprocess
import sys
import time
from types import FrameType

import torch.distributed as dist

from util.console import say
from util.distributed.lifeline import GRACE_SECONDS
from util.distributed.together import LAUNCHER
from util.runtime.signals import STOPPING

LAST_SECONDS = GRACE_SECONDS + 20   # for the others to end after one has ended with an error


def launch(ranks: int) -> int:
    """Run the ranks until all have ended. Returns the exit code.

    Signals that ask a run to end are passed on. The ranks have sessions of their own, so that a Ctrl-C
    reaches each of them once, by way of this process.
    """
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    processes: list[subprocess.Popen] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        for process in processes:
            if process.poll() is None:
                process.send_signal(number)

    for number in STOPPING:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, pass_on)
    for rank in range(ranks):
        processes.append(subprocess.Popen([sys.executable, *sys.orig_argv[1:]], start_new_session=True,
                                          env=os.environ | environment(rank, ranks, store.port)))
    return watch(processes)


def environment(rank: int, ranks: int, port: int) -> dict[str, str]:
    """What tells a process that it is one of so many ranks, which meet at a port of this machine.

    The cores are shared out, unless OMP_NUM_THREADS says how many threads each rank has.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    values = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "LOCAL_WORLD_SIZE": ranks,
              "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_USE_AGENT_STORE": True,
              LAUNCHER: os.getpid(),
              "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", max(1, cores // ranks))}
    return {name: str(value) for name, value in values.items()}


def watch(processes: list[subprocess.Popen]) -> int:
    """Wait for all; once one has ended with an error, the others have LAST_SECONDS. Returns an exit code."""
    deadline = float("inf")
    while any(process.poll() is None for process in processes):
        if deadline == float("inf") and any(process.returncode for process in processes):
            deadline = time.monotonic() + LAST_SECONDS
        if time.monotonic() > deadline:
            for process in processes:
                process.kill()
        time.sleep(0.05)
    codes = [process.returncode for process in processes]
    told = [code for code in codes if code > 0]
    if any(codes) and not told:         # no rank was left to say it
        killed = signal.Signals(-next(code for code in codes if code)).name
        say(f"{os.path.basename(sys.argv[0])}: error: the ranks were ended by {killed}; --continue_train "
            "goes on from the last save, if there was one", sys.stderr)
        return 1
    return told[0] if told else 0
