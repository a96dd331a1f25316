"""Fetches shards that are needed soon, beside the reading of those that are here."""

import queue
import threading
from collections.abc import Sequence

from data.shards.shard import Shard
from util.errors import RunError


class FetchAhead:
    """A thread of each process that reads, begun with the first remote shard that it is given."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[Shard] | None = None

    def fetch(self, shards: Sequence[Shard]) -> None:
        """Begin to fetch those that are remote. One that cannot be fetched is said when it is read."""
        remote = [shard for shard in shards if shard.store is not None]
        if remote and self._waiting is None:
            self._waiting = queue.SimpleQueue()
            threading.Thread(target=_work, args=(self._waiting,), name="shards", daemon=True).start()
        for shard in remote:
            self._waiting.put(shard)


def _work(waiting: "queue.SimpleQueue[Shard]") -> None:
    while True:
        try:
            waiting.get().fetch()
        except (RunError, OSError):
            continue
