"""The training gallery: web/index.html with the pictures of every saved epoch."""

import re
from pathlib import Path

from util.images import Pixels, save_picture
from util.loggers.curve import CURVE
from util.loggers.html import ResultsPage

PICTURE = re.compile(r"epoch(\d{3,})_(.+)\.png")


class Gallery:
    """Pictures `<folder>/images/epoch%03d_<label>.png` and a page of one row per epoch, newest first.

    The page shows what is on disk, up to the epoch saved last: a resumed run keeps its earlier rows, and
    pictures of later epochs, which it will draw again, stay out. Above them stands the evaluations' curve.
    """

    def __init__(self, folder: Path, title: str, picture_height: int):
        """picture_height: in pixels of the screen."""
        self.folder, self.title, self.picture_height = folder, title, picture_height
        self._last: tuple[int, list[str], str] | None = None

    def save(self, epoch: int, pictures: dict[str, Pixels], subtitle: str) -> None:
        """Write the pictures of an epoch in place of all it had, and the page, which reloads itself."""
        images = self.folder / "images"
        images.mkdir(parents=True, exist_ok=True)
        names = {label: f"epoch{epoch:03d}_{label}.png" for label in pictures}
        for path in images.glob(f"epoch{epoch:03d}_*.png"):
            if path.name not in names.values():
                path.unlink()
        for label, name in names.items():
            save_picture(images / name, pictures[label])
        self._last = epoch, list(pictures), subtitle
        self._write(refresh_seconds=30)

    def close(self) -> None:
        """Write the page once more, now without reloading."""
        if self._last:
            self._write(refresh_seconds=0)

    def _write(self, refresh_seconds: int) -> None:
        last_epoch, labels, subtitle = self._last
        page = ResultsPage(self.folder, self.title, subtitle, picture_height=self.picture_height,
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
            if match := PICTURE.fullmatch(path.name):
                epochs.setdefault(int(match[1]), {})[match[2]] = path.name
        return epochs
