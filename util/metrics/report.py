"""Scores with what is needed to read them, in tables for people and in JSON for programs."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from util.atomic import atomic_file

ENOUGH = 2048  # images: with fewer, the covariance of Inception's 2048 features is singular


class Score(NamedTuple):
    """A score and its protocol.

    better: "lower" or "higher". real, fake: numbers of images that it was computed from. resize: how they
    were resized before. spread: the std over parts of the images, see docs/evaluation.md. digits: shown after
    the point.
    """

    value: float
    better: str
    real: int
    fake: int
    resize: str = "none"
    spread: float | None = None
    digits: int = 2

    def text(self) -> str:
        spread = "" if self.spread is None else f" ± {self.spread:.{self.digits}f}"
        return f"{self.value:.{self.digits}f}{spread}"

    def as_json(self) -> dict[str, Any]:
        return {key: value for key, value in self._asdict().items() if key != "digits" and value is not None}


def as_table(scores: dict[str, Score]) -> str:
    """Scores by name, in columns for a terminal."""
    rows = [("", "value", "better", "real / fake", "resized")]
    rows += [(name, s.text(), s.better, f"{s.real} / {s.fake}", s.resize) for name, s in scores.items()]
    return columns(rows)


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows of texts in columns as wide as they need."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
                     for row in rows)


def few_images(real: int, fake: int) -> str | None:
    """The warning that a Frechet distance of so few images needs; None: it needs none."""
    if min(real, fake) >= ENOUGH:
        return None
    return (f"{min(real, fake):,} images are fewer than {ENOUGH:,}: the Frechet distance is too high, "
            "the more so the fewer; compare it only with scores of the same counts (KID has no such bias)")


def results_file(fake: Path, name: str) -> Path | None:
    """The file beside images/ where `fake` is a results folder <phase>_<epoch>/images/<label>; else None."""
    folder = fake.resolve()
    return folder.parent.parent / name if folder.parent.name == "images" else None


def write_json(path: Path, record: dict[str, Any]) -> None:
    """Write a record as JSON. NaN and infinity, such as the PSNR of equal images, become null."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as stream:
        stream.write((json.dumps(_finite(record), indent=1) + "\n").encode())


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
