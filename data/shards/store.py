"""Remote shards, fetched whole into a folder of limited size that all processes of a machine share.

The package webdataset opens the URLs: `pipe:` runs a command, `http:` and `https:` go through curl.
"""

import fcntl
import hashlib
import importlib
import os
import select
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from util.errors import DataError, UsageError

SCHEMES = ("pipe:", "http://", "https://")
CHUNK = 1 << 20             # bytes read at a time
SILENT_SECONDS = 60.0       # a source that sends nothing for so long has failed
PAUSES = (1.0, 4.0)         # seconds before each further try


def is_remote(place: str) -> bool:
    return place.startswith(SCHEMES)


def opener() -> Callable[[str], Any]:
    """What opens a URL. Raises UsageError where the package is missing."""
    try:
        return importlib.import_module("webdataset.gopen").gopen
    except ImportError as error:
        raise UsageError(f"--shards_remote needs the package {error.name or 'webdataset'}: pip install -r "
                         "requirements-shards.txt") from None


class ShardStore:
    """The folder, with at most `limit` bytes of shards; those that were used last stay.

    A shard is fetched by one process while the others that need it wait. It takes its name here only after
    its bytes were found to be right.
    """

    def __init__(self, folder: Path, limit: int):
        self.folder, self.limit = folder, limit

    def opened(self, url: str, size: int, sha256: str) -> BinaryIO:
        """The shard as a file; its space is given back when it was removed and closed. Raises DataError."""
        path = self.folder / f"{hashlib.sha256(url.encode()).hexdigest()[:32]}.tar"
        while True:
            try:
                stream = open(path, "rb", buffering=0)
            except FileNotFoundError:       # not here yet, or removed for others
                with self._locked(path.stem):
                    if not path.exists():
                        self._fetch(url, path, size, sha256)
                continue
            os.utime(stream.fileno())
            return stream

    def _fetch(self, url: str, path: Path, size: int, sha256: str) -> None:
        for pause in (*PAUSES, None):
            self._make_room(size)
            try:
                partial = path.with_suffix(".part")
                download(url, partial, size, sha256)
                os.replace(partial, path)
                return
            except OSError as error:
                if pause is None:
                    raise DataError(f"the shard {url} cannot be fetched: {error}") from error
                time.sleep(pause)

    def _make_room(self, size: int) -> None:
        """Remove the shards that were not used for the longest time, and what killed processes left."""
        with self._locked("room"):
            found = []
            for path in (*self.folder.glob("*.tar"), *self.folder.glob("*.part")):
                state = path.stat()
                found.append((state.st_mtime_ns, state.st_size, path))
            used = sum(bytes for _, bytes, _ in found)
            for _, bytes, path in sorted(found):
                if used + size <= self.limit:
                    break
                path.unlink(missing_ok=True)
                used -= bytes

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """One process at a time; a lock ends with its process, however that ends."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / f"{name}.lock", "wb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield


def download(url: str, path: Path, size: int, sha256: str) -> None:
    """Write what a URL gives to a file. Raises OSError where it ends early, falls silent, or is another."""
    digest, got = hashlib.sha256(), 0
    source = opener()(url)
    try:
        with open(path, "wb") as target:
            for chunk in _chunks(source.stream.fileno()):
                target.write(chunk)
                digest.update(chunk)
                got += len(chunk)
                if got > size:
                    raise OSError(f"it has more than the {size} bytes that its index says")
        status = source.proc.wait(SILENT_SECONDS)
        if got != size:
            raise OSError(f"{got} of {size} bytes came, and its command ended with {status}")
        if digest.hexdigest() != sha256:
            raise OSError("its checksum (SHA-256) is not the one in its index")
    finally:
        source.proc.kill()
        source.ignore_errors = True
        source.close()


def _chunks(descriptor: int) -> Iterator[bytes]:
    while select.select([descriptor], [], [], SILENT_SECONDS)[0]:
        chunk = os.read(descriptor, CHUNK)
        if not chunk:
            return
        yield chunk
    raise OSError(f"nothing came for {SILENT_SECONDS:.0f} s")
