"""Print lines on the terminal without ever ending a run."""

import errno
import os
import sys
import time
from typing import TextIO

from tqdm import tqdm

SECONDS_A_LINE = 60.0


def say(line: str, stream: TextIO | None = None) -> None:
    """Print a line (on stdout, or on `stream`) without disturbing a progress bar.

    A reader that is gone (a closed terminal, a pipe whose end was killed) and a full disk behind the stream
    are ignored: a run is worth more than its messages.
    """
    stream = stream or sys.stdout
    try:
        tqdm.write(line, file=stream)
        stream.flush()
    except OSError as error:
        if error.errno in (errno.EPIPE, errno.EIO):     # gone for good: what is buffered would fail again
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


class ProgressLines:
    """A progress bar for a log: a line a minute, with the speed and the time left."""

    def __init__(self, total: int, unit: str, every: float = SECONDS_A_LINE):
        """total: 0 if it is not known. every: seconds."""
        self.done, self._total, self._unit, self._every = 0, total, unit, every
        self._began = self._said = time.monotonic()

    def update(self, number: int) -> None:
        """So many more are done."""
        self.done, now = self.done + number, time.monotonic()
        if now - self._said >= self._every:
            self._said, per_second = now, self.done / (now - self._began)
            left = tqdm.format_interval(max(0, self._total - self.done) / per_second)
            of, more = (f" of {self._total}", f", {left} left") if self._total else ("", "")
            say(f"{self.done}{of} {self._unit}, {per_second:.3g} {self._unit}/s{more}")

    def __enter__(self) -> "ProgressLines":
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing is open."""


def progress(total: int, unit: str) -> tqdm | ProgressLines:
    """A progress bar on a terminal, lines in a log. unit: what is counted, in the plural. total: 0 if it is
    not known.
    """
    return tqdm(total=total or None, unit=f" {unit}") if sys.stderr.isatty() else ProgressLines(total, unit)
