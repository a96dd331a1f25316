"""The evaluations of a training on disk: evaluations.jsonl, one JSON object a line, and their curve."""

import json
import math
from pathlib import Path
from typing import Any

from util.atomic import atomic_file
from util.console import say
from util.errors import RunError
from util.loggers.curve import CURVE, draw_curves
from util.loggers.text_log import LineFile
from util.runtime.progress import Progress

Row = dict[str, Any]
FILE = "evaluations.jsonl"


class EvaluationLog:
    """rows: epoch, images, total_images, step, metrics (name -> figure) and counts of images, oldest first.

    Everything about the past of a run is read off the rows, so that a resumed run knows its best figure and
    those of the epoch it was in. No times are in them: they are a function of the seed.
    """

    def __init__(self, folder: Path, progress: Progress, *, curve: bool):
        """Goes on from `progress`: rows behind it are cut off, as they will be written again; a new run, of
        no images yet, begins anew. curve: draw web/evaluation.svg, which the gallery shows.
        """
        self.path = folder / FILE
        self._curve = folder / "web" / CURVE if curve else None
        self.rows = [row for row in self._read() if row["total_images"] <= progress.total_images]
        if not progress.total_images:
            self.rows = []
        if self.path.exists():
            with atomic_file(self.path, durable=True) as stream:
                stream.write("".join(json.dumps(row) + "\n" for row in self.rows).encode())
        self._file = LineFile(self.path)
        self._draw()

    def add(self, progress: Progress, metrics: dict[str, float], counts: dict[str, int]) -> None:
        """Record the figures of this moment; one that is not finite as null."""
        row = {"epoch": progress.epoch, "images": progress.epoch_images,
               "total_images": progress.total_images, "step": progress.total_steps,
               "metrics": {name: value if math.isfinite(value) else None for name, value in metrics.items()},
               **counts}
        self.rows.append(row)
        self._file.append(json.dumps(row))
        self._draw()

    def figures(self, name: str, epoch: int | None = None) -> list[tuple[int, float]]:
        """Images seen in all and the figure then, of one epoch or of all; those not finite are left out."""
        return [(row["total_images"], row["metrics"][name]) for row in self.rows
                if row["metrics"].get(name) is not None and epoch in (None, row["epoch"])]

    def _read(self) -> list[Row]:
        if not self.path.exists():
            return []
        lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
        try:
            return [json.loads(line) for line in lines if line.endswith("\n")]      # a kill may cut the last
        except json.JSONDecodeError as error:
            raise RunError(f"{self.path} holds a line that is not JSON ({error}); repair it or move the file "
                           "away") from error

    def _draw(self) -> None:
        """The curve of every metric; none where there is no row (that of an earlier run would mislead)."""
        if not self._curve:
            return
        names = {name: None for row in self.rows for name in row["metrics"]}
        try:
            if not self.rows:
                self._curve.unlink(missing_ok=True)
                return
            self._curve.parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(self._curve) as stream:
                stream.write(draw_curves({name: self.figures(name) for name in names}).encode())
        except OSError as error:
            say(f"{self._curve} cannot be drawn: {error.strerror}")
