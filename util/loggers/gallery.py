"""The gallery of a run: web/index.html with the images of every saved epoch and the curves of the scores."""

import math
import re
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path

from util.atomic import atomic_file
from util.images import Pixels, save_image
from util.loggers.base import SCORE, History, Logger, Values, with_prefix
from util.loggers.curve import Points, draw_curves
from util.loggers.html import ResultsPage
from util.runtime.progress import Progress

CURVES = "evaluation.svg"
IMAGE = re.compile(r"epoch(\d{3,})_(.+)\.png")


def open_gallery(opt: Namespace, folder: Path) -> "Gallery | None":
    """The gallery in the run's folder, or None with --no_html."""
    return None if opt.no_html else Gallery(folder / "web", f"Training of {opt.name}", opt.display_winsize)


class Gallery(Logger):
    """Images `<folder>/images/epoch%03d_<label>.png` and a page of one row per epoch, newest first.

    The page shows what is on disk, up to the epoch saved last: a resumed run keeps its earlier rows, and
    images of later epochs, which it will draw again, stay out. Above them are the curves of the scores.
    """

    def __init__(self, folder: Path, title: str, image_height: int):
        """image_height: in pixels of the screen."""
        self.folder, self.title, self.image_height = folder, title, image_height
        self._scores: dict[str, Points] = {}    # of each metric: images seen in all, and the score then
        self._last: tuple[int, list[str], str] | None = None

    def start(self, step: Progress, history: History) -> None:
        for images, values in history:
            self._add(images, values)
        if self._scores:
            self._draw_curves()
        else:
            (self.folder / CURVES).unlink(missing_ok=True)      # of another run: it would mislead

    def scalars(self, step: Progress, values: Values) -> None:
        if self._add(step.total_images, values):
            self._draw_curves()

    def images(self, step: Progress, images: Mapping[str, Pixels], caption: str) -> None:
        """Write the images of an epoch in place of all it had, and the page, which reloads itself."""
        epoch, folder = step.epoch, self.folder / "images"
        folder.mkdir(parents=True, exist_ok=True)
        names = {label: f"epoch{epoch:03d}_{label}.png" for label in images}
        for path in folder.glob(f"epoch{epoch:03d}_*.png"):
            if path.name not in names.values():
                path.unlink()
        for label, name in names.items():
            save_image(folder / name, images[label])
        self._last = epoch, list(images), caption
        self._write(refresh_seconds=30)

    def close(self) -> None:
        """Write the page once more, now without reloading."""
        if self._last:
            self._write(refresh_seconds=0)

    def _add(self, images: int, values: Values) -> bool:
        """Whether there were scores among the values."""
        scores = with_prefix(SCORE, values)
        for metric, score in scores.items():
            points = self._scores.setdefault(metric, [])
            if math.isfinite(score):
                points.append((images, score))
        return bool(scores)

    def _draw_curves(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_file(self.folder / CURVES) as stream:
            stream.write(draw_curves(self._scores).encode())

    def _write(self, refresh_seconds: int) -> None:
        last_epoch, labels, subtitle = self._last
        page = ResultsPage(self.folder, self.title, subtitle, image_height=self.image_height,
                           refresh_seconds=refresh_seconds)
        if (self.folder / CURVES).exists():
            page.add_row("evaluation", [("of the test split", CURVES)])
        order = {label: place for place, label in enumerate(labels)}
        for epoch, found in sorted(self._on_disk().items(), reverse=True):
            if epoch <= last_epoch:
                shown = sorted(found, key=lambda label: (order.get(label, len(order)), label))
                page.add_row(f"epoch {epoch}", [(label, f"images/{found[label]}") for label in shown])
        page.save()

    def _on_disk(self) -> dict[int, dict[str, str]]:
        """Epoch -> label -> name of the file."""
        epochs: dict[int, dict[str, str]] = {}
        for path in (self.folder / "images").iterdir():
            if match := IMAGE.fullmatch(path.name):
                epochs.setdefault(int(match[1]), {})[match[2]] = path.name
        return epochs
