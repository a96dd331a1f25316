"""A shard: a tar file of images, on this machine or elsewhere."""

import os
from functools import lru_cache
from typing import BinaryIO, NamedTuple

from data.shards.store import ShardStore


class Shard(NamedTuple):
    """place: its path, or the URL from which `store` fetches it. sha256: "" where it is unknown."""

    place: str
    name: str
    bytes: int
    sha256: str
    store: ShardStore | None

    def read(self, offset: int, size: int) -> bytes:
        """The bytes from an offset on; fewer where the file ends before."""
        if self.store is None:
            return os.pread(_opened(self.place).fileno(), size, offset)
        with self.store.opened(self.place, self.bytes, self.sha256) as stream:
            return os.pread(stream.fileno(), size, offset)

    def fetch(self) -> None:
        """Have it on this machine. Raises DataError."""
        if self.store is not None:
            self.store.opened(self.place, self.bytes, self.sha256).close()


@lru_cache(64)
def _opened(path: str) -> BinaryIO:
    """A file that stays open, as opening it takes a network disk long; it is closed when others came."""
    return open(path, "rb", buffering=0)
