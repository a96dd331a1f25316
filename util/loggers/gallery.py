"""The training gallery: web/index.html with the images of every saved epoch."""

import re
from pathlib import Path

from util.images import Pixels, save_image
from util.loggers.curve import CURVE
from util.loggers.html import ResultsPage

IMAGE = re.compile(r"epoch(\d{3,})_(.+)\.png")


class Gallery:
    """Images `<folder>/images/epoch%03d_<label>.png` and a page of one row per epoch, newest first.

    The page shows what is on disk, up to the epoch saved last: a resumed run keeps its earlier rows, and
    images of later epochs, which it will draw again, stay out. Above them stands the evaluations' curve.
    """

    def __init__(self, folder: Path, title: str, image_height: int):
        """image_height: in pixels of the screen."""
        self.folder, self.title, self.image_height = folder, title, image_height
        self._last: tuple[int, list[str], str] | None = None

    def save(self, epoch: int, images: dict[str, Pixels], subtitle: str) -> None:
        """Write the images of an epoch in place of all it had, and the page, which reloads itself."""
        folder = self.folder / "images"
        folder.mkdir(parents=True, exist_ok=True)
        names = {label: f"epoch{epoch:03d}_{label}.png" for label in images}
        for path in folder.glob(f"epoch{epoch:03d}_*.png"):
            if path.name not in names.values():
                path.unlink()
        for label, name in names.items():
            save_image(folder / name, images[label])
        self._last = epoch, list(images), subtitle
        self._write(refresh_seconds=30)

    def close(self) -> None:
        """Write the page once more, now without reloading."""
        if self._last:
            self._write(refresh_seconds=0)

    def _write(self, refresh_seconds: int) -> None:
        last_epoch, labels, subtitle = self._last
        page = ResultsPage(self.folder, self.title, subtitle, image_height=self.image_height,
                           refresh_seconds=refresh_seconds)
        if (self.folder / CURVE).exists():
            page.add_row("evaluation", [("of the test split", CURVE)])
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
