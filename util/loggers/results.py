"""The images that test.py writes: images/<label>/<name>.png, and a page that shows them in rows."""

import errno
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from util.checkpoints.translation_record import Done, Record, stamp_of
from util.errors import RunError
from util.images import ROWS, Pixels, save_image, to_pixels, viewable
from util.loggers.html import ResultsPage

THREADS = 4             # writing images; compressing lets other threads compute
WAITING = 64            # images that may wait to be written before `add` does
WAITING_BYTES = 2 ** 28
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


# How a translation is kept in finer steps than a page shows: its file's extension, and what writes it.
Exact = tuple[str, Callable[[Path, Tensor], None]]


class Writer(NamedTuple):
    """How a translation is written: its file's extension, and what writes it there.

    write: a path, and pixels, uint8 [H, W, C]; or, where it is exact, the image itself, [C, H, W] in [-1, 1].
    shown: whether browsers show such a file; where they do not, the page gets a PNG beside it.
    """

    extension: str = ".png"
    write: Callable[[Path, Any], None] = save_image
    shown: bool = True
    exact: bool = False


class _Row(NamedTuple):
    """A row whose images are being written; waits: bytes that wait with it."""

    done: Done
    futures: list[Future]
    waits: int


class Results:
    """A folder of results, with a page of them, and a record of what is done.

    Images are written by threads while the next are translated; `save` waits for all of them. The record has
    all that the page shows, so that a later process can go on, and none of it stays in memory.
    """

    def __init__(self, folder: Path, title: str, subtitle: str, *, image_height: int, page: bool = True,
                 share: int = 0):
        """page: False for translations alone. share: of the record, see Record."""
        self.folder, self.record, self._has_page = folder, Record(folder, share), page
        self.page = ResultsPage(folder, title, subtitle, image_height=image_height)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="images")
        self._rows: deque[_Row] = deque()
        self._count = 0

    def add(self, names: Sequence[str], images: Mapping[str, Tensor], writers: Sequence[Writer] = (),
            sources: Sequence[str] = ()) -> None:
        """names: below the folder of each label, without extension, none twice. images: [B, C, H, W] in
        [-1, 1] by label. writers: how the translations of each name are written; by default, as PNG.
        sources: the file of each input.

        Raises RunError where the disk is full.
        """
        images = {label: batch for label, batch in images.items()
                  if self._has_page or label.startswith("fake_B")}
        pixels = {label: [to_pixels(one) for one in viewable(batch)] for label, batch in images.items()}
        for i, name in enumerate(names):
            row, jobs, waits = [], {}, 0
            for label in images:
                writer = writers[i] if writers and not label.startswith("real") else Writer()
                content = images[label][i] if writer.exact else pixels[label][i]
                path = f"images/{label}/{name}{writer.extension}"
                jobs[path] = partial(writer.write, self.folder / path, content)
                if self._has_page and not writer.shown:
                    path = f"images/{label}/{name}.png"
                    jobs[path] = partial(save_image, self.folder / path, pixels[label][i])
                height, width = pixels[label][i].shape[:2]
                row.append((label, path, width, height))
                waits += content.nbytes
            scores = changes({label: batch[i] for label, batch in pixels.items()})
            done = Done(name, stamp_of(sources[i]) if sources else None, dict.fromkeys(jobs, 0), row, scores)
            self._rows.append(_Row(done, [self._threads.submit(_write, *job) for job in (
                (self.folder / path, write) for path, write in jobs.items())], waits))
            self._count += 1
        while self._rows and (self._too_many() or all(future.done() for future in self._rows[0].futures)):
            self._finish_row()

    def finish(self) -> None:
        """Wait until the images are written."""
        while self._rows:
            self._finish_row()
        self._threads.shutdown()

    def save(self, names: Sequence[str]) -> Path:
        """Finish, then write the page of all that is done, of every share, in the order of names. Returns its
        path; where there is none, that of the folder.
        """
        self.finish()
        if not self._has_page:
            return self.folder
        places = self.record.places(names)
        return self.page.save(map(self._page_row, self.record.at(places)), len(places))

    def _page_row(self, done: Done) -> str:
        sizes = {label: (width, height) for label, _, width, height in done.row}
        return self.page.row(done.name, [(label, path) for label, path, *_ in done.row], done.scores, sizes)

    def _too_many(self) -> bool:
        """Whether more waits to be written than memory should hold."""
        return (sum(len(row.futures) for row in self._rows) > WAITING
                or sum(row.waits for row in self._rows) > WAITING_BYTES)

    def _finish_row(self) -> None:
        """Wait for the images of the oldest row, then record it. Raises their errors."""
        row = self._rows.popleft()
        try:
            for path, future in zip(row.done.files, row.futures, strict=True):
                row.done.files[path] = future.result()
            self.record.add(row.done)
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise RunError(f"{self.folder}: {error.strerror}; the images that are done stay: make room, then "
                           "the same command with --skip_existing goes on") from error

    def __len__(self) -> int:
        return self._count


def changes(images: Mapping[str, Pixels]) -> dict[str, float]:
    """How far each translation is from its input: mean |fake - real_A|, in levels of 0 to 255, by the name
    "change of <label>". Translations of another size than the input have none.
    """
    real = images.get("real_A")
    return {f"change of {label}": round(mean_difference(fake, real), 3)
            for label, fake in images.items()
            if label.startswith("fake") and real is not None and fake.shape == real.shape}


def mean_difference(one: Pixels, other: Pixels) -> float:
    """mean |one - other|, without copies of large images."""
    total = sum(int(np.abs(one[top:top + ROWS].astype(np.int16) - other[top:top + ROWS]).sum(dtype=np.int64))
                for top in range(0, len(one), ROWS))
    return total / one.size


def _write(path: Path, write: Callable[[], None]) -> int:
    """Returns the size of the file in bytes; -1 where none is there yet: a slice waits for its volume."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write()
    return path.stat().st_size if path.exists() else -1
