"""Files that grow piece by piece, survive a full disk, and are cut back when a run is resumed."""

import errno
import json
import math
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from util.atomic import atomic_file
from util.console import say
from util.errors import RunError
from util.runtime.progress import Progress

Row = dict[str, Any]


class GrowingFile:
    """Appends bytes, whole or not at all. Those that the disk refuses wait in memory, and are written before
    the next ones.

    Bytes are handed to the system at once, so a killed run loses none.
    """

    contents = "contents"       # what waits, in words

    def __init__(self, path: Path):
        self.path = path
        self._waiting: list[bytes] = []

    def append_bytes(self, data: bytes) -> None:
        self._waiting.append(data)
        try:
            self._write(self._waiting)
            self._waiting.clear()
        except OSError as error:
            if len(self._waiting) == 1:
                say(f"{self.path} cannot be written: {error.strerror}; its {self.contents} wait until it can "
                    "be")

    def append_or_raise(self, data: bytes) -> None:
        """For what is too large to wait: OSError where the disk refuses it."""
        self._write([*self._waiting, data])
        self._waiting.clear()

    def _write(self, parts: list[bytes]) -> None:
        size = self.path.stat().st_size if self.path.exists() else 0
        try:
            with open(self.path, "ab", buffering=0) as stream:
                data = b"".join(parts)
                if stream.write(data) < len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            with suppress(OSError):
                os.truncate(self.path, size)        # no part of it stays
            raise


class LineFile(GrowingFile):
    """Appends lines."""

    contents = "lines"

    def append(self, line: str) -> None:
        self.append_bytes(f"{line}\n".encode())


class RowFile:
    """JSON objects, one a line, each about one moment of this run: where that was, and columns of its own.

    No times are in them, so the file is a function of the seed.
    """

    def __init__(self, path: Path, progress: Progress):
        """Cut off what was written after `progress`, as it will be written again; a new run, without images
        yet, begins anew. The file is made by the first row. Raises RunError for a line that is not JSON.
        """
        self.path = path
        self._file = LineFile(path)
        if path.exists():
            lines = whole_lines(path) if progress.total_images else []
            rewrite(path, [line for line in lines
                           if self._parse(line)["total_images"] <= progress.total_images])

    def read(self) -> list[Row]:
        """The rows, oldest first."""
        return [self._parse(line) for line in whole_lines(self.path)]

    def append(self, progress: Progress, columns: Mapping[str, Any]) -> Row:
        """Add a row and return it."""
        row = {"epoch": progress.epoch, "images": progress.epoch_images,
               "total_images": progress.total_images, "step": progress.total_steps, **columns}
        self._file.append(json.dumps(row))
        return row

    def _parse(self, line: str) -> Row:
        try:
            return json.loads(line)
        except json.JSONDecodeError as error:
            raise RunError(f"{self.path} holds a line that is not JSON, {line.strip()[:40]!r}; "
                           "repair the line or move the file away") from error


def whole_lines(path: Path) -> list[str]:
    """The lines of a file that need not exist, without a last one that a kill left unfinished."""
    if not path.exists():
        return []
    with open(path, encoding="utf-8") as stream:
        return [line for line in stream if line.endswith("\n")]


def rewrite(path: Path, lines: list[str]) -> None:
    with atomic_file(path, durable=True) as stream:
        stream.write("".join(lines).encode())


def to_json(values: Mapping[str, float]) -> dict[str, float | None]:
    """NaN and infinity become null: JSON has neither."""
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def from_json(values: Mapping[str, float | None]) -> dict[str, float]:
    """null becomes NaN."""
    return {name: math.nan if value is None else value for name, value in values.items()}
