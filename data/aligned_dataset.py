"""Pairs: images of A and B of one name, or side by side in one file, cropped and mirrored alike."""

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import numpy as np
import torch
from PIL.Image import Image

from data.companions import Labels, check_sizes, companions
from data.image_folder import tolerated_bad
from data.image_list import is_list
from data.transforms import Geometry
from data.unaligned_dataset import UnalignedDataset
from util.errors import DataError, UsageError
from util.flags import number


class AlignedDataset(UnalignedDataset):
    """In training pairs, or with --paired_ratio under 1 some of them among images put together at random.

    Folders as of `unaligned`: a pair is an image of <phase>A and that of the same name in <phase>B. A list:
    the rows that have both. --paired_layout halves: the left half of an image in <dataroot>/<phase> is A, the
    right half B. Where not all items are pairs, they hold `paired`, [1, 1, 1], 1 or 0.
    """

    @staticmethod
    def modify_commandline_options(parser: ArgumentParser, is_train: bool) -> ArgumentParser:
        parser.add_argument("--paired_layout", choices=["names", "halves"], default="names",
                            help="pairs by name, in two folders; or side by side in one image, A on the left")
        if is_train:
            parser.add_argument("--paired_ratio", type=number(at_least=0), default=1.0,
                                help="part of the items that are pairs; the others are as in unaligned")
        return parser

    @staticmethod
    def gives(opt: Namespace) -> set[str]:
        return {"pairs"} | {companion.key for companion in companions(opt.companions, opt.phase)}

    def __init__(self, opt: Namespace):
        if opt.isTrain and opt.paired_ratio > 1:
            raise UsageError(f"--paired_ratio is {opt.paired_ratio:g}; it must be from 0 to 1")
        self.half_images = opt.paired_layout == "halves"
        super().__init__(opt)
        if opt.isTrain:
            self._pairs = self._find_pairs()

    def __len__(self) -> int:
        whole = self.opt.isTrain and self.opt.paired_ratio == 1
        return len(self._pairs) if whole else super().__len__()

    def weights(self) -> np.ndarray | None:
        weights = self._weights.get("A")
        if weights is None or self.opt.paired_ratio < 1:
            return super().weights()
        return weights[[place for place, _ in self._pairs]]

    def item(self, index: int, epoch: int, random: np.random.Generator) -> dict[str, Any]:
        ratio = self.opt.paired_ratio if self.opt.isTrain else 0.0
        if ratio == 1:
            return self.read_pair(index, epoch, random)
        if not self.opt.isTrain:
            return super().item(index, epoch, random)
        paired = random.random() < ratio
        item = (self.read_pair(index, epoch, random) if paired else super().item(index, epoch, random))
        return item | {"paired": torch.full((1, 1, 1), float(paired))}

    def read_pair(self, number: int, epoch: int, random: np.random.Generator) -> dict[str, Any]:
        """The item of a pair; the next readable pair replaces one of which an image is bad."""
        geometry, bad = self._geometry_in(epoch), []
        tries = min(tolerated_bad(len(self._pairs)) + 1, len(self._pairs))
        for offset in range(tries):
            images: dict[str, Image | Labels | str] = {}
            paths: dict[str, str] = {}
            for domain, place in zip("AB", self._pairs[(number + offset) % len(self._pairs)], strict=True):
                belonging: dict[str, Labels | str] = {}
                found = self.read_image(domain, place, bad, geometry, belonging, replace=False)
                if found:
                    images |= {domain: found[0], **belonging}
                    paths |= {f"{domain}_paths": found[1]} | self.depth_of(domain, found[0])
            if images.keys() >= {"A", "B"}:
                return self.finish_alike(images, geometry, random) | paths | ({"bad": bad} if bad else {})
        raise DataError(f"{tries} pairs in a row cannot be read: {'; '.join(bad)}")

    def read_image(self, domain: str, number: int, bad: list[str], geometry: Geometry | None = None,
                   belonging: dict[str, Labels | str] | None = None, *,
                   replace: bool = True) -> tuple[Image, str] | None:
        """As BaseDataset's; of a file that holds two images, the domain's half."""
        whole = None if self.half_images else geometry
        found = super().read_image(domain, number, bad, whole, belonging, replace=replace)
        if not found or not self.half_images:
            return found
        image, path = found
        middle = image.width // 2
        image = image.crop((0, 0, middle, image.height) if domain == "A" else
                           (middle, 0, 2 * middle, image.height))
        if geometry:
            image = self._transform.prepare(image, geometry)
            for key, value in (belonging or {}).items():
                if isinstance(value, Labels):
                    belonging[key] = self._transform.prepare(value, geometry)
        return image, path

    # ---- the pairs

    def _find_folders(self, dataroot: str) -> dict[str, str]:
        if not self.half_images:
            return super()._find_folders(dataroot)
        if is_list(dataroot):
            raise UsageError(f"--paired_layout halves reads a folder, and --dataroot {dataroot} is a list: "
                             "name both images of a pair in it, and leave --paired_layout out")
        return dict.fromkeys("AB", os.path.join(dataroot, self.opt.phase))

    def _check_slices(self, complete: Sequence[list[int]]) -> None:
        """Raise UsageError where the volumes of a row of a list have different numbers of slices: a row is
        there once for each, so that behind it the rows of A and B differ. complete: their numbers.
        """
        rows = [[self.rows[domain][place] for place in places]
                for domain, places in zip("AB", complete, strict=True)]
        together = zip_longest if self.opt.max_dataset_size == float("inf") else zip
        for place, (a, b) in enumerate(together(*rows)):
            if a != b:
                before = rows[0][place - 1]
                raise UsageError(f"{self.opt.dataroot}: {before['A']} and {before['B']} are a pair, but hold "
                                 "different numbers of slices")

    def _find_pairs(self) -> list[tuple[int, int]]:
        """The numbers in A and B of the images of each pair. Raises UsageError where there are none."""
        if self.rows:       # in both domains, the rows with two images come in the same order
            complete = [[place for place, row in enumerate(self.rows[domain]) if row.get(other)]
                        for domain, other in ("AB", "BA")]
            self._check_slices(complete)
            pairs = list(zip(*complete, strict=False))
        else:
            names = {domain: {self.relative_name(domain, path): place
                              for place, path in enumerate(images.paths)}
                     for domain, images in self.domains.items()}
            pairs = [(place, names["B"][name]) for name, place in names["A"].items() if name in names["B"]]
        paths = {domain: images.paths for domain, images in self.domains.items()}
        alone = sorted(set(range(len(paths["A"]))) - {place for place, _ in pairs})
        if alone and self.opt.paired_ratio == 1:
            raise UsageError(f"{len(alone)} of {len(paths['A'])} images of A have no partner in B, the first "
                             f"is {paths['A'][alone[0]]!r}; use --paired_ratio under 1, or --dataset_mode "
                             "unaligned")
        if not pairs and self.opt.paired_ratio > 0:
            raise UsageError("no image of A has a partner in B, of its name or in its row of a list; "
                             "use --dataset_mode unaligned")
        if not self.half_images:
            check_sizes([paths["A"][a] for a, _ in pairs], [paths["B"][b] for _, b in pairs])
        return pairs
