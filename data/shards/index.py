"""Where the images of a shard lie: its index file, or what its own headers say.

An index file, <shard>.idx, is written by datasets/make_shards.py. Its first line is a JSON object about the
shard: `bytes`, `sha256`, and `source`, a hash of the files that it was made of. Each further line is a JSON
list about one image: offset and size in bytes, CRC-32, name.
"""

import json
import os
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from util.atomic import atomic_file
from util.errors import UsageError

FORMAT = 1
BLOCK = 512             # bytes; a tar file is made of such blocks
AGAIN = "make the shards again: datasets/make_shards.py"


class Index(NamedTuple):
    """bytes, sha256: of the whole shard; sha256 is "", and the CRC-32s -1, where no index file says them."""

    bytes: int
    sha256: str
    source: str
    offsets: list[int]
    sizes: list[int]
    crcs: list[int]
    names: list[str]


def index_path(shard: str | Path) -> Path:
    """The index file beside a shard."""
    return Path(shard).with_suffix(".idx")


def write_index(path: Path, index: Index) -> None:
    """Write an index file, which appears whole or not at all."""
    head = {"format": FORMAT, "bytes": index.bytes, "sha256": index.sha256, "source": index.source}
    rows = zip(index.offsets, index.sizes, index.crcs, index.names, strict=True)
    with atomic_file(path, durable=True) as stream:
        stream.write("".join(f"{json.dumps(line)}\n" for line in (head, *rows)).encode())


def read_index(path: Path) -> Index:
    """Raises UsageError for a file that is no index."""
    try:
        with open(path, encoding="utf-8") as stream:
            head = json.loads(stream.readline())
            rows = json.loads(f"[{','.join(stream)}]")      # at once, which is faster than by lines
        if head["format"] != FORMAT:
            raise ValueError(f"its format is {head['format']}, not {FORMAT}")
        columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], [], []]
        index = Index(int(head["bytes"]), str(head["sha256"]), str(head["source"]), *columns)
        inside = all(0 <= offset <= offset + size <= index.bytes
                     for offset, size in zip(index.offsets, index.sizes, strict=True))
        check_names(path, index.names)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"the index {path} cannot be read ({error}); {AGAIN}") from error
    if not inside:
        raise UsageError(f"the index {path} names bytes beyond its shard's end; {AGAIN}")
    return index


def scan(path: str) -> Index:
    """The same from the headers of a tar file that has no index. Raises UsageError for a damaged one."""
    offsets, sizes, names = [], [], []
    try:
        with tarfile.open(path, "r:") as tar:
            while member := tar.next():
                tar.members.clear()     # it would keep all headers
                if member.isreg():
                    offsets.append(member.offset_data)
                    sizes.append(member.size)
                    names.append(member.name.removeprefix("./"))
            end = tar.offset
        with open(path, "rb") as stream:
            stream.seek(end)
            whole = stream.read(BLOCK) == bytes(BLOCK)
    except (OSError, tarfile.TarError, EOFError) as error:
        raise UsageError(f"the shard {path} is no whole tar file without compression ({error}); "
                         "fetch it again") from error
    if not whole:
        raise UsageError(f"the shard {path} is cut off: the end of a tar file is missing; fetch it again")
    check_names(path, names)
    return Index(os.path.getsize(path), "", "", offsets, sizes, [-1] * len(names), names)


def check_names(path: str | Path, names: Iterable[str]) -> None:
    """Raise UsageError for a name that leads out of a folder: results are written under these names."""
    for name in names:
        if name.startswith("/") or ".." in name.split("/") or not name.strip("./") or "\0" in name:
            raise UsageError(f"{path} is refused: its image {name!r} would lie outside of a folder")
