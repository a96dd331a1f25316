"""The files of translations: their names, and the formats in which --format and --value_range write them."""

import os
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import accumulate, count, groupby
from pathlib import PurePath
from typing import Any

from data.base_dataset import BaseDataset
from data.image_folder import Domain
from data.readers import ValueRange, extension_of, write_image
from data.readers.formats import FORMATS
from data.readers.place import Place
from data.readers.written import Written
from util.distributed import ranks
from util.errors import UsageError
from util.images import QUALITY, SAVED, save_image
from util.loggers.results import Writer

# --format -> which numbers of more than 8 bits a channel it holds, by dtype; None: any.
FORMAT_DEPTHS: dict[str, tuple[str, ...] | None] = {"png": ("uint16",), "jpg": (), "webp": (), "tiff": None}
LOSSY_FORMATS = ("jpg", "webp")
SAME = "same"                                               # as the input's
SHOWN = (".png", ".jpg", ".jpeg", ".webp", ".bmp")          # by browsers


class FileNames:
    """Names of files in one folder, none twice; a function of the names asked for, in their order."""

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._folders: set[str] = set()

    def free(self, name: str, extensions: Iterable[str] = (".png",)) -> str:
        """The name, with a number behind each part that is taken already. extensions: of its files."""
        *folders, last = PurePath(name).parts
        path = PurePath()
        for part in folders:                    # `a.png` may be a folder in the data, and `a` an image
            path = next(free for free in _numbered(path / part) if str(free) not in self._files)
            self._folders.add(str(path))
        for candidate in _numbered(path / last):
            files = {f"{candidate}{extension}" for extension in extensions}
            if not files & self._files and not files & self._folders:
                self._files |= files
                return str(candidate)


class ResultNames:
    """The name of each item's results: the path of its image below its folder, without extension.

    known: the names of all items, in order, as far as the data set tells them before items are read.
    """

    def __init__(self, dataset: BaseDataset, output: "Output"):
        self._dataset, self._output, self._free = dataset, output, FileNames()
        self.sources = dataset.inputs()
        self.known = [self._name(path) for path in self.sources]

    def of(self, items: Sequence[int], paths: Sequence[str]) -> list[str]:
        """The names of items by number, whose images are in these files."""
        if not self.sources:
            found = [self._name(path) for path in paths]
            self.known += found
            return found
        return [self.known[item] for item in items]

    def _name(self, path: str) -> str:
        name = self._dataset.relative_name(self._dataset.input_domain, path)
        return self._free.free(name, self._output.extensions(path))


def own_items(items: Sequence[int], sources: Sequence[str]) -> list[int]:
    """The part of the items that this rank translates: all but equally many on each, no volume divided.

    items: their numbers, in order. sources: the file of each item; not read by a rank that works alone.
    """
    if not ranks.active():
        return list(items)
    files = [list(group) for _, group in groupby(items, key=lambda item: Place.of(sources[item]).file)]
    first, ends = ranks.part(len(items)), list(accumulate(map(len, files)))
    return [item for group, end in zip(files, ends, strict=True) if first.start < end <= first.stop
            for item in group]


class Output:
    """How translations are written: --format, --quality, --value_range, --keep_alpha, --output_only."""

    def __init__(self, opt: Namespace, domains: Mapping[str, Domain]):
        """domains: of the data set, by name. Raises UsageError for what could not be written."""
        self._format, self._quality, self._page = opt.format, opt.quality or QUALITY, not opt.output_only
        self._deep, self._written = bool(opt.value_range), Written(opt, domains)

    def extensions(self, path: str) -> set[str]:
        """Of all files that a translation of the image in a file may get."""
        found = {self._extension(path, ""), *([self._extension(path, "deep")] if self._deep else [])}
        return found | ({".png"} if self._page else set())

    def writers(self, batch: Mapping[str, Any], key: str) -> list[Writer]:
        """What writes the translations of a minibatch. key: of its inputs.

        Raises UsageError where --format does not write numbers such as theirs.
        """
        paths = batch[f"{key}_paths"]
        depths = batch.get(f"{key}_depth", [""] * len(paths))
        return [self._exact(path, depth) if depth else self._of_8_bits(path)
                for path, depth in zip(paths, depths, strict=True)]

    def close(self) -> list[str]:
        """A line for each volume that is not written, because slices are missing; call it at the end."""
        self._written.close()
        return self._written.missing

    def _exact(self, path: str, depth: str) -> Writer:
        """depth: dtype, and the numbers that are black and white."""
        dtype = depth.split(" ")[0]
        extension = self._extension(path, dtype)
        write: Callable[..., None]
        if self._format in FORMAT_DEPTHS:
            holds = FORMAT_DEPTHS[self._format]
            if holds is not None and dtype not in holds:
                raise UsageError(f"--format {self._format} does not write numbers of {dtype}, as {path} has "
                                 "them; use --format same or tiff")
            write = self._written.alone(path, depth)
        else:
            extension, write = self._written.one(path, depth)
        return Writer(extension, write, extension.lower() in SHOWN, exact=True)

    def _of_8_bits(self, path: str) -> Writer:
        extension = self._extension(path, "")
        known = extension.lower()
        if known not in SAVED:      # an array of bytes
            write = partial(write_image, depth="uint8", scale=ValueRange(None))
            return Writer(extension, write, shown=False, exact=True)
        save = partial(save_image, extension=known, quality=self._quality)
        if alpha := self._written.one(path, ""):
            return Writer(extension, partial(alpha[1], save=save), known in SHOWN, exact=True)
        return Writer(extension, save, known in SHOWN)

    def _extension(self, path: str, depth: str) -> str:
        if self._format in FORMAT_DEPTHS:
            return f".{self._format}"
        if depth:
            return extension_of(path)
        own = os.path.splitext(path)[1]
        return own if self._format == SAME and own.lower() in {*SAVED, *FORMATS} else ".png"


def _numbered(path: PurePath) -> Iterator[PurePath]:
    """a, a_2, a_3 and so on."""
    yield path
    for number in count(2):
        yield path.with_name(f"{path.name}_{number}")
