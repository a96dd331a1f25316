"""Where the time of a training goes: waiting for data, or computing."""

import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeVar

T = TypeVar("T")


class Times(NamedTuple):
    """Mean seconds per image: `compute` of the training step, `data` of waiting for the batch."""

    compute: float
    data: float


class Clock:
    """Sums up waiting and computing without making the host wait for the device.

    A device runs behind the host, so single steps measure too short; whoever reads the clock just after a
    synchronisation gets the true mean, because the device's backlog was then waited for inside `computing`.
    What happens between `stop` and the next batch (saving, drawing) counts as neither.
    """

    def __init__(self):
        self._started = time.perf_counter()
        self._reset()

    def _reset(self) -> None:
        self._compute = self._data = 0.0
        self._images = 0

    def timed(self, batches: Iterable[T]) -> Iterator[T]:
        """The same batches; the time spent waiting for each counts as data."""
        batches = iter(batches)
        while True:
            self.start()
            try:
                batch = next(batches)
            except StopIteration:
                return
            self._data += self._lap()
            yield batch

    def start(self) -> None:
        """What follows is computing, until `stop`."""
        self._started = time.perf_counter()

    def stop(self, images: int = 0) -> None:
        """The computing since `start`, or since the batch was handed out, is over; it was of `images`."""
        self._compute += self._lap()
        self._images += images

    def _lap(self) -> float:
        before, self._started = self._started, time.perf_counter()
        return self._started - before

    def read(self) -> Times:
        """Means over the images since the last reading; zeros where there were none."""
        images = max(self._images, 1)
        times = Times(self._compute / images, self._data / images)
        self._reset()
        return times
