"""The losses of a run on disk: loss_log.txt for people, stats.jsonl for programs."""

import errno
import json
import math
import os
import re
import time
from contextlib import suppress
from pathlib import Path

from util.atomic import atomic_file
from util.console import say
from util.errors import RunError
from util.runtime.progress import Progress
from util.runtime.timer import Times

LOSS_LINE = re.compile(r"\(epoch: (\d+), iters: (\d+),")
RULE = "=" * 16
RESUMED = ", resumed at image "


class LossFiles:
    """loss_log.txt holds the reference's lines, under a header for every start, also of earlier runs of that
    name. stats.jsonl holds one JSON object a line, of this run alone, and no times: a function of the seed.

    A line is handed to the system at once, so a killed run loses none.
    """

    def __init__(self, folder: Path, progress: Progress):
        """Goes on from `progress`: where images were done already, what a run wrote after that point is cut
        off, because it will be written again; where none were, stats.jsonl begins anew.
        """
        self.loss_log, self.stats = folder / "loss_log.txt", folder / "stats.jsonl"
        self._lines = {path: LineFile(path) for path in (self.loss_log, self.stats)}
        folder.mkdir(parents=True, exist_ok=True)
        resumed = f"{RESUMED}{progress.total_images}" if progress.total_images else ""
        header = f"{RULE} Training Loss ({time.ctime()}{resumed}) {RULE}\n"
        _rewrite(self.loss_log, [*_log_until(_whole_lines(self.loss_log), progress), header])
        _rewrite(self.stats, self._stats_until(progress))

    def write(self, progress: Progress, times: Times, losses: dict[str, float], lr: float | None) -> str:
        """Add a line to both. Returns the one of loss_log.txt."""
        line = loss_line(progress, times, losses)
        self._lines[self.loss_log].append(line)
        row = {"epoch": progress.epoch, "images": progress.epoch_images,
               "total_images": progress.total_images, "step": progress.total_steps}
        if lr is not None:
            row["lr"] = lr
        row["losses"] = {name: value if math.isfinite(value) else None for name, value in losses.items()}
        self._lines[self.stats].append(json.dumps(row))
        return line

    def history(self) -> list[tuple[int, dict[str, float]]]:
        """Images seen in all, and the losses then, NaN where they were not finite."""
        rows = [self._row(line) for line in _whole_lines(self.stats)]
        return [(row["total_images"], {name: math.nan if value is None else value
                                       for name, value in row["losses"].items()}) for row in rows]

    def _stats_until(self, progress: Progress) -> list[str]:
        if progress.total_images == 0:
            return []
        lines = _whole_lines(self.stats)
        return [line for line in lines if self._row(line)["total_images"] <= progress.total_images]

    def _row(self, line: str) -> dict:
        try:
            return json.loads(line)
        except json.JSONDecodeError as error:
            raise RunError(f"{self.stats} holds a line that is not JSON, {line.strip()[:40]!r}; "
                           "repair the line or move the file away") from error


def loss_line(progress: Progress, times: Times, losses: dict[str, float]) -> str:
    """The reference's line. iters: images of this epoch; times: seconds per image."""
    head = (f"(epoch: {progress.epoch}, iters: {progress.epoch_images}, "
            f"time: {times.compute:.3f}, data: {times.data:.3f})")
    return " ".join([head, *(f"{name}: {value:.3f}" for name, value in losses.items())])


def _log_until(lines: list[str], progress: Progress) -> list[str]:
    """Lines without those of the run to be resumed that lie after `progress`.

    That run begins at the last header that resumes nothing; what is above belongs to older runs.
    """
    if progress.total_images == 0:
        return lines
    starts = [i for i, line in enumerate(lines) if line.startswith(RULE) and RESUMED not in line]
    begin = starts[-1] if starts else 0
    return lines[:begin] + [line for line in lines[begin:] if not _is_later(line, progress)]


def _is_later(line: str, progress: Progress) -> bool:
    match = LOSS_LINE.match(line)
    return match is not None and (int(match[1]), int(match[2])) > (progress.epoch, progress.epoch_images)


def _whole_lines(path: Path) -> list[str]:
    """Lines of a file that may not exist; a last one that a kill left unfinished is left out."""
    if not path.exists():
        return []
    with open(path, encoding="utf-8") as stream:
        return [line for line in stream if line.endswith("\n")]


def _rewrite(path: Path, lines: list[str]) -> None:
    with atomic_file(path, durable=True) as stream:
        stream.write("".join(lines).encode())


class LineFile:
    """Appends lines. Those that the disk refuses wait, and are written before the next one."""

    def __init__(self, path: Path):
        self.path = path
        self._waiting: list[str] = []

    def append(self, line: str) -> None:
        self._waiting.append(line + "\n")
        size = self.path.stat().st_size if self.path.exists() else 0
        try:
            with open(self.path, "ab", buffering=0) as stream:
                text = "".join(self._waiting).encode()
                if stream.write(text) < len(text):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._waiting.clear()
        except OSError as error:
            with suppress(OSError):
                os.truncate(self.path, size)        # no part of a line stays
            if len(self._waiting) == 1:
                say(f"{self.path} cannot be written: {error.strerror}; its lines wait until it can be")
