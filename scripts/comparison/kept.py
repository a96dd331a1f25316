"""Scores of finished runs, of this machine and of others: a file beside the page.

A line of it is a run: data set, the flags that all runs share, method, seed, scores. A run that is found on
this machine takes the place of its line; lines of other shared flags are dropped.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from scripts.comparison.protocol import METHODS, DataSet, Protocol
from scripts.comparison.runs import UNTOUCHED, Score, read_costs, read_scores, read_untouched, seeds
from util.atomic import write_text

Runs = dict[int, list[Score]]   # seed -> evaluations, oldest first
COSTS, IMAGE = "costs", "image"


class Kept(NamedTuple):
    """Of a data set: the inputs' scores, the runs of each method, and the titles of its image's rows."""

    untouched: dict[str, float]
    runs: dict[str, Runs]
    rows: list[str]


def read(path: Path, protocol: Protocol, chosen: DataSet) -> Kept:
    """What the file holds of a data set, under what of it is found on this machine."""
    lines = {(row["method"], row.get("seed")): row["scores"] for row in _lines(path)
             if row.get("set") == chosen.name and row["flags"] == _flags(protocol, chosen)}
    untouched = read_untouched(protocol, chosen) or lines.pop((UNTOUCHED, None), {})
    rows = lines.pop((IMAGE, None), [])
    runs = {method: {seed: [Score(*score) for score in scores] for (name, seed), scores in lines.items()
                     if name == method} for method in METHODS}
    for method, found in runs.items():
        found |= {seed: scores for seed in seeds(protocol, chosen, method)
                  if (scores := read_scores(protocol, chosen, method, seed))}
    ordered = {method: dict(sorted(found.items())) for method, found in runs.items() if found}
    return Kept(untouched, ordered, rows)


def costs(path: Path, protocol: Protocol) -> dict[str, float]:
    """Method -> time of a step relative to CUT's; {} before that is measured."""
    return read_costs(protocol) or next((row[COSTS] for row in _lines(path) if COSTS in row), {})


def write(path: Path, protocol: Protocol, sets: Sequence[DataSet], kept: dict[str, Kept],
          relative: dict[str, float]) -> None:
    """Write the data sets that are given; lines of others stay."""
    lines = [row for row in _lines(path) if row.get("set") not in {None, *kept}]
    for chosen in sets:
        one = kept[chosen.name]
        rows = [(UNTOUCHED, {}, one.untouched), (IMAGE, {}, one.rows),
                *((method, {"seed": seed}, scores) for method, found in one.runs.items()
                  for seed, scores in found.items())]
        shared = {"set": chosen.name, "flags": _flags(protocol, chosen)}
        lines += [{**shared, "method": method, **seed, "scores": scores}
                  for method, seed, scores in rows if scores]
    lines += [{COSTS: relative}] if relative else []
    write_text(path, "".join(json.dumps(row) + "\n" for row in lines))


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(row) for row in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def _flags(protocol: Protocol, chosen: DataSet) -> str:
    return " ".join(protocol.shared_flags(chosen))
