"""A figure with all that is needed to read it, and tables of them for people and for programs."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from util.atomic import atomic_file

ENOUGH = 2048  # images: with fewer, the covariance of Inception's 2048 features is singular


class Figure(NamedTuple):
    """One number and its protocol.

    spread: standard deviation, of what is said in docs/evaluation.md. better: "lower" or "higher".
    real, fake: images it was computed from. resize: how they were brought to their size before.
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


def as_table(figures: dict[str, Figure]) -> str:
    """Figures by name, in columns for a terminal."""
    rows = [("", "value", "better", "real / fake", "resized")]
    rows += [(name, f.text(), f.better, f"{f.real} / {f.fake}", f.resize) for name, f in figures.items()]
    return columns(rows)


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows of texts in columns as wide as they need."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
                     for row in rows)


def few_images(real: int, fake: int) -> str | None:
    """The warning that goes with a Frechet distance of few images."""
    if min(real, fake) >= ENOUGH:
        return None
    return (f"{min(real, fake):,} images are fewer than {ENOUGH:,}: the Frechet distance is too high, "
            "the more so the fewer; compare it with figures of the same counts alone (KID has no such bias)")


def results_file(fake: Path, name: str) -> Path | None:
    """The file beside images/ in the results that a folder <phase>_<epoch>/images/<label> belongs to."""
    folder = fake.resolve()
    return folder.parent.parent / name if folder.parent.name == "images" else None


def write_json(path: Path, record: dict[str, Any]) -> None:
    """A number that JSON cannot write, such as the infinite PSNR of equal images, becomes null."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as stream:
        stream.write((json.dumps(_finite(record), indent=1) + "\n").encode())


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
