"""The base class of data sets: an item is a pure function of (seed, epoch, index)."""

import copy
import os
from abc import ABC, abstractmethod
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from PIL.Image import Image
from torch import Tensor
from torch.utils.data import Dataset

from data import readers
from data.augment import augmentations
from data.companions import Companion, Labels, check_sizes, companions, load_labels
from data.image_cache import create_cache
from data.image_folder import MODES, BadImage, Domain, contents, find_images, load_image, tolerated_bad
from data.image_list import OWN_COLUMNS, Row, is_list, read_list, resolve
from data.readers.deep_image import DeepImage
from data.readers.place import Place, folder_of, is_file
from data.shards.packed import file_of
from data.transforms import SIDE_MULTIPLE, Geometry, Transform, check_preprocess
from util.errors import DataError, UsageError

# The purposes of random numbers; each gives streams of its own.
ITEM, ORDER, BATCH = 0, 1, 2


class Position(NamedTuple):
    """The place of an item in the run."""

    epoch: int  # from 1
    index: int  # of the item in the data set


def random_stream(seed: int, epoch: int, number: int, purpose: int) -> np.random.Generator:
    """Random numbers of their own for an item, an epoch's order (number 0) or a minibatch; seed >= 0."""
    return np.random.default_rng([seed, epoch, number, purpose])


class BaseDataset(Dataset, ABC):
    """A data set writes `__len__` and `item`, calls `add_domain` for each domain, and may add flags.

    domains: "A", "B" -> the images of that domain.
    rows: of a list, the rows of each domain's images.
    """

    half_images = False     # whether an image file holds two, side by side
    ordered = False         # whether `item` has an order of its own, which the loader leaves alone

    def __init__(self, opt: Namespace):
        self.opt = opt
        self.domains: dict[str, Domain] = {}
        self.rows: dict[str, list[Row]] = {}
        self._companions: list[tuple[Companion, Sequence[str]]] = []        # with a path for each image
        words = check_preprocess(opt.preprocess)
        exact = words == ("none",) and not opt.isTrain  # in translation the model pads and crops back
        self._transform = Transform(words, opt.isTrain and not opt.no_flip, 1 if exact else SIDE_MULTIPLE,
                                    augmentations(opt.augment) if opt.isTrain else ())
        self._cache = create_cache(opt)
        scale = readers.value_range(opt.value_range)
        self._load = partial(readers.read_image, scale=scale, axis=opt.slice_axis) if scale else load_image
        self._extensions = readers.readable(opt.value_range)
        self._geometry = Geometry(opt.load_size, opt.crop_size, opt.random_scale_max)

    @staticmethod
    def modify_commandline_options(parser: ArgumentParser, is_train: bool) -> ArgumentParser:
        """Add flags, or change defaults, of this data set."""
        return parser

    @staticmethod
    def gives(opt: Namespace) -> set[str]:
        """What items hold beside A and B, for losses that need it: keys that belong to the input's images,
        and "pairs" where B shows what A should become.
        """
        belonging = companions(opt.companions, opt.phase)
        return {companion.key for companion in belonging if companion.domain == opt.direction[0]}

    @abstractmethod
    def __len__(self) -> int:
        """Items of an epoch."""

    def weights(self) -> np.ndarray | None:
        """How often, relative to each other, the items are drawn in training, [len]; None: once an epoch."""
        return None

    @abstractmethod
    def item(self, index: int, epoch: int, random: np.random.Generator) -> dict[str, Any]:
        """{"A": [C, H, W] in [-1, 1], "A_paths": str, and the same for B}; an absent domain is left out.

        "bad", if present, lists one line for each image that could not be read.
        """

    def __getitem__(self, position: Position | int) -> dict[str, Any]:
        """The item at a position; a plain index means the first epoch."""
        epoch, index = position if isinstance(position, tuple) else (1, position)
        if not 0 <= index < len(self):  # this also ends a plain `for item in dataset`
            raise IndexError(f"index {index} in a data set of {len(self)}")
        return self.item(index, epoch, random_stream(self.opt.seed, epoch, index, ITEM))

    # ---- domains

    @property
    def input_domain(self) -> str:
        """The domain that the model translates: "A", or "B" with --direction BtoA."""
        return "B" if self.opt.direction == "BtoA" else "A"

    def dataroot(self) -> str:
        """--dataroot, which must exist. Raises UsageError."""
        root = self.opt.dataroot
        if os.path.exists(root) or is_file(root):
            return root
        if root == "placeholder":  # the flag's default
            raise UsageError("--dataroot is not given; it names the folder of the data set")
        raise UsageError(f"--dataroot is {root!r}, which does not exist; give the folder of the data set")

    def channels(self, domain: str) -> int:
        """Channels of a domain's images: --input_nc for the input domain, --output_nc for the other."""
        flag, channels = (("input_nc", self.opt.input_nc) if domain == self.input_domain else
                          ("output_nc", self.opt.output_nc))
        if channels not in MODES:
            raise UsageError(f"--{flag} is {channels}, but images are read as gray (1) or colour (3)")
        return channels

    def add_domain(self, domain: str, folder: str, limit: float) -> None:
        """Make the first `limit` images of a folder or a list, or one image file, a domain.

        Their companions are found, too. Raises UsageError for none.
        """
        if is_list(folder):
            rows = [row for row in read_list(folder, self.opt.phase) if row.get(domain)]
            self.rows[domain] = rows[:int(min(limit, len(rows)))]
            paths = [resolve(folder, row[domain]) for row in self.rows[domain]]
            folder = os.path.commonpath([folder_of(path) for path in paths]) if paths else folder
        elif is_file(folder):
            folder, paths = folder_of(folder) or ".", [folder]
        elif os.path.isdir(folder):
            paths = find_images(folder, limit, self._extensions)
        else:
            raise UsageError(f"the folder {folder!r} is missing, where domain {domain}'s images should be; "
                             f"{os.path.dirname(folder)!r} holds {contents(os.path.dirname(folder))}; "
                             "see --dataroot and --phase")
        if not paths:
            raise UsageError(f"the folder {folder!r} should hold domain {domain}'s images "
                             f"({' '.join(self._extensions)}), but holds {contents(folder)}; "
                             "see --dataroot and --phase" + readers.hint(folder, self._extensions))
        if self.opt.value_range:
            paths, files = readers.sliced(paths, self.opt.slice_axis, limit)
            if domain in self.rows:     # each slice has the row of its volume
                self.rows[domain] = [self.rows[domain][file] for file in files]
        self.use_images(domain, folder, paths)

    def use_images(self, domain: str, folder: str, paths: Sequence[str]) -> None:
        """Make images, which lie below a folder, a domain, and find their companions. Raises UsageError."""
        self.domains[domain] = Domain(folder, paths, self.channels(domain))
        if self.opt.value_range:
            with suppress(BadImage):    # a UsageError, as for a missing package, belongs before the run
                self._load(paths[0], self.channels(domain))
        for companion in companions(self.opt.companions, self.opt.phase):
            if companion.domain == domain:
                self._add_companion(companion)

    def _add_companion(self, companion: Companion) -> None:
        """Find the companion of each image. Raises UsageError for one that is missing or of another size."""
        images, root = self.domains[companion.domain], self.opt.dataroot
        if is_list(root):
            names = [row.get(companion.source, "") for row in self.rows[companion.domain]]
            found = companion.listed(root, names)
        else:
            names = [self.relative_name(companion.domain, path) for path in images.paths]
            found = companion.paths(os.path.join(root, companion.source), names)
        check_sizes(images.paths, found, half=self.half_images)
        self._companions.append((companion, found))

    def relative_name(self, domain: str, path: str) -> str:
        """An image's path below its domain's folder, without the extension."""
        return os.path.relpath(Place.of(path).name, self.domains[domain].folder)

    # ---- images

    def read(self, numbers: dict[str, int], epoch: int, random: np.random.Generator) -> dict[str, Any]:
        """The item made of one image a domain, given by its number there; images that are bad are named."""
        item: dict[str, Any] = {}
        bad: list[str] = []
        geometry = self._geometry_in(epoch)
        for domain, number in numbers.items():
            belonging: dict[str, Labels | str] = {}
            found = self.read_image(domain, number, bad, geometry, belonging)
            if found:
                image, path = found
                if belonging:
                    item |= self.finish_alike(belonging, geometry, random)
                item[domain] = self._transform.finish(image, geometry, random)
                item |= {f"{domain}_paths": path} | self.depth_of(domain, image)
        return item | {"bad": bad} if bad else item

    def depth_of(self, domain: str, image: Image | DeepImage) -> dict[str, str]:
        """With --value_range, in translation: the dtype in the image's file, and the numbers that are black
        and white, joined by blanks, by key; "" for 8 bits.
        """
        if not self.opt.value_range or self.opt.isTrain:
            return {}
        deep = isinstance(image, DeepImage)
        return {f"{domain}_depth": "{} {!r} {!r}".format(image.depth, *image.bounds) if deep else ""}

    def read_image(self, domain: str, number: int, bad: list[str], geometry: Geometry | None = None,
                   belonging: dict[str, Labels | str] | None = None, *,
                   replace: bool = True) -> tuple[Image | DeepImage, str] | None:
        """Image `number` of a domain and its path. The reason for each bad one on the way is added to `bad`.

        In training the next readable image replaces a bad one; too many in a row raise DataError. In
        translation the answer is None: a result under another image's name would mislead.
        geometry: apply the words of --preprocess that draw nothing too. belonging: is filled with the image's
        companions, and what else a list says of it, by key. replace: False, if no other image is of use.
        """
        images, replace = self.domains[domain], replace and self.opt.isTrain
        how = (images.channels, *((self._transform.fixed, *geometry[:2]) if geometry else ()))
        tries = min(tolerated_bad(len(images)) + 1, len(images)) if replace else 1
        for offset in range(tries):
            place = (number + offset) % len(images)
            path = images.paths[place]
            image = self._cache.get(path, how)
            try:
                if image is None:
                    image = self._load(path, images.channels)
                    image = self._transform.prepare(image, geometry) if geometry else image
                    self._cache.put(path, how, image)
                if belonging is not None and (self._companions or self.rows):
                    belonging |= self._belonging(domain, place, geometry)
                return image, path
            except BadImage as error:
                bad.append(str(error))
        if not replace:
            return None
        folder = folder_of(file_of(images.paths[number]))
        gone = "" if os.path.isdir(folder) else f"the folder {folder!r} is gone: "
        raise DataError(f"{gone}{tries} images in a row cannot be read: {'; '.join(bad[-tries:])}")

    def _belonging(self, domain: str, place: int, geometry: Geometry | None) -> dict[str, Labels | str]:
        """The companions of an image by key, prepared as it is, and the further columns of its row in a list.

        Raises BadImage.
        """
        found: dict[str, Labels | str] = {}
        if domain == self.input_domain and domain in self.rows:
            used = {*OWN_COLUMNS, *(companion.source for companion, _ in self._companions)}
            found |= {key: text for key, text in self.rows[domain][place].items() if key not in used}
        for companion, paths in self._companions:
            if companion.domain == domain:
                labels = load_labels(paths[place])
                found[companion.key] = self._transform.prepare(labels, geometry) if geometry else labels
        return found

    def finish_alike(self, images: Mapping[str, Image | Labels | str], geometry: Geometry,
                     random: np.random.Generator) -> dict[str, Tensor | str]:
        """Prepared images and companions of one size by key, moved alike; `random` stays where it was."""
        return {key: image if isinstance(image, str) else
                self._transform.finish(image, geometry, copy.deepcopy(random))
                for key, image in images.items()}

    def transform(self, image: Image, epoch: int, random: np.random.Generator) -> Tensor:
        """The image through --preprocess; [C, H, W] in [-1, 1].

        In training past --n_epochs, while the learning rate falls, load_size is crop_size: the whole image.
        """
        return self._transform(image, self._geometry_in(epoch), random)

    def transform_pair(self, images: Mapping[str, Image | Labels], epoch: int,
                       random: np.random.Generator) -> dict[str, Tensor]:
        """`transform_together` of images and companions by key; companions keep their values."""
        return dict(zip(images, self.transform_together(list(images.values()), epoch, random), strict=True))

    def transform_together(self, images: Sequence[Image | Labels], epoch: int,
                           random: np.random.Generator) -> list[Tensor]:
        """`transform` of several images of one size with the same draws: zoomed, cropped, mirrored alike.

        Raises UsageError for images of different sizes, which the same draws would crop differently.
        """
        sizes = sorted({f"{image.width}x{image.height}" for image in images})
        if len(sizes) > 1:
            raise UsageError(f"images of {' and '.join(sizes[:2])} pixels belong together, but cannot be "
                             "cropped alike; bring those of an item to one size")
        return [self.transform(image, epoch, copy.deepcopy(random)) for image in images[:-1]] + [
            self.transform(images[-1], epoch, random)]

    def _geometry_in(self, epoch: int) -> Geometry:
        if self.opt.isTrain and epoch > self.opt.n_epochs:
            return self._geometry._replace(load_size=self._geometry.crop_size)
        return self._geometry
