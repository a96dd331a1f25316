"""The images that test.py writes: images/<label>/<name>.png, and one page that shows them in rows."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from pathlib import Path, PurePath

import numpy as np
from torch import Tensor

from util.images import Pixels, save_image, to_pixels, viewable
from util.loggers.html import ResultsPage

THREADS = 4     # writing images; compressing lets other threads compute
WAITING = 64    # images that may wait to be written before `add` does
# How a translation is kept in finer steps than a page shows: its file's extension, and what writes it.
Exact = tuple[str, Callable[[Path, Tensor], None]]


class Results:
    """A folder of results. No image overwrites another: equal names get a number.

    Images are written by threads while the next are translated; `save` waits for all of them.
    """

    def __init__(self, folder: Path, title: str, subtitle: str, *, image_height: int):
        self.folder = folder
        self.page = ResultsPage(folder, title, subtitle, image_height=image_height)
        self._files: set[PurePath] = set()      # below images/<label>, of any label
        self._folders: set[PurePath] = set()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="images")
        self._rows: deque[tuple[str, list[tuple[str, PurePath]], dict[str, float], list[Future]]] = deque()

    def add(self, names: list[str], images: dict[str, Tensor], exact: Sequence[Exact | None] = ()) -> None:
        """names: of the inputs, their paths below their folder, without extension.
        images: [B, C, H, W] in [-1, 1] by label. exact: for each name, how else its translations are written:
        beside the page's PNG or, being a PNG, in its place.
        """
        pixels = {label: [to_pixels(one) for one in viewable(batch)] for label, batch in images.items()}
        for i, name in enumerate(names):
            name = self._free(name)
            row = [(label, PurePath("images", label, f"{name}.png")) for label in pixels]
            files = {path: (_write, pixels[label][i]) for label, path in row}
            if exact and exact[i]:
                extension, write = exact[i]
                files |= {path.with_name(path.name[:-len(".png")] + extension): (write, images[label][i])
                          for label, path in row if not label.startswith("real")}
            futures = [self._threads.submit(write, self.folder / path, content)
                       for path, (write, content) in files.items()]
            change = changes({label: batch[i] for label, batch in pixels.items()})
            self._rows.append((name, row, change, futures))
        while sum(len(futures) for *_, futures in self._rows) > WAITING:
            self._finish_row()

    def save(self) -> Path:
        """Wait until the images are written, then write the page. Returns its path."""
        while self._rows:
            self._finish_row()
        self._threads.shutdown()
        return self.page.save()

    def _finish_row(self) -> None:
        """Wait for the images of the oldest row, because the page reads their sizes. Raises their errors."""
        name, row, change, futures = self._rows.popleft()
        for future in futures:
            future.result()
        self.page.add_row(name, row, change)

    def _free(self, name: str) -> str:
        """The name, with a number behind each part that is taken already."""
        *folders, last = PurePath(name).parts
        path = PurePath()
        for part in folders:                    # `a.png` may be a folder in the data, and `a` an image
            path = next(free for free in _numbered(path / part) if free not in self._files)
            self._folders.add(path)
        path = next(free for free in _numbered(path / last)
                    if _file(free) not in self._files and _file(free) not in self._folders)
        self._files.add(_file(path))
        return str(path)

    def __len__(self) -> int:
        return len(self._files)


def changes(images: Mapping[str, Pixels]) -> dict[str, float]:
    """How far each translation is from its input: mean |fake - real_A|, in levels of 0 to 255, by the name
    "change of <label>". Translations of another size than the input have none.
    """
    real = images.get("real_A")
    return {f"change of {label}": round(float(np.abs(fake.astype(np.int16) - real).mean()), 3)
            for label, fake in images.items()
            if label.startswith("fake") and real is not None and fake.shape == real.shape}


def _numbered(path: PurePath) -> Iterator[PurePath]:
    """a, a_2, a_3 and so on."""
    yield path
    for number in count(2):
        yield path.with_name(f"{path.name}_{number}")


def _file(path: PurePath) -> PurePath:
    return path.with_name(f"{path.name}.png")


def _write(path: Path, pixels: Pixels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_image(path, pixels)
