"""One image a domain: an epoch is a number of small crops of both, zoomed at random (Park et al. 2020)."""

import os
from argparse import ArgumentParser, Namespace
from typing import Any, NamedTuple

import numpy as np
from PIL.Image import Image, Resampling, Transpose
from torch import Tensor

from data.base_dataset import BATCH, BaseDataset, random_stream
from data.image_folder import BadImage, load_image
from data.transforms import check_preprocess, to_tensor
from util.errors import UsageError
from util.flags import integer


class Crops(NamedTuple):
    """The places of a group's crops in one image, in pixels of the zoomed image."""

    zoomed: tuple[int, int]  # width and height
    corners: np.ndarray  # int [B, 2]: left and top of each crop


class SingleimageDataset(BaseDataset):
    """In training crops of --crop_size x --crop_size pixels, in translation the whole image.

    Item i belongs to group i // batch_size of its epoch; a group has one zoom. In order, groups are the
    minibatches, as in the paper; --mix_zooms shuffles the items, as the published code did.
    The images lie in trainA and trainB. Another phase uses its own folders where they exist, and needs no
    target domain.
    """

    @staticmethod
    def modify_commandline_options(parser: ArgumentParser, is_train: bool) -> ArgumentParser:
        if is_train:
            parser.add_argument("--crops_per_epoch", type=integer(at_least=1), default=100_000,
                                help="crops in an epoch")
            parser.add_argument("--mix_zooms", action="store_true",
                                help="put crops of many zooms into a minibatch, as the published code did; "
                                     "default: one zoom a domain, and no place twice while there are others")
            parser.set_defaults(serial_batches=not parser.parse_known_args()[0].mix_zooms)
        return parser

    def __init__(self, opt: Namespace):
        super().__init__(opt)
        self._images = {domain: self._only_image(domain, folder)
                        for domain, folder in self._folders().items()}
        self._drawn: tuple[tuple[int, int], dict[str, Crops]] | None = None
        if opt.companions or opt.isTrain and opt.augment:
            raise UsageError("--dataset_mode singleimage reads one image a domain, without --companions and "
                             "--augment: leave them out")
        words = check_preprocess(opt.preprocess)
        self._zooms, self._patches = "zoom" in words, words in (("zoom", "patch"), ("patch",))
        if opt.isTrain:
            self._check_training()

    def __len__(self) -> int:
        return min(self.opt.crops_per_epoch, self.opt.max_dataset_size) if self.opt.isTrain else 1

    def item(self, index: int, epoch: int, random: np.random.Generator) -> dict[str, Any]:
        item: dict[str, Any] = {}
        for domain, image in self._images.items():
            cut = self.opt.isTrain and self._patches
            item[domain] = (self._cut(domain, index, epoch, random) if cut else
                            self.transform(image, epoch, random))
            item[f"{domain}_paths"] = self.domains[domain].paths[0]
        return item

    # ---- the images

    def _folders(self) -> dict[str, str]:
        """Domain -> folder; in translation the target domain is left out where it is missing."""
        folders = {}
        for domain in "AB":
            own, train = (os.path.join(self.dataroot(), phase + domain)
                          for phase in (self.opt.phase, "train"))
            folders[domain] = own if os.path.isdir(own) or not os.path.isdir(train) else train
        needed = "AB" if self.opt.isTrain else self.input_domain
        return {domain: folder for domain, folder in folders.items()
                if domain in needed or os.path.isdir(folder)}

    def _only_image(self, domain: str, folder: str) -> Image:
        """The one image in a folder. Raises UsageError for several, and for a bad one."""
        self.add_domain(domain, folder, float("inf"))
        images = self.domains[domain]
        if len(images) > 1:
            raise UsageError(f"the folder {folder!r} holds {len(images)} images, but --dataset_mode "
                             "singleimage works with one a domain; leave one there, or use unaligned")
        try:
            return load_image(images.paths[0], images.channels)
        except BadImage as error:
            raise UsageError(f"an image cannot be read; repair or replace it: {error}") from error

    def _check_training(self) -> None:
        opt = self.opt
        if opt.mix_zooms and opt.serial_batches:
            raise UsageError("--mix_zooms and --serial_batches exclude each other; leave one out")
        for domain, image in self._images.items():
            if self._patches and min(image.size) < opt.crop_size:
                raise UsageError(f"{self.domains[domain].paths[0]!r} measures {image.width}x{image.height} "
                                 f"pixels, too small for --crop_size {opt.crop_size}; lower that, or use a "
                                 "larger image")

    # ---- crops

    def _cut(self, domain: str, index: int, epoch: int, random: np.random.Generator) -> Tensor:
        """Crop number `index` of the epoch.

        Only the part of the image that the crop shows is resized, to the same pixels as if the whole were: no
        zoomed image is held in memory, however large.
        """
        image, size = self._images[domain], self.opt.crop_size
        crops = self._crops(epoch, index // self.opt.batch_size)[domain]
        left, top = crops.corners[index % self.opt.batch_size].tolist()
        width, height = crops.zoomed
        box = (left * image.width / width, top * image.height / height,
               (left + size) * image.width / width, (top + size) * image.height / height)
        crop = image.resize((size, size), Resampling.BILINEAR, box=box)
        if not self.opt.no_flip and random.random() < 0.5:
            crop = crop.transpose(Transpose.FLIP_LEFT_RIGHT)
        return to_tensor(crop)

    def _crops(self, epoch: int, group: int) -> dict[str, Crops]:
        """Domain -> crops of a group, a function of (seed, epoch, group); the latest is kept."""
        if self._drawn is None or self._drawn[0] != (epoch, group):
            random = random_stream(self.opt.seed, epoch, group, BATCH)
            scale = self.opt.random_scale_max if self._zooms else 1.0
            crops = {domain: draw_crops(image.size, self.opt.crop_size, self.opt.batch_size, scale, random)
                     for domain, image in self._images.items()}
            self._drawn = (epoch, group), crops
        return self._drawn[1]


def draw_crops(size: tuple[int, int], crop: int, count: int, scale_max: float,
               random: np.random.Generator) -> Crops:
    """A zoom and `count` crops of an image of `size` (width, height): distinct cells of a grid.

    Width and height are multiplied by factors of their own, uniform in [1 / scale_max, 1], but stay at least
    `crop`. The grid of crop x crop cells has a random offset; when all cells are used up, another is drawn.
    """
    factors = random.uniform(1 / scale_max, 1, size=2)
    zoomed = np.maximum(np.rint(np.multiply(size, factors)), crop).astype(int)
    columns, rows = zoomed // crop
    corners = np.empty((0, 2), dtype=int)
    while len(corners) < count:
        offset = random.integers(zoomed % crop + 1)
        cells = random.choice(columns * rows, min(columns * rows, count - len(corners)), replace=False)
        places = np.stack([cells % columns, cells // columns], axis=1)
        corners = np.concatenate([corners, offset + crop * places])
    return Crops((int(zoomed[0]), int(zoomed[1])), corners)
