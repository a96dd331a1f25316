"""Where this process stands among those that train one model together, as its environment says."""

import os
import socket
from typing import NamedTuple

from util.errors import UsageError

# What torchrun sets for every process that it starts, and util/distributed/launch.py too.
NEEDED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")

TIMEOUT_SECONDS = 600.0     # --distributed_timeout, where it is not typed


class Place(NamedTuple):
    """rank: from 0, of world_size processes. local_rank: from 0, of the local_world_size processes on this
    machine. address, port: where all of them meet. has_agent: whether the program that started them listens
    there; else rank 0 does. attempt: how often they were started again after one had ended.
    """

    rank: int
    world_size: int
    local_rank: int
    local_world_size: int
    address: str
    port: int
    has_agent: bool
    attempt: int


def find_place() -> Place | None:
    """This process's place; None for one that works alone. Raises UsageError for numbers that cannot be."""
    if not all(os.environ.get(name) for name in NEEDED):
        return None
    rank, world, local, port = (number(name) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_PORT"))
    if not 0 <= rank < max(world, 1):
        raise UsageError(f"the environment has RANK={rank} and WORLD_SIZE={world}: ranks count from 0 to "
                         "WORLD_SIZE - 1")
    if not 0 < port < 2 ** 16:
        raise UsageError(f"the environment has MASTER_PORT={port}: give a free port from 1 to {2 ** 16 - 1}")
    if world <= 1:
        return None
    return Place(rank, world, local, number("LOCAL_WORLD_SIZE", world), os.environ["MASTER_ADDR"], port,
                 os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
                 number("TORCHELASTIC_RESTART_COUNT", 0))


def number(name: str, default: int | None = None) -> int:
    """A variable of the environment. Raises UsageError where it holds no number."""
    text = os.environ.get(name, str(default))
    if not text.isdecimal():
        raise UsageError(f"the environment has {name}={text!r}, which must be a number from 0: start the "
                         "ranks by torchrun or --ranks")
    return int(text)


def launch_name() -> str:
    """What names this launch in all its attempts where torchrun starts processes again; "" elsewhere."""
    if not number("TORCHELASTIC_MAX_RESTARTS", 0):
        return ""
    name = os.environ.get("TORCHELASTIC_RUN_ID", "none")
    return name if name != "none" else f"{socket.gethostname()} {os.getppid()}"


def is_restarted() -> bool:
    """Whether torchrun started this process again after one of the ranks had ended."""
    return number("TORCHELASTIC_RESTART_COUNT", 0) > 0
