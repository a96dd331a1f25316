"""Translated pictures on disk: images/<label>/<name>.png and one page that shows them in rows."""

from pathlib import Path, PurePath

from torch import Tensor

from util.html import ResultsPage
from util.images import save_picture, to_pixels


class Results:
    """A folder of results. Nothing is ever overwritten: names that meet are told apart by a number."""

    def __init__(self, folder: Path, title: str, subtitle: str, *, picture_height: int):
        self.folder = folder
        self.page = ResultsPage(folder, title, subtitle, picture_height=picture_height)
        self._taken: set[str] = set()

    def add(self, names: list[str], pictures: dict[str, Tensor]) -> None:
        """names: of the inputs, paths below their folder, no extension; pictures: [B, C, H, W] by label."""
        for i, name in enumerate(names):
            name = self._free(name)
            row = []
            for label, images in pictures.items():
                path = PurePath("images", label, f"{name}.png")
                (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
                save_picture(self.folder / path, to_pixels(images[i]))
                row.append((label, path))
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
