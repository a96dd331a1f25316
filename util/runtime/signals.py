"""Catch Ctrl-C and a scheduler's signals, so that a run finishes its step and saves before it ends."""

import signal
from collections.abc import Callable
from types import FrameType

# Ctrl-C, the end of a job's time, the warning that Slurm can send before it, and a terminal that closes.
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)


class StopSignals:
    """While entered, the first of these signals is only recorded; a second one ends the program at once.

    A SIGHUP that is ignored, as under nohup, stays ignored.
    """

    def __init__(self):
        self.asked: signal.Signals | None = None        # what this process received
        self._before: dict[signal.Signals, Callable | int | None] = {}

    def __enter__(self) -> "StopSignals":
        for number in STOPPING:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._record)
        return self

    @property
    def received(self) -> signal.Signals | None:
        """The signal for which the run is to end after this step."""
        return self.asked

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _record(self, number: int, frame: FrameType | None) -> None:
        self.asked = signal.Signals(number)
        for each in self._before:
            signal.signal(each, signal.SIG_DFL)

    @property
    def exit_code(self) -> int:
        """What a shell reports for a program that this signal ended: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + self.received if self.received else 0
