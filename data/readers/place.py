"""Where an image is: a file, or a slice of a volume in one, such as scan.nii.gz[012] or scans.h5:ct[012]."""

import os
import re
from typing import NamedTuple


class Place(NamedTuple):
    """file: its path. dataset: of an HDF5 file, its data set; "": the only one. number: of the slice, from 0;
    None: the file is one image.
    """

    file: str
    dataset: str = ""
    number: int | None = None

    @staticmethod
    def of(path: str) -> "Place":
        """The place that a path names; the path itself where it is a file, or names nothing that exists."""
        if not (path.endswith("]") or ":" in path) or os.path.isfile(path):
            return Place(path)
        whole, number = path, None
        if found := re.fullmatch(r"(.+)\[(\d+)\]", path, re.DOTALL):
            whole, number = found[1], int(found[2])
            if os.path.isfile(whole):
                return Place(whole, "", number)
        file, _, dataset = whole.rpartition(":")
        return Place(file, dataset, number) if os.path.isfile(file) else Place(path)

    @property
    def extension(self) -> str:
        """Of the file, in small letters, with what stands before .gz."""
        return self.file[len(self._stem):].lower()

    @property
    def _stem(self) -> str:
        stem, extension = os.path.splitext(self.file)
        return os.path.splitext(stem)[0] if extension.lower() == ".gz" else stem

    @property
    def name(self) -> str:
        """The path without extension; the slices of a volume lie as if in a folder of the volume's name."""
        parts = (self._stem, self.dataset,
                 "" if self.number is None else f"{self.number:03d}")
        return "/".join(part for part in parts if part)

    def slices(self, count: int) -> list[str]:
        """The paths of all the slices of a volume; of its only image, the path itself."""
        whole = f"{self.file}:{self.dataset}" if self.dataset else self.file
        return [f"{whole}[{number:03d}]" for number in range(count)] if count > 1 else [whole]


def folder_of(path: str) -> str:
    """The folder of the file that a path names, or that holds what it names."""
    return os.path.dirname(Place.of(path).file)


def is_file(path: str) -> bool:
    """Whether a path names a file, or what lies in one."""
    return os.path.isfile(Place.of(path).file)


def contents(folder: str, most: int = 8) -> str:
    """The names in a folder, in a few words."""
    if not os.path.isdir(folder):
        return "nothing: it is no folder"
    names = sorted(os.listdir(folder))
    shown = ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
    return shown or "nothing"
