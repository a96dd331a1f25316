"""HTML pages of images in rows. They open from disk and load nothing from the network."""

import os
from collections.abc import Iterable
from pathlib import Path, PurePath
from urllib.parse import quote

import dominate
from dominate import tags
from dominate.util import raw
from PIL import Image, UnidentifiedImageError

from util.atomic import atomic_file

STYLE = """
:root { color-scheme: light dark; --back: #f6f7f9; --card: #fff; --ink: #1c2128; --faint: #68717d;
        --line: #e1e4e8; }
@media (prefers-color-scheme: dark) {
  :root { --back: #14171c; --card: #1d2127; --ink: #e4e7eb; --faint: #929aa5; --line: #2e343c; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem clamp(1rem, 3vw, 3rem); max-width: 2200px; background: var(--back);
       color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { margin: 0; font-size: 1.5rem; overflow-wrap: anywhere; }
header p { margin: .25rem 0 1.5rem; color: var(--faint); overflow-wrap: anywhere; }
section { margin: 0 0 1.25rem; padding: 1rem 1.25rem 1.25rem; background: var(--card);
          border: 1px solid var(--line); border-radius: 10px; }
h2 { margin: 0 0 .75rem; font-size: 1rem; font-weight: 600; overflow-wrap: anywhere; }
.row { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
figure { margin: 0; max-width: 100%; }
figcaption { width: 0; min-width: 100%; margin-top: .35rem; color: var(--faint); font-size: .85rem;
             overflow-wrap: anywhere; }
img { display: block; max-width: 100%; height: auto; border-radius: 4px; background: var(--line); }
img.small { image-rendering: pixelated; }
a:focus-visible img, a:hover img { outline: 2px solid #4c8dff; outline-offset: 2px; }
"""


class ResultsPage:
    """A page `<folder>/index.html` of titled rows of labelled images.

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

    def add_row(self, header: str, images: Iterable[tuple[str, str | PurePath]]) -> None:
        """images: (label, path relative to the page's folder); the files must be written already."""
        with tags.section() as section:
            tags.h2(_text(header))
            with tags.div(cls="row"):
                for label, path in images:
                    self._figure(label, PurePath(path))
        self._rows.append(section.render(indent=""))

    def _figure(self, label: str, path: PurePath) -> None:
        address = quote(os.fsencode(path.as_posix()))
        with tags.figure():
            with tags.a(href=address):
                tags.img(src=address, alt=_text(label), loading="lazy", **self._size(self.folder / path))
            tags.figcaption(_text(label))

    def _size(self, path: Path) -> dict[str, str]:
        """Width and height on the page, so that nothing jumps while images load; {} if unreadable."""
        try:
            with Image.open(path) as image:
                width, height = image.size
        except (OSError, UnidentifiedImageError):
            return {}
        shown = {"width": str(max(1, round(width * self.image_height / height))),
                 "height": str(self.image_height)}
        return shown | {"cls": "small"} if 2 * height <= self.image_height else shown

    def save(self) -> Path:
        """Write the page, whole or not at all. Returns its path."""
        page = dominate.document(title=_text(self.title))
        with page.head:
            tags.meta(charset="utf-8")
            tags.meta(name="viewport", content="width=device-width, initial-scale=1")
            if self.refresh_seconds:
                tags.meta(http_equiv="refresh", content=str(self.refresh_seconds))
            tags.style(raw(STYLE))
        with page:
            with tags.header():
                tags.h1(_text(self.title))
                tags.p(_text(self.subtitle))
            tags.main(raw("\n".join(self._rows)))
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "index.html"
        with atomic_file(path) as stream:
            stream.write(page.render(pretty=False).encode())
        return path


def _text(name: str) -> str:
    """The name in valid UTF-8: bytes of a file name that are not text become question marks."""
    return name.encode("utf-8", "replace").decode()
