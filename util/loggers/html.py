"""HTML pages of images in rows. They open from disk and load nothing from the network."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath

from PIL import Image, UnidentifiedImageError

from util.loggers.pages.document import address, element, text, write_page


class ResultsPage:
    """A page `<folder>/index.html` of titled rows of labelled images, to search, to order and to look at.

    Every name is escaped and every path percent-encoded, so any file name is safe and its link works. Each
    row is rendered when it is added, so a page of thousands of rows takes one pass. `save` writes the page.
    """

    def __init__(self, folder: Path, title: str, subtitle: str = "", *, image_height: int = 256,
                 refresh_seconds: int = 0):
        """image_height: in pixels of the screen, for all images alike.
        refresh_seconds: how often the page reloads itself (0: never).
        """
        self.folder, self.title, self.subtitle = folder, title, subtitle
        self.image_height, self.refresh_seconds = image_height, refresh_seconds
        self._rows: list[str] = []

    def add_row(self, header: str, images: Iterable[tuple[str, str | PurePath]],
                scores: Mapping[str, float] | None = None) -> None:
        """images: (label, path relative to the page's folder); the files must be written already.
        scores: finite numbers of this row by name, which rows can be ordered by.
        """
        row = images_row(self.folder, header, images, self.image_height)
        found = json.dumps(dict(scores or {}), allow_nan=False)
        named = f'<section data-name="{text(header)}" data-scores="{text(found)}">'
        self._rows.append(row.replace("<section>", named, 1))

    def save(self) -> Path:
        """Write the page, whole or not at all. Returns its path."""
        return write_page(self.folder / "index.html", title=self.title, subtitle=self.subtitle,
                          body=self._rows, scripts=["images.js"], refresh_seconds=self.refresh_seconds)


def images_row(folder: Path, header: str, images: Iterable[tuple[str, str | PurePath]],
               image_height: int) -> str:
    """A titled row of images with their labels; folder: of the page."""
    figures = [_figure(folder, label, PurePath(path), image_height) for label, path in images]
    return f'<section>\n<h2>{text(header)}</h2>\n<div class="row">\n{"".join(figures)}</div>\n</section>'


def _figure(folder: Path, label: str, path: PurePath, image_height: int) -> str:
    link = element("a", image(folder, path, alt=label, image_height=image_height), href=address(path))
    return element("figure", link + element("figcaption", text(label))) + "\n"


def image(folder: Path, path: PurePath, *, alt: str, image_height: int) -> str:
    """An <img> that is loaded when it comes near the screen."""
    size = "".join(f' {name}="{value}"' for name, value in _size(folder / path, image_height).items())
    return f'<img alt="{text(alt)}"{size} loading="lazy" src="{address(path)}">'


def _size(path: Path, image_height: int) -> dict[str, str]:
    """Width and height on the page, so that nothing jumps while images load; {} if unreadable."""
    try:
        with Image.open(path) as found:
            width, height = found.size
    except (OSError, UnidentifiedImageError):
        return {}
    shown = {"width": str(max(1, round(width * image_height / height))), "height": str(image_height)}
    return shown | {"class": "small"} if 2 * height <= image_height else shown
