"""HTML pages of images in rows. They open from disk and load nothing from the network."""

import json
from collections.abc import Iterable, Mapping
from itertools import chain, islice
from pathlib import Path, PurePath

from PIL import Image, UnidentifiedImageError

from util.loggers.pages.document import address, element, text, write_page

ROWS = 5000             # on a page
Size = tuple[int, int]  # width, height in pixels

class ResultsPage:
    """A page `<folder>/index.html` of titled rows of labelled images, to search, to order and to look at.

    Every name is escaped and every path percent-encoded, so any file name is safe and its link works. More
    than ROWS rows go on in index_2.html and so on, with links between them.
    """

    def __init__(self, folder: Path, title: str, subtitle: str = "", *, image_height: int = 256,
                 refresh_seconds: int = 0):
        """image_height: in pixels of the screen, for all images alike.
        refresh_seconds: how often the page reloads itself (0: never).
        """
        self.folder, self.title, self.subtitle = folder, title, subtitle
        self.image_height, self.refresh_seconds = image_height, refresh_seconds

    def row(self, header: str, images: Iterable[tuple[str, str | PurePath]],
            scores: Mapping[str, float] | None = None, sizes: Mapping[str, Size] | None = None) -> str:
        """A row, for `save`. images: (label, path relative to the page's folder); see images_row for sizes.
        scores: finite numbers of this row by name, which rows can be ordered by.
        """
        row = images_row(self.folder, header, images, self.image_height, sizes)
        found = json.dumps(dict(scores or {}), allow_nan=False)
        named = f'<section data-name="{text(header)}" data-scores="{text(found)}">'
        return row.replace("<section>", named, 1)

    def save(self, rows: Iterable[str], count: int) -> Path:
        """Write the page, whole or not at all, row by row. count: of the rows. Returns its path."""
        rows, pages = iter(rows), max(1, -(-count // ROWS))
        for number in range(1, pages + 1):
            links = [_page_links(number, pages, count)] if pages > 1 else []
            write_page(self.folder / _page_file(number), title=self.title, subtitle=self.subtitle,
                       body=chain(links, islice(rows, ROWS)), scripts=["images.js"],
                       refresh_seconds=self.refresh_seconds)
        for path in self.folder.glob("index_*.html"):       # of an earlier, longer page
            if path.stem.removeprefix("index_").isdecimal() and int(path.stem[len("index_"):]) > pages:
                path.unlink()
        return self.folder / _page_file(1)


def _page_file(number: int) -> str:
    return f"index_{number}.html" if number > 1 else "index.html"


def _page_links(number: int, pages: int, count: int) -> str:
    """Where this page is among all, with links to those beside it and to the ends."""
    first, last = (number - 1) * ROWS + 1, min(number * ROWS, count)
    near = {"first": 1, "previous": number - 1, "next": number + 1, "last": pages}
    links = [element("a", label, href=_page_file(page)) for label, page in near.items()
             if 1 <= page <= pages and page != number]
    return element("p", f"rows {first:,} to {last:,} of {count:,} " + " ".join(links), class_="controls")


def images_row(folder: Path, header: str, images: Iterable[tuple[str, str | PurePath]],
               image_height: int, sizes: Mapping[str, Size] | None = None) -> str:
    """A titled row of images with their labels; folder: of the page.

    sizes: of the images by label; those that are not given are read from the files, which must be there.
    """
    figures = [_figure(folder, label, PurePath(path), image_height, (sizes or {}).get(label))
               for label, path in images]
    return f'<section>\n<h2>{text(header)}</h2>\n<div class="row">\n{"".join(figures)}</div>\n</section>'


def _figure(folder: Path, label: str, path: PurePath, image_height: int, size: Size | None) -> str:
    shown = image(folder, path, alt=label, image_height=image_height, size=size)
    link = element("a", shown, href=address(path))
    return element("figure", link + element("figcaption", text(label))) + "\n"


def image(folder: Path, path: PurePath, *, alt: str, image_height: int, size: Size | None = None) -> str:
    """An <img> that is loaded when it comes near the screen. size: read from the file if not given."""
    known = _shown(*size, image_height) if size else _size(folder / path, image_height)
    shown = "".join(f' {name}="{value}"' for name, value in known.items())
    return f'<img alt="{text(alt)}"{shown} loading="lazy" src="{address(path)}">'


def _size(path: Path, image_height: int) -> dict[str, str]:
    """Width and height on the page of an image in a file; {} if unreadable."""
    try:
        with Image.open(path) as found:
            return _shown(*found.size, image_height)
    except (OSError, UnidentifiedImageError):
        return {}


def _shown(width: int, height: int, image_height: int) -> dict[str, str]:
    """Width and height on the page, so that nothing jumps while images load."""
    shown = {"width": str(max(1, round(width * image_height / height))), "height": str(image_height)}
    return shown | {"class": "small"} if 2 * height <= image_height else shown
