"""What the ranks tell each other about every step: a signal to stop, images that cannot be read, errors.

Beside each step runs one reduction of two numbers, begun before the step and read behind it, when it is done
long since. Minibatches are read one ahead of their use, so that an error in reading the next one is known to
all before they begin a step that they could not finish together.
"""

import json
import signal
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any, Protocol

import torch
import torch.distributed as dist

from util.distributed import ranks
from util.errors import DataError, RunError, UsageError
from util.runtime.signals import StopSignals

ONE_ORDER_SECONDS = 5.0     # a scheduler, a terminal and torchrun may each pass on one order to end
KINDS = {kind.__name__: kind for kind in (DataError, RunError, UsageError)}
END = object()


class Loader(Protocol):
    """What is needed of a loader; data.loader.Loader is one."""

    bad: list[str]

    def __iter__(self) -> Iterator[dict[str, Any]]: ...
    def note_bad(self, reasons: list[str]) -> None: ...


class Alone(StopSignals):
    """A process that has nobody to agree with."""

    def batches(self, loader: Loader) -> Iterator[dict[str, Any]]:
        return iter(loader)


class Agreement(StopSignals):
    """While entered, all ranks end after the same step when one of them is asked to, or cannot read its data.

    A second signal ends this rank at once, unless it comes within ONE_ORDER_SECONDS of the first.
    """

    def __init__(self):
        super().__init__()
        self._agreed: signal.Signals | None = None
        self._numbers = torch.zeros(2, dtype=torch.int64)       # the highest: signal, whether there is news
        self._work: dist.Work | None = None
        self._known_bad = 0

    @property
    def received(self) -> signal.Signals | None:
        """The signal that any rank had received before this step. Waits until all ranks have begun it."""
        self._finish()
        return self._agreed

    @property
    def exit_code(self) -> int:
        return 128 + self._agreed if self._agreed else 0

    def batches(self, loader: Loader) -> Iterator[dict[str, Any]]:
        """The loader's minibatches. Raises on all ranks, after the same step, what reading raised on one."""
        items = iter(loader)
        following = self._read(items)
        self._begin(loader, following)
        self._settle(loader, following)
        while following is not END:
            batch, following = following, self._read(items)
            self._begin(loader, following)
            yield batch
            self._settle(loader, following)

    @staticmethod
    def _read(items: Iterator[dict[str, Any]]) -> Any:
        """A minibatch, END, or the error that a user is to see."""
        try:
            return next(items, END)
        except tuple(KINDS.values()) as error:
            return error

    def _begin(self, loader: Loader, following: Any) -> None:
        news = isinstance(following, Exception) or len(loader.bad) > self._known_bad
        self._numbers = torch.tensor([int(self.asked or 0), int(news)])
        self._work = dist.all_reduce(self._numbers, dist.ReduceOp.MAX, async_op=True)

    def _finish(self) -> None:
        if self._work is not None:
            self._work.wait()
            self._work = None
            if number := int(self._numbers[0]):
                self._agreed = signal.Signals(number)

    def _settle(self, loader: Loader, following: Any) -> None:
        """Take over what the others could not read. Raises on all ranks where one met an error."""
        self._finish()
        if not self._numbers[1]:
            return
        error = following if isinstance(following, Exception) else None
        mine = {"bad": loader.bad[self._known_bad:], "error": error and [type(error).__name__, str(error)]}
        told = [json.loads(text) for text in ranks.gather_texts(json.dumps(mine))]
        for number, of in enumerate(told):
            if of["error"]:
                kind, line = of["error"]
                raise KINDS[kind](line if number == ranks.rank() else f"rank {number}: {line}")
        loader.note_bad([reason for of in told for reason in of["bad"]])
        self._known_bad = len(loader.bad)

    # ---- signals

    def _record(self, number: int, frame: FrameType | None) -> None:
        super()._record(number, frame)
        self._since = time.monotonic()
        for each in self._before:
            signal.signal(each, self._repeated)

    def _repeated(self, number: int, frame: FrameType | None) -> None:
        if time.monotonic() - self._since > ONE_ORDER_SECONDS:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    def __exit__(self, *error: object) -> None:
        if not self._agreed:        # else torchrun's signal to those that are still ending would kill them
            super().__exit__(*error)


def stop_signals() -> Alone | Agreement:
    """For this process: among others or alone."""
    return Agreement() if ranks.active() else Alone()
