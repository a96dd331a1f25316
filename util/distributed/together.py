"""From the start to the end of a program that several ranks run: they meet, compare, and end together."""

import ctypes
import hashlib
import os
import signal
import socket
import sys
import threading
import time
import traceback
import warnings
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from util.distributed.lifeline import Lifeline
from util.distributed.place import TIMEOUT_SECONDS, Place, find_place
from util.errors import RunError, UsageError

TIMEOUT_FLAG = "--distributed_timeout"
HEARING_SECONDS = 5.0       # to learn why a collective operation broke
LAUNCHER = "CUT_LAUNCHER"   # the process that started the ranks, where --ranks did
# Options that are a rank's own.
OWN = {"gpu_ids", "num_threads", "cache_dir", "cache_limit", "verbose"}
PROGRAM = ("train.py", "test.py", "data", "models", "options", "util")


class Together:
    """The ranks that run this program together, as this one sees them."""

    def __init__(self, place: Place, store: dist.Store, lifeline: Lifeline):
        self.place, self._store, self.lifeline = place, store, lifeline
        self.kept: Callable[[], str] | None = None      # what of this run is saved, in words; "" for nothing
        lifeline.remedy = self._remedy

    def join(self, opt: Namespace) -> None:
        """Wait for all ranks, see that they were started alike, and connect them for collective operations.

        Raises RunError where one does not come, UsageError where one differs.
        """
        self.check_in({"options": _shown(opt), "program": program_digest(), "torch": torch.__version__},
                      opt.distributed_timeout)
        cuda = opt.device.type == "cuda"
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if cuda else "gloo", store=self._store, rank=self.place.rank,
            world_size=self.place.world_size, timeout=timedelta(seconds=opt.distributed_timeout),
            device_id=opt.device if cuda else None)

    def part(self) -> None:
        """Leave the others, at an end that all ranks come to."""
        self.lifeline.leave()
        if dist.is_initialized():
            dist.destroy_process_group()

    def _remedy(self) -> str:
        if self.kept is None:
            return ""
        if kept := self.kept():
            return f"; kept is {kept}: --continue_train goes on from there"
        return "; nothing of this run is saved yet: start it again"

    def check_in(self, facts: Mapping[str, Any], timeout: float) -> None:
        """Rank 0 compares what the ranks say of themselves, then lets all begin."""
        lifeline, flag = self.lifeline, f"{TIMEOUT_FLAG} {timeout:g} s"
        lifeline.check_in(facts)
        if self.place.rank:
            if not lifeline.wait_until(lambda: lifeline.go, timeout + HEARING_SECONDS):
                raise RankEnded() if lifeline.end else RunError(f"rank 0 did not begin within {flag}")
            return
        everyone = range(self.place.world_size)
        if not lifeline.wait_until(lambda: len(lifeline.here) == len(everyone), timeout):
            if lifeline.end:
                raise RankEnded()
            missing = [str(rank) for rank in everyone if rank not in lifeline.here]
            raise RunError(f"of {len(everyone)} ranks {', '.join(missing)} did not come within {flag}: see "
                           "whether they were started, and whether they reach this machine")
        for rank in everyone[1:]:
            compare(lifeline.here[0], lifeline.here[rank], lifeline.name(rank))
        lifeline.tell_all({"go": True})


@contextmanager
def together() -> Iterator[Together | None]:
    """Meet the other ranks; None for a process that works alone.

    Within the block an error of one rank ends all of them within seconds, with one line, by rank 0, and one
    exit code.
    """
    place = find_place()
    if place is None:
        yield None
        return
    _follow_launcher()
    if place.rank:
        _silence()
    met = meet(place, asked_timeout(sys.argv[1:]))
    try:
        yield met
    except SystemExit:
        met.part()
        raise
    except BaseException as error:
        raise_as_one(error, met.lifeline)
    else:
        met.part()


def meet(place: Place, timeout: float) -> Together:
    """Find the other ranks. timeout: seconds. Raises RunError where that does not succeed."""
    where, deadline = f"{place.address}:{place.port}", time.monotonic() + timeout
    serves = place.rank == 0 and not place.has_agent
    lifeline = Lifeline(place)
    try:
        if not serves:
            reach(place.address, place.port, deadline)
        store = dist.PrefixStore(f"attempt_{place.attempt}", open_store(place, serves, timeout))
        if place.rank == 0:
            store.set("lifeline", lifeline.listen())
        else:
            contact = store.get("lifeline").decode()
            lifeline.connect(contact, max(1.0, deadline - time.monotonic()))
    except (dist.DistError, OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        if serves:
            hint = f"; choose another MASTER_PORT than {place.port}" if "EADDRINUSE" in reason else ""
            raise RunError(f"rank 0 cannot listen at {where}: {_short(reason)}{hint}") from error
        raise RunError(f"rank {place.rank} found no rank 0 at {where} within {TIMEOUT_FLAG} {timeout:g} s: "
                       "start it, or see whether MASTER_ADDR and MASTER_PORT are its, and whether the "
                       "network lets them through") from error
    return Together(place, store, lifeline)


def reach(address: str, port: int, deadline: float) -> None:
    """Wait until somebody listens there, as torch's own waiting ends with a page about its functions.

    deadline: by time.monotonic. Raises OSError.
    """
    while True:
        try:
            socket.create_connection((address, port), max(0.1, deadline - time.monotonic())).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.1)


def open_store(place: Place, serves: bool, timeout: float) -> dist.Store:
    """What the ranks meet by: served by this process, or that of another one.

    torch waits without end where something else answers at the port, so it waits in a thread.
    timeout: seconds. Raises TimeoutError, and what torch raises.
    """
    outcome: list[dist.Store | Exception] = []

    def work() -> None:
        try:
            outcome.append(dist.TCPStore(place.address, place.port, is_master=serves, wait_for_workers=False,
                                         timeout=timedelta(seconds=timeout)))
        except (dist.DistError, OSError, RuntimeError) as error:
            outcome.append(error)

    thread = threading.Thread(target=work, name="store", daemon=True)
    thread.start()
    thread.join(timeout)
    if not outcome:
        raise TimeoutError(f"{place.address}:{place.port} does not answer")
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    return outcome[0]


def raise_as_one(error: BaseException, lifeline: Lifeline) -> None:
    """End this rank for an error: its own, which the others learn, or what another one's end has caused."""
    broken = not isinstance(error, UsageError | RunError | OSError | KeyboardInterrupt)
    if broken:              # perhaps a collective operation that another rank left
        lifeline.wait_until(lambda: False, HEARING_SECONDS)
    end, rank = lifeline.end, lifeline.place.rank
    if end and (broken or isinstance(error, RankEnded)):
        if lifeline.speaks():
            raise (UsageError if end.code == 2 else RunError)(end.line) from error
        raise SystemExit(end.code) from error
    if isinstance(error, KeyboardInterrupt):
        lifeline.announce(130, "")
        raise error
    code = 2 if isinstance(error, UsageError) else 1
    if broken:
        if "imed out" in str(error):
            error = RunError(f"rank {rank} waited for another one in vain, as long as {TIMEOUT_FLAG} says; "
                             "see whether all machines and processes are there")
        else:
            traceback.print_exc()
            error = RunError(f"met the error above: {type(error).__name__}")
    told = lifeline.announce(code, f"rank {rank}: {error}")
    if rank and (told or lifeline.end):
        raise SystemExit(code) from error
    raise error


class RankEnded(RunError):
    """Another rank has ended, and the lifeline knows how."""


def compare(ours: Mapping[str, Any], theirs: Mapping[str, Any], name: str) -> None:
    """Raise UsageError where a rank was started otherwise than rank 0."""
    for flag in sorted(ours["options"].keys() | theirs["options"].keys()):
        here, there = ours["options"].get(flag), theirs["options"].get(flag)
        if here != there:
            raise UsageError(f"{name} was started with --{flag} {there}, rank 0 with --{flag} {here}: start "
                             "all ranks with the same flags")
    if ours["torch"] != theirs["torch"]:
        raise UsageError(f"{name} has PyTorch {theirs['torch']}, rank 0 has {ours['torch']}: install one "
                         "version on all machines")
    if ours["program"] != theirs["program"]:
        raise UsageError(f"{name} runs other files of this program than rank 0: bring all machines to one "
                         "commit, or run one copy")


def program_digest() -> str:
    """Of the contents of this program's files."""
    root, digest = Path(__file__).resolve().parents[2], hashlib.sha256()
    for name in PROGRAM:
        for path in sorted((root / name).rglob("*.py")) if (root / name).is_dir() else [root / name]:
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def asked_timeout(argv: Sequence[str]) -> float:
    """The seconds of --distributed_timeout, before the command line is read in full."""
    seconds = TIMEOUT_SECONDS
    for word, behind in zip(argv, [*argv[1:], ""], strict=True):
        flag, _, value = word.partition("=")
        if flag == TIMEOUT_FLAG:
            with suppress(ValueError):      # which reading the command line will say
                seconds = max(1.0, float(value or behind))
    return seconds


def _shown(opt: Namespace) -> dict[str, str]:
    return {name: str(value) for name, value in opt.parsed.asked.items() if name not in OWN}


def _silence() -> None:
    """Let what this rank prints vanish, as rank 0 prints the same. What goes to stderr stays."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    warnings.simplefilter("ignore")


def _follow_launcher() -> None:
    """Where --ranks started this process, let it save and end when the process that did so is killed."""
    if os.environ.get(LAUNCHER) == str(os.getppid()) and sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)      # PR_SET_PDEATHSIG


def _short(reason: str) -> str:
    return reason if len(reason) < 200 else reason[:200] + "..."
