"""The ranks of one training as real processes."""

import os
import socket
import sys
from pathlib import Path

from tests.faults.programs import Program
from tests.faults.trainings import Training

ONCE = "ends; kept is"      # what a run says that a signal has ended


class Ranks:
    """Two processes, or more, that train one model on the CPU."""

    def __init__(self, training: Training, *more: str, count: int = 2, resume: bool = False,
                 traps: dict[int, tuple] | None = None, flags: dict[int, list[str]] | None = None,
                 port: int | None = None, absent: tuple[int, ...] = (),
                 environment: dict[str, str] | None = None):
        """more: flags of all ranks; flags, traps: of some, by rank. absent: those that are not started."""
        port = port or free_port()
        self.training = training
        self.programs: dict[int, Program] = {}
        for rank in range(count):
            if rank not in absent:
                trap = ("be_rank", rank, count, port, environment or {}, list((traps or {}).get(rank, ())))
                own = (flags or {}).get(rank, [])
                self.programs[rank] = training.start(*more, *own, trap=trap, resume=resume)

    def __getitem__(self, rank: int) -> Program:
        return self.programs[rank]

    def end(self) -> list[int]:
        """Their exit codes."""
        return [program.end() for program in self.programs.values()]

    def until_rows(self, rows: int) -> None:
        """Wait until rank 0 has written so many steps."""
        assert self[0].until(lambda: self.training.stepped(self[0], rows)), self.said

    @property
    def said(self) -> list[str]:
        """Lines that any of them wrote to stderr, but for those of PyTorch's own log."""
        return [line for program in self.programs.values() for line in program.err.splitlines()
                if not line.startswith(("[W", "[E", "[rank"))]

    @property
    def out(self) -> str:
        return "".join(program.out for program in self.programs.values())


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def torchrun(*flags: str) -> list[str]:
    """The command before the script."""
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", *flags]


def ranks_of(launcher: int) -> list[int]:
    """The processes that a launcher has started, in their order."""
    children = Path(f"/proc/{launcher}/task/{launcher}/children")
    return sorted(int(pid) for pid in children.read_text().split())


def rank_number(pid: int) -> str | None:
    """RANK in a process's environment; None of one that has none."""
    words = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return next((word.decode().removeprefix("RANK=") for word in words if word.startswith(b"RANK=")), None)


def environment_of_one_thread() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1"}
