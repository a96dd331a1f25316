"""The record of a run on disk: loss_log.txt for people; stats.jsonl and evaluations.jsonl for programs."""

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from util.loggers.base import COUNT, LOSS, SCORE, SECONDS, Logger, Values, add_prefix, with_prefix
from util.loggers.line_file import LineFile, RowFile, from_json, rewrite, to_json, whole_lines
from util.runtime.progress import Progress

LOSS_LINE = re.compile(r"\(epoch: (\d+), iters: (\d+),")
RULE = "=" * 16
RESUMED = ", resumed at image "


class TextFiles(Logger):
    """loss_log.txt holds the reference's loss lines, under a header for every start; lines of earlier runs of
    that name stay. stats.jsonl holds the losses, evaluations.jsonl the scores, of this run alone.

    All that is known about the past of a resumed run comes from here: `history` and `scores`.
    """

    def __init__(self, folder: Path, progress: Progress):
        """progress: where the run starts. If images were done already, lines written after that are cut off,
        because they will be written again; if none were, the two .jsonl files begin anew.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._loss_log = LineFile(folder / "loss_log.txt")
        resumed = f"{RESUMED}{progress.total_images}" if progress.total_images else ""
        header = f"{RULE} Training Loss ({time.ctime()}{resumed}) {RULE}\n"
        earlier = whole_lines(self._loss_log.path)
        rewrite(self._loss_log.path, [*_until(earlier, progress), header])
        self._stats = RowFile(folder / "stats.jsonl", progress)
        self._stats.path.touch()
        self._evaluations = RowFile(folder / "evaluations.jsonl", progress)
        self._scored = self._evaluations.read()

    def scalars(self, step: Progress, values: Values) -> None:
        if losses := with_prefix(LOSS, values):
            self._loss_log.append(loss_line(step, values))
            self._stats.append(step, {**_rate(values), "losses": to_json(losses)})
        if scores := with_prefix(SCORE, values):
            columns = {"metrics": to_json(scores), **with_prefix(COUNT, values)}
            self._scored.append(self._evaluations.append(step, columns))

    def history(self) -> list[tuple[int, Values]]:
        """Images seen in all, and the losses with the learning rate, or the scores, then; oldest first. NaN
        stands for what was not finite.
        """
        losses = [(row["total_images"], add_prefix(LOSS, from_json(row["losses"])) | _rate(row))
                  for row in self._stats.read()]
        scores = [(row["total_images"], add_prefix(SCORE, from_json(row["metrics"])))
                  for row in self._scored]
        return sorted([*losses, *scores], key=lambda row: row[0])

    def scores(self, metric: str, epoch: int | None = None) -> list[tuple[int, float]]:
        """Images seen in all and the score then, of one epoch or of all; those not finite are left out."""
        return [(row["total_images"], row["metrics"][metric]) for row in self._scored
                if row["metrics"].get(metric) is not None and epoch in (None, row["epoch"])]


def _rate(row: Mapping[str, Any]) -> dict[str, float]:
    return {"lr": row["lr"]} if "lr" in row else {}


def loss_line(progress: Progress, values: Values) -> str:
    """The reference's line. iters: images of this epoch; time and data: seconds per image."""
    head = (f"(epoch: {progress.epoch}, iters: {progress.epoch_images}, "
            f"time: {values[f'{SECONDS}compute']:.3f}, data: {values[f'{SECONDS}data']:.3f})")
    return " ".join([head, *(f"{name}: {value:.3f}" for name, value in with_prefix(LOSS, values).items())])


def _until(lines: list[str], progress: Progress) -> list[str]:
    """Lines of loss_log.txt without those that the run to be resumed wrote after `progress`.

    That run begins at the last header that resumes nothing; the lines above belong to older runs.
    """
    if progress.total_images == 0:
        return lines
    starts = [i for i, line in enumerate(lines) if line.startswith(RULE) and RESUMED not in line]
    begin = starts[-1] if starts else 0
    return lines[:begin] + [line for line in lines[begin:] if not _is_later(line, progress)]


def _is_later(line: str, progress: Progress) -> bool:
    match = LOSS_LINE.match(line)
    return match is not None and (int(match[1]), int(match[2])) > (progress.epoch, progress.epoch_images)
