"""The table of faults: how often each was tried, survived, lost."""

from collections.abc import Iterator
from contextlib import contextmanager

TALLY: dict[str, list[int]] = {}        # fault -> tried, survived
STEPS: dict[tuple[str, str], tuple[float, float]] = {}      # logger, fault -> see note_steps


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


def note_steps(logger: str, fault: str, milliseconds: float, longest: float) -> None:
    """What a training took while a logger had a fault: the median step's computing in the training's thread,
    and its longest step in seconds by the clock."""
    STEPS[logger, fault] = milliseconds, longest


def step_lines() -> list[str]:
    rows = [f"{logger:<26}{fault:<24}{milliseconds:9.1f} ms {longest:10.2f} s   equal"
            for (logger, fault), (milliseconds, longest) in STEPS.items()]
    return [f"{'logger':<26}{'fault':<24}{'step':>12} {'longest':>12}   end weights", *rows]
