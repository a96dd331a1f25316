"""How test.py writes translations in their inputs' own formats: in their depth, volumes whole, with alpha."""

import threading
import uuid
from argparse import Namespace
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from data.image_folder import EXTENSIONS, Domain
from data.readers import extension_of, open_stack, write_image
from data.readers.alpha import write_with_alpha
from data.readers.place import Place
from data.readers.ranges import Bounds, ValueRange, numbers
from data.readers.stack import Stack
from data.readers.volumes import VOLUMES
from data.transforms import DRAWING, check_preprocess
from util.atomic import atomic_file
from util.errors import UsageError
from util.loggers.results import Exact


class Written:
    """Gives, for each input, how its translation is written beside a page's PNG or in its place.

    Slices are put together in memory until their volume is whole. No more than the volumes whose slices are
    on the way to the disk are there: `exact` is called in the order of the items, a volume's in one go.
    """

    def __init__(self, opt: Namespace, domains: Mapping[str, Domain]):
        """domains: of the data set, by name. Raises UsageError for what could not be written."""
        self._axis = opt.slice_axis if opt.value_range else None
        self._alpha = bool(opt.value_range or opt.keep_alpha) and not cut_off(opt)
        self._results = uuid.uuid4().hex    # tells these results from those of another time
        self._volume: _Volume | None = None     # of which slices may still come
        self.missing: list[str] = []    # a line for each volume that lacks slices and was not written
        if opt.keep_alpha and cut_off(opt):
            raise UsageError(f"--keep_alpha needs whole images, but --preprocess {opt.preprocess} cuts parts "
                             "out; use --preprocess none")
        inputs = domains.get(opt.direction[0])
        if opt.value_range and inputs:
            _check(opt, {Place.of(path).extension: path for path in inputs.paths})

    def exact(self, batch: Mapping[str, Any], key: str) -> list[Exact | None]:
        """batch: of the data set. key: of its inputs."""
        paths = batch.get(f"{key}_paths", ())
        return [self.one(path, depth) for path, depth in
                zip(paths, batch.get(f"{key}_depth", [""] * len(paths)), strict=True)]

    def close(self) -> None:
        """No further slices come; call it when all that `exact` gave has been used."""
        self._end()

    def one(self, path: str, depth: str) -> Exact | None:
        """Of one image."""
        if not depth:
            return (".png", partial(write_with_alpha, source=path)) if self._alpha else None
        place = Place.of(path)
        stack = open_stack(place, self._axis)
        extension = extension_of(path)
        if stack:
            whole = place._replace(number=None)
            if self._volume is None or self._volume.place != whole:
                self._end()
                self._volume = _Volume(whole, stack, self._axis, self._results)
            self._volume.handed += 1
            low, high = map(float, depth.split(" ")[1:])
            return extension, partial(self._volume.add, number=place.number, bounds=(low, high))
        return extension, self.alone(path, depth)

    def alone(self, path: str, depth: str) -> Callable[..., None]:
        """How one image, or slice, is written as a file of its own, in the format of that file's name."""
        dtype, *bounds = depth.split(" ")
        low, high = map(float, bounds)
        place, scale = Place.of(path), ValueRange((low, high))
        if self._alpha and place.number is None and place.extension in EXTENSIONS:
            return partial(write_with_alpha, source=path, depth=dtype, scale=scale)
        return partial(write_image, depth=dtype, scale=scale)

    def _end(self) -> None:
        volume, self._volume = self._volume, None
        if volume and volume.handed < volume.stack.count:
            volume.give_up()
            self.missing.append(f"{volume.place.file}: {volume.stack.count - volume.handed} of its "
                                f"{volume.stack.count} slices are missing, so no volume is written of it")


class _Volume:
    """A volume whose translated slices come one after the other, from several threads.

    handed: how many slices were promised.
    """

    def __init__(self, place: Place, stack: Stack, axis: int | None, results: str):
        self.place, self.stack, self.handed = place, stack, 0
        self._save = partial(VOLUMES[place.extension].save, place=place, axis=axis)
        self._results = results
        self._lock = threading.Lock()
        self._slices: dict[Path, np.ndarray] = {}   # stored numbers [N, H, W] or [N, H, W, C], by its file
        self._left: dict[Path, int] = {}            # slices that have not come yet
        self._given_up = False

    def add(self, path: Path, image: Tensor, *, number: int | None, bounds: Bounds) -> None:
        """A translated slice [C, H, W]; the last of a file writes it.

        path: of the slice; its volume's is that of its folder, with the extension.
        """
        found = self.stack.stored(numbers(image, bounds))
        if number is None:
            self._write(path, found)
            return
        path = path.parent.with_name(path.parent.name + self.place.extension)
        with self._lock:
            if self._given_up:
                return
            if path not in self._slices:
                self._slices[path] = np.empty((self.stack.count, *found.shape), found.dtype)
                self._left[path] = self.stack.count
            if found.shape != self._slices[path].shape[1:]:
                raise UsageError(f"{self.place.file} has slices that come out as {found.shape} and "
                                 f"{self._slices[path].shape[1:]}; use a --preprocess that gives one size")
            self._slices[path][number] = found
            self._left[path] -= 1
            values = None if self._left[path] else self._slices.pop(path)
        if values is not None:
            self._write(path, values)

    def give_up(self) -> None:
        """Forget the slices: they do not make a volume."""
        with self._lock:
            self._given_up = True
            self._slices.clear()

    def _write(self, path: Path, values: np.ndarray) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as stream:
            self._save(stream, values, results=f"{self._results} {path.parent}")


def cut_off(opt: Namespace) -> bool:
    """Whether --preprocess cuts parts out of images, in translation."""
    words = set(check_preprocess(opt.preprocess))
    whole = opt.load_size <= opt.crop_size and words & {"resize", "fixsize"} and "zoom" not in words
    return bool(words & set(DRAWING)) and not whole


def _check(opt: Namespace, examples: Mapping[str, str]) -> None:
    """Raise UsageError where a format cannot hold the translations. examples: a path by extension."""
    outputs = opt.output_nc
    for extension, path in examples.items():
        known = VOLUMES.get(extension)
        if known and outputs not in known.channels:
            raise UsageError(f"{path} is translated into {outputs} channels (--output_nc {outputs}), but "
                             f"{extension} holds one here; train with --output_nc 1, or give files of "
                             "another format")
        if known and known.fixed_size and opt.preprocess != "none":
            raise UsageError(f"--preprocess is {opt.preprocess}, but {path} says where its pixels lie in "
                             "space, which holds for their own size alone; use --preprocess none")
