"""Translated pictures on disk: images/<label>/<name>.png and one page that shows them in rows."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path, PurePath

from torch import Tensor

from util.html import ResultsPage
from util.images import Pixels, save_picture, to_pixels

THREADS = 4     # writing pictures; compressing lets other threads compute
WAITING = 64    # pictures that may wait to be written before `add` does


class Results:
    """A folder of results. Nothing is ever overwritten: names that meet are told apart by a number.

    Pictures are written by threads while the next are translated; `save` waits for all of them.
    """

    def __init__(self, folder: Path, title: str, subtitle: str, *, picture_height: int):
        self.folder = folder
        self.page = ResultsPage(folder, title, subtitle, picture_height=picture_height)
        self._taken: set[str] = set()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="pictures")
        self._rows: deque[tuple[str, list[tuple[str, PurePath]], list[Future]]] = deque()

    def add(self, names: list[str], pictures: dict[str, Tensor]) -> None:
        """names: of the inputs, paths below their folder, no extension; pictures: [B, C, H, W] by label."""
        pixels = {label: [to_pixels(image) for image in images] for label, images in pictures.items()}
        for i, name in enumerate(names):
            name = self._free(name)
            row = [(label, PurePath("images", label, f"{name}.png")) for label in pixels]
            self._rows.append((name, row, [self._threads.submit(_write, self.folder / path, pixels[label][i])
                                           for label, path in row]))
        while sum(len(futures) for _, _, futures in self._rows) > WAITING:
            self._finish_row()

    def save(self) -> Path:
        """Wait for the pictures and write the page. Returns its path."""
        while self._rows:
            self._finish_row()
        self._threads.shutdown()
        return self.page.save()

    def _finish_row(self) -> None:
        """Wait for the oldest row's pictures, whose sizes the page reads. Raises what writing them raised."""
        name, row, futures = self._rows.popleft()
        for future in futures:
            future.result()
        self.page.add_row(name, row)

    def _free(self, name: str) -> str:
        free, number = name, 1
        while free in self._taken:
            number += 1
            free = f"{name}_{number}"
        self._taken.add(free)
        return free

    def __len__(self) -> int:
        return len(self._taken)


def _write(path: Path, pixels: Pixels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_picture(path, pixels)
