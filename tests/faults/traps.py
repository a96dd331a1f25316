"""What a forked process does to itself before it becomes a training; imported by server.py."""

import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

KILL = signal.SIGKILL


def kill_in_save(number: int) -> None:
    """kill -9 just before call `number` (from 1) within saves, of those that make a file whole: the flush to
    the disk, the renaming, the flush of the folder."""
    from util.checkpoints.training_state import TrainingState
    save, calls, saving = TrainingState.save, 0, False

    def trapped(function: Callable) -> Callable:
        def call(*arguments: Any) -> Any:
            nonlocal calls
            calls += saving
            if calls == number:
                os.kill(os.getpid(), KILL)
            return function(*arguments)
        return call

    def watched(*arguments: Any) -> None:
        nonlocal saving
        saving = True
        save(*arguments)
        saving = False

    os.fsync, os.replace, TrainingState.save = trapped(os.fsync), trapped(os.replace), watched


def kill_at_size(size: int) -> None:
    """The system kills the process when a file of its grows beyond `size` bytes: in the middle of a write."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def limit_file_size(size: int) -> None:
    """Files beyond `size` bytes are refused, as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def limit_memory(size: int) -> None:
    """No more than `size` bytes beyond what the process has now."""
    with open("/proc/self/statm") as stream:
        now = int(stream.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + size, resource.RLIM_INFINITY))


def wait_in_step(step: int, until_signalled: bool = False) -> None:
    """One step takes longer than any test waits, or until the first signal."""
    from models.base_model import BaseModel
    original, steps = BaseModel.train_step, 0

    def waiting(self: BaseModel, batch: Any) -> dict:
        nonlocal steps
        steps += 1
        if steps == step:
            deadline = time.monotonic() + 1000
            while time.monotonic() < deadline and not (until_signalled and is_signalled()):
                time.sleep(0.01)
        return original(self, batch)

    BaseModel.train_step = waiting


def is_signalled() -> bool:
    """Whether a signal to end has come: the next one is no longer caught."""
    return signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def break_a_step(step: int) -> None:
    """The NCE loss of one step is NaN."""
    from models import cut_model
    original, steps = cut_model.CUTModel.calculate_NCE_losses, 0

    def broken(self: Any) -> dict:
        nonlocal steps
        steps += 1
        factor = float("nan") if steps == step else 1.0
        return {name: loss * factor for name, loss in original(self).items()}

    cut_model.CUTModel.calculate_NCE_losses = broken


def print_into_a_closed_pipe() -> None:
    """The reader of stdout leaves once the training begins."""
    from util.loggers.run_log import RunLog
    enter = RunLog.__enter__

    def entered(self: RunLog) -> RunLog:
        reader, writer = os.pipe()
        os.dup2(writer, 1)
        os.close(writer)
        os.close(reader)
        return enter(self)

    RunLog.__enter__ = entered


def note_steps(path: str, environment: dict[str, str], hold: str = "") -> None:
    """Appends to a file, in seconds, when each step begins and what this thread has computed until then; sets
    variables of the environment. The first step waits until there is a file `hold`."""
    from models.base_model import BaseModel
    original = BaseModel.train_step
    os.environ.update(environment)

    def noted(self: BaseModel, batch: Any) -> dict:
        while hold and not os.path.exists(hold):
            time.sleep(0.01)
        with open(path, "a") as stream:
            print(time.perf_counter(), time.thread_time(), file=stream)
        return original(self, batch)

    BaseModel.train_step = noted


def note_steps_of_an_idle_logger(*arguments: Any) -> None:
    """The same, with a logger that takes all there is and does nothing with it."""
    from util.loggers import registry
    from util.loggers.base import Logger

    class Idle(Logger):
        live = True

        def images(self, *arguments: Any) -> None:
            pass

        def fixed_images(self, *arguments: Any) -> None:
            pass

    registry.LOGGERS["idle"] = lambda opt, folder: Idle()
    note_steps(*arguments)


def drop_in(folder: str) -> None:
    """The files of <folder>/models and <folder>/data lie beside the project's."""
    import data
    import models
    for package in (models, data):
        package.__path__.append(f"{folder}/{package.__name__}")


def be_rank(rank: int, ranks: int, port: int, environment: dict[str, str], trap: list) -> None:
    """One of several processes that train one model, as torchrun starts them; trap: another one, or []."""
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "LOCAL_WORLD_SIZE": ranks,
             "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in place.items()} | environment)
    if trap:
        globals()[trap[0]](*trap[1:])


def read_no_images(number: int) -> None:
    """From so many readings on, no image of the training can be read by this process."""
    from data.unaligned_dataset import UnalignedDataset
    original, readings = UnalignedDataset.__getitem__, 0

    def reading(self: UnalignedDataset, position: Any) -> dict:
        nonlocal readings
        readings += 1
        item = original(self, position)
        return item | {"bad": [f"{readings}.png is torn"]} if readings >= number else item

    UnalignedDataset.__getitem__ = reading


def have_other_files() -> None:
    """The program's files are others than those that lie there."""
    from util.distributed import together
    together.program_digest = lambda: "others"


def exhaust_memory(step: int) -> None:
    """A step finds no memory."""
    raise_in_step(step, MemoryError())


def fail_in_step(step: int) -> None:
    """A step meets a fault of the program."""
    raise_in_step(step, ZeroDivisionError())


def raise_in_step(step: int, error: Exception) -> None:
    from models.base_model import BaseModel
    original, steps = BaseModel.train_step, 0

    def raising(self: BaseModel, batch: Any) -> dict:
        nonlocal steps
        steps += 1
        if steps == step:
            raise error
        return original(self, batch)

    BaseModel.train_step = raising


def be_a_command() -> None:
    """sys.orig_argv is the script's, as where Python was called with it."""
    sys.orig_argv = [sys.executable, *sys.argv]
    os.environ["OMP_NUM_THREADS"] = "1"
