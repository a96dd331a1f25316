"""Lists of images: --dataroot may be a .csv, .txt or .jsonl file instead of a folder.

A row has the columns A and B (paths, relative to the list's folder), either of which may be empty; split,
such as train or test; weight, how often it is drawn; and any others. A text file has a path of A in each line
and, behind a tab, one of B where there is one.
"""

import csv
import json
import os
from collections.abc import Sequence

import numpy as np

from data.readers.place import is_file
from util.errors import UsageError

ENDINGS = (".csv", ".txt", ".jsonl")
OWN_COLUMNS = ("A", "B", "split", "weight")
Row = dict[str, str]


def is_list(path: str) -> bool:
    """Whether it is a list of images."""
    return path.lower().endswith(ENDINGS) and os.path.isfile(path)


def read_list(path: str, split: str) -> list[Row]:
    """The rows of a split; all of them where there is no column split. Every row has every column, as text.

    Raises UsageError for a list that cannot be read, has no such rows, or names missing files.
    """
    rows = parse(path)
    if any(row.get("split") for row in rows):
        splits = sorted({row.get("split", "") for row in rows})
        rows = [row for row in rows if row.get("split") == split]
        if not rows:
            raise UsageError(f"the list {path} has no rows of the split {split!r}, but of "
                             f"{', '.join(splits)}; see --phase")
    columns = {column: "" for row in rows for column in row}
    if not columns.keys() & {"A", "B"}:
        raise UsageError(f"the list {path} has no column A or B, which name the images; it has "
                         f"{', '.join(columns) or 'nothing'}")
    rows = [columns | row for row in rows]
    check_files(path, [row[domain] for row in rows for domain in "AB" if row.get(domain)])
    return rows


def parse(path: str) -> list[Row]:
    """All rows, as text by column; empty lines are passed over. Raises UsageError."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            if path.lower().endswith(".csv"):
                return [{key: (value or "").strip() for key, value in row.items() if key}
                        for row in csv.DictReader(stream)]
            lines = [line.rstrip("\r\n") for line in stream if line.strip()]
        if path.lower().endswith(".txt"):
            return [dict(zip("AB", line.split("\t"), strict=False)) for line in lines]
        return [{key: "" if value is None else str(value) for key, value in json.loads(line).items()}
                for line in lines]
    except (OSError, ValueError, csv.Error, AttributeError) as error:
        raise UsageError(f"the list {path} cannot be read: {error}") from error


def check_files(path: str, names: Sequence[str]) -> None:
    """Raise UsageError where a list names files that are not there."""
    missing = [name for name in names if not is_file(resolve(path, name))]
    if missing:
        hint = "; a tab parts A and B" if path.lower().endswith(".txt") else ""
        raise UsageError(f"the list {path} names {len(missing)} files that are missing, the first is "
                         f"{missing[0]!r}; paths are relative to the list's folder{hint}")


def resolve(path: str, name: str) -> str:
    """A file that a list names."""
    return os.path.normpath(os.path.join(os.path.dirname(path), name))


def weights_of(path: str, rows: Sequence[Row]) -> np.ndarray | None:
    """The weights of rows, 1 where none is given; None where no row has one. Raises UsageError."""
    if not any(row.get("weight") for row in rows):
        return None
    try:
        weights = np.array([float(row.get("weight") or 1) for row in rows])
    except ValueError as error:
        raise UsageError(f"the list {path} has a weight that is no number: {error}") from error
    if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.sum() > 0):
        raise UsageError(f"the list {path} has weights that are negative, infinite, or all 0")
    return weights


def drawn(weights: np.ndarray, offset: float) -> np.ndarray:
    """As many places as there are weights, in ascending order, each as often as its weight asks for.

    A place that should come x times comes x times rounded up or down (systematic sampling); with equal
    weights every place comes once. offset: in [0, 1), at random.
    """
    count = len(weights)
    ends = np.cumsum(weights * (count / weights.sum()))
    last = np.flatnonzero(weights)[-1]
    return np.searchsorted(ends, np.arange(count) + offset, side="right").clip(max=last)
