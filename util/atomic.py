"""Files that appear whole or not at all."""

import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

TEMPORARY = re.compile(r"\.[0-9a-f]{32}\.tmp")


@contextmanager
def atomic_file(path: Path, *, durable: bool = False, previous: Path | None = None) -> Iterator[BinaryIO]:
    """A new file to write bytes to; it takes the place of `path` when the block ends without an error.

    After an error the old `path` is as it was. durable: also wait until the disk has the bytes, so that they
    survive a loss of power. previous: what was at `path` takes this name once the new file is whole; a kill
    between the two renamings leaves `previous` alone there. The temporary name is short: `path` may use all
    255 bytes that a name can have.
    """
    temporary = path.parent / f".{uuid.uuid4().hex}.tmp"
    try:
        with open(temporary, "xb") as stream:
            yield stream
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        if previous is not None and path.exists():
            os.replace(path, previous)
        os.replace(temporary, path)
        if durable:
            _sync_folder(path.parent)
    except OSError as error:
        if error.filename is None:      # a full disk names no file
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file that appears whole or not at all, in UTF-8; undecodable bytes of names as \\udcXX."""
    with atomic_file(path) as stream:
        stream.write(text.encode("utf-8", "backslashreplace"))


def _sync_folder(folder: Path) -> None:
    """Wait until the disk has the folder's names too: a renaming is a change of the folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_temporaries(folder: Path) -> None:
    """Delete what writers that were killed left in a folder and below; nobody may be writing there."""
    for path in folder.rglob(".*.tmp"):
        if TEMPORARY.fullmatch(path.name):
            path.unlink(missing_ok=True)
