"""The order of images for shards that are read one after another."""

from collections.abc import Sequence

import numpy as np


class StreamOrder:
    """Which image comes at each place of an epoch, when a few shards are read at a time.

    The shards come in a new order each epoch, or each pass where an epoch takes more images than there are.
    The epoch is cut into `lanes` parts of equal length, one for each place in a minibatch: a rank that takes
    some of these places reads some of the shards. Within a part, the images of `window` shards at a time come
    in random order. All of it is a function of (seed, epoch, place): any place can be asked for at once.
    """

    def __init__(self, counts: Sequence[int], *, items: int, lanes: int, window: float, seed: Sequence[int]):
        """counts: images of each shard. items: of an epoch. window: in shards, of the mean size."""
        self._counts = np.asarray(counts, np.int64)
        self._starts = np.cumsum(self._counts) - self._counts
        self._total = int(self._counts.sum())
        self._lanes, self._length = lanes, items // lanes
        self._window = max(1, round(window * self._total / len(self._counts)))
        self._seed = tuple(seed)
        self._held: dict[int, tuple[tuple[int, int], np.ndarray]] = {}     # lane -> its window of last time

    def number(self, epoch: int, place: int) -> int:
        """The number of the image at a place, from 0."""
        step, lane = divmod(place, self._lanes)
        window, within = divmod(step, self._window)
        if self._held.get(lane, (None,))[0] != (epoch, window):
            self._held[lane] = (epoch, window), self.window(epoch, lane, window)
        return int(self._held[lane][1][within])

    def starts_window(self, place: int) -> bool:
        """Whether a place is the first of its lane's window."""
        return place // self._lanes % self._window == 0

    def upcoming(self, epoch: int, place: int) -> np.ndarray:
        """The numbers of the images of the window behind a place's, in the same lane and epoch."""
        step, lane = divmod(place, self._lanes)
        return self.window(epoch, lane, step // self._window + 1)

    def window(self, epoch: int, lane: int, window: int) -> np.ndarray:
        """The numbers of the images of a window, in their order."""
        start, end = window * self._window, min((window + 1) * self._window, self._length)
        numbers = self._numbers(epoch, lane * self._length + np.arange(start, max(start, end)))
        self._random(epoch, 1, lane, window).shuffle(numbers)
        return numbers

    def _numbers(self, epoch: int, places: np.ndarray) -> np.ndarray:
        """The images at places of the epoch before windows are shuffled: shard by shard."""
        passes, places = np.divmod(places, self._total)
        numbers = np.empty_like(places)
        for number in np.unique(passes):
            order = self._random(epoch, 0, int(number)).permutation(len(self._counts))
            ends = np.cumsum(self._counts[order])
            here = passes == number
            turn = np.searchsorted(ends, places[here], side="right")
            shard = order[turn]
            numbers[here] = self._starts[shard] + places[here] - (ends[turn] - self._counts[shard])
        return numbers

    def _random(self, *key: int) -> np.random.Generator:
        return np.random.default_rng([*self._seed, *key])
