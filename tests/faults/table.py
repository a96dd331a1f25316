"""The table of faults: how often each was tried, survived, lost."""

from collections.abc import Iterator
from contextlib import contextmanager

TALLY: dict[str, list[int]] = {}        # fault -> tried, survived


@contextmanager
def tally(fault: str, times: int = 1) -> Iterator[None]:
    """Counts the block as so many cases of a fault, survived if it ends without an error."""
    counts = TALLY.setdefault(fault, [0, 0])
    counts[0] += times
    yield
    counts[1] += times


def lines() -> list[str]:
    width = max(map(len, TALLY))
    rows = [*TALLY.items(), ("all", [sum(column) for column in zip(*TALLY.values(), strict=True)])]
    return [f"{'fault':<{width}}  tried  survived  lost",
            *(f"{fault:<{width}}  {tried:5}  {survived:8}  {tried - survived:4}"
              for fault, (tried, survived) in rows)]
