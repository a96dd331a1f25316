"""Time spent computing and waiting for data, per image."""

import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeVar

T = TypeVar("T")


class Times(NamedTuple):
    """Mean seconds per image: `compute` in the training step, `data` waiting for the batch."""

    compute: float
    data: float


class Timer:
    """Adds up the time spent computing and waiting for data. Never makes the host wait for the device.

    A device runs behind the host, so the time of a single step is too short. The mean is right when it is
    read just after a synchronisation between `start` and `stop`: waiting for the device counts as computing.
    What happens between `stop` and the next batch (saving, drawing) counts as neither.
    """

    def __init__(self):
        self._started = time.perf_counter()
        self._reset()

    def _reset(self) -> None:
        self._compute = self._data = 0.0
        self._images = 0

    def timed(self, batches: Iterable[T]) -> Iterator[T]:
        """The same batches; the time spent waiting for them counts as data."""
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
        """Begin to count computing, until `stop`."""
        self._started = time.perf_counter()

    def stop(self, images: int = 0) -> None:
        """End the computing that began at `start`, or when the batch was handed out; it was of `images`."""
        self._compute += self._lap()
        self._images += images

    def _lap(self) -> float:
        before, self._started = self._started, time.perf_counter()
        return self._started - before

    def read(self) -> Times:
        """Means over the images since the last reading; zeros if there were none."""
        images = max(self._images, 1)
        times = Times(self._compute / images, self._data / images)
        self._reset()
        return times
