"""The page of a run, web/index.html: where it stands, its curves, and the images of every saved epoch."""

import re
import time
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path

from util.atomic import atomic_file
from util.images import Pixels, save_image
from util.loggers.base import SCORE, SPEED, History, Logger, NamedImages, Values, curves, with_prefix
from util.loggers.curve import draw_curves
from util.loggers.html import images_row
from util.loggers.pages import sections
from util.loggers.pages.curves import Curves, panels
from util.loggers.pages.document import write_page
from util.loggers.pages.moments import Moments
from util.runtime.progress import Progress

CURVES = "evaluation.svg"
IMAGE = re.compile(r"epoch(\d{3,})_(.+)\.png")
RELOAD_SECONDS = 30     # the page's, and how often numbers alone have it written


def open_gallery(opt: Namespace, folder: Path) -> "Gallery | None":
    """The gallery in the run's folder, or None with --no_html."""
    return None if opt.no_html else Gallery(folder / "web", f"Training of {opt.name}", opt.display_winsize)


class Gallery(Logger):
    """Images `<folder>/images/epoch%03d_<label>.png`, the test images in `<folder>/fixed`, and a page of one
    row per epoch, newest first, below status and curves.

    The page shows what is on disk, up to the epoch saved last: a resumed run keeps its earlier rows, and
    images of later epochs, which it will draw again, stay out. Options and checkpoints are those of the
    folder's parent.
    """

    def __init__(self, folder: Path, title: str, image_height: int):
        """image_height: in pixels of the screen."""
        self.folder, self.title, self.image_height = folder, title, image_height
        self._curves, self._moments = Curves(), Moments(folder / "fixed")
        self._step: Progress | None = None
        self._began: tuple[float, int] = time.monotonic(), 0    # seconds, images seen in all
        self._last_epoch = 0        # whose images were written
        self._labels: list[str] = []
        self._rows: dict[int, tuple[list[str], str]] = {}       # epoch -> its labels, its HTML
        self._written = -float("inf")

    def start(self, step: Progress, history: History) -> None:
        self._step, self._began = step, (time.monotonic(), step.total_images)
        for images, values in history:
            self._curves.add(images, values)
        self._last_epoch = step.epoch - (step.epoch_images == 0)
        self._moments.start(step.total_images)
        if any(name.startswith(SCORE) for name in self._curves.named):
            self._draw_scores()
        else:
            (self.folder / CURVES).unlink(missing_ok=True)      # of another run: it would mislead

    def scalars(self, step: Progress, values: Values) -> None:
        self._step = step
        self._curves.add(step.total_images, curves(values))
        scored = bool(with_prefix(SCORE, values))
        if scored:
            self._draw_scores()
        if scored or time.monotonic() - self._written > RELOAD_SECONDS:
            self._write(RELOAD_SECONDS)

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
        self._step, self._last_epoch, self._labels = step, epoch, list(images)
        self._rows.pop(epoch, None)
        self._write(RELOAD_SECONDS)

    def fixed_images(self, step: Progress, images: NamedImages) -> None:
        self._step = step
        self._moments.add(step.total_images, images)
        self._write(RELOAD_SECONDS)

    def close(self) -> None:
        """Write the page once more, now without reloading."""
        if self._written > 0:
            self._write(refresh_seconds=0)

    def _draw_scores(self) -> None:
        """The scores alone, as an image file."""
        scores = with_prefix(SCORE, self._curves.named)
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_file(self.folder / CURVES) as stream:
            stream.write(draw_curves({name: curve.points() for name, curve in scores.items()}).encode())

    def _write(self, refresh_seconds: int) -> None:
        self._written = time.monotonic()        # also where the disk refuses: one line in RELOAD_SECONDS
        drawn = panels({"": self._curves})
        scores = f'<img src="{CURVES}" alt="scores">' if (self.folder / CURVES).exists() else ""
        body = [self._status(), sections.fixed_images(self.folder, self._moments, self.image_height),
                sections.curves_section(drawn, scores), sections.about_run(self.folder.parent, self.folder),
                *sections.folded(self._epochs())]
        write_page(self.folder / "index.html", title=self.title, subtitle="", body=filter(None, body),
                   scripts=["charts.js", "images.js"], refresh_seconds=refresh_seconds,
                   data={"panels": drawn, "moments": self._moments.times})

    def _status(self) -> str:
        step, (began, images_then) = self._step, self._began
        done, seconds = step.total_images - images_then, time.monotonic() - began
        epochs_left = step.last_epoch - step.epoch + 1
        left = epochs_left * step.images_per_epoch - step.epoch_images
        known = done > 0 and left < float("inf")
        speed = self._curves.named.get(f"{SPEED}images_per_second")
        return sections.status(step, speed.points()[-1][1] if speed and speed.points() else 0,
                               max(0, left) * seconds / done if known else None,
                               self._curves.best_scores(), time.strftime("%Y-%m-%d %H:%M:%S"))

    def _epochs(self) -> dict[int, str]:
        """Epoch -> its row of images. Only rows whose files are others than at the last call are made."""
        order = {label: place for place, label in enumerate(self._labels)}
        rows: dict[int, tuple[list[str], str]] = {}
        for epoch, found in self._on_disk().items():
            if epoch > self._last_epoch:
                continue
            labels = sorted(found, key=lambda label: (order.get(label, len(order)), label))
            rows[epoch] = self._rows.get(epoch, ([], ""))
            if rows[epoch][0] != labels:
                images = [(label, f"images/{found[label]}") for label in labels]
                row = images_row(self.folder, f"epoch {epoch}", images, self.image_height)
                rows[epoch] = labels, row
        self._rows = rows
        return {epoch: row for epoch, (_, row) in rows.items()}

    def _on_disk(self) -> dict[int, dict[str, str]]:
        """Epoch -> label -> name of the file."""
        epochs: dict[int, dict[str, str]] = {}
        folder = self.folder / "images"
        for path in folder.iterdir() if folder.exists() else ():
            if match := IMAGE.fullmatch(path.name):
                epochs.setdefault(int(match[1]), {})[match[2]] = path.name
        return epochs
