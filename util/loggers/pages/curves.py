"""Curves of runs for a page: thinned to a bounded number of points, in panels; the best scores."""

import math
import statistics
from collections.abc import Mapping
from typing import Any

from util.loggers.base import LOSS, MEMORY, SCORE, SPEED, Values
from util.metrics.registry import METRICS

Point = tuple[float, float]     # images seen in all, value
AVERAGED = "_ema"               # behind the names of scores of averaged weights
ORDER = (SCORE, LOSS)           # these panels come first
TITLES = {"lr": "learning rate", f"{SPEED}images_per_second": "images per second",
          f"{MEMORY}gpu": "GPU memory, GB"}


class Curve:
    """Values over images seen, in at most `limit` points: each is the mean of 1, 2, 4 ... values that follow
    each other, the more the longer the curve. Up to `limit` values it is exact. Only finite values count.
    """

    def __init__(self, limit: int = 600):
        """limit: even."""
        assert limit % 2 == 0, limit
        self.limit, self._size = limit, 1       # values of a point
        self._points: list[Point] = []
        self._rest: list[Point] = []            # values that do not make a point yet
        self.lowest: Point | None = None        # the first of equal ones
        self.highest: Point | None = None

    def add(self, x: float, y: float) -> None:
        if not math.isfinite(y):
            return
        if self.lowest is None or y < self.lowest[1]:
            self.lowest = x, y
        if self.highest is None or y > self.highest[1]:
            self.highest = x, y
        self._rest.append((x, y))
        if len(self._rest) == self._size:
            self._points.append(_mean(self._rest))
            self._rest = []
            if len(self._points) > self.limit:
                self._halve()

    def _halve(self) -> None:
        """Make one point of two; the last, which has no partner, begins the next point."""
        *paired, last = self._points
        self._points = [_mean(paired[i:i + 2]) for i in range(0, len(paired), 2)]
        self._rest = [last] * self._size
        self._size *= 2

    def points(self) -> list[Point]:
        """Oldest first; the last one may be the mean of fewer values."""
        return self._points + ([_mean(self._rest)] if self._rest else [])


def _mean(points: list[Point]) -> Point:
    return statistics.fmean(x for x, _ in points), statistics.fmean(y for _, y in points)


class Curves:
    """The curves of a run by name: "loss/G", "lr", "score/kid"."""

    def __init__(self, limit: int = 600):
        self.limit = limit
        self.named: dict[str, Curve] = {}

    def add(self, images: int, values: Values) -> None:
        for name, value in values.items():
            self.named.setdefault(name, Curve(self.limit)).add(images, value)

    def best_scores(self) -> dict[str, Point]:
        """Images seen and the score where it was best, by metric."""
        best = {name.removeprefix(SCORE): curve.highest if higher_is_better(name) else curve.lowest
                for name, curve in self.named.items() if name.startswith(SCORE)}
        return {name: point for name, point in best.items() if point}


def higher_is_better(metric: str) -> bool:
    """metric: "kid" or "score/kid_ema". Lower is taken as better where this version does not know it.
    """
    name = metric.removeprefix(SCORE)
    known = METRICS.get(name) or METRICS.get(name.removesuffix(AVERAGED))
    return known is not None and known.better == "higher"


def panels(runs: Mapping[str, Curves]) -> list[dict[str, Any]]:
    """The curves as the page's script draws them: a panel a name, a line a run.

    A single run has no name there: its lines are called as the curves, and the scores of averaged weights
    are in the panel of the others.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for place, (run, curves) in enumerate(runs.items()):
        for name, curve in curves.named.items():
            panel = name.removesuffix(AVERAGED) if len(runs) == 1 else name
            lines = found.setdefault(panel, [])
            lines.append({"name": run if len(runs) > 1 else name.rpartition("/")[2],
                          "place": place if len(runs) > 1 else len(lines),
                          "points": [[round(x), float(f"{y:.5g}")] for x, y in curve.points()]})
    order = {prefix: place for place, prefix in enumerate(ORDER)}
    names = sorted(found, key=lambda name: order.get(name[:name.find("/") + 1], len(order)))
    return [{"title": TITLES.get(name, name.rpartition("/")[2]),
             "smooth": not name.startswith((SCORE, "lr")), "lines": found[name]}
            for name in names]
