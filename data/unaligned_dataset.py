"""Two folders of images that need not correspond: <dataroot>/<phase>A and <dataroot>/<phase>B."""

import os
from argparse import Namespace
from typing import Any

import numpy as np

from data.base_dataset import BaseDataset

PHASE_FOLDERS = {phase + side for phase in ("train", "val", "test") for side in "AB"}


class UnalignedDataset(BaseDataset):
    """In training, A by index and B at random (by index with --serial_batches), both sides needed.

    In translation, every image of the input side (A, or B with --direction BtoA) once. The other side may
    be missing; where it is there, each input comes with the image of the same name or, if some have none,
    with the one at the same place, modulo their number. With phase test and no test folder, val serves.
    A --dataroot that is itself an image, or a folder of images, is the input side.
    """

    def __init__(self, opt: Namespace):
        super().__init__(opt)
        folders = self._find_folders(self.dataroot())
        for side, folder in sorted(folders.items()):
            # a partner is looked for among all of the other side
            limit = opt.max_dataset_size if opt.isTrain or side == self.input_side else float("inf")
            self.add_domain(side, folder, limit)
        self._partners = {} if opt.isTrain else self._pair()  # side -> for each input, its image's number

    def __len__(self) -> int:
        if self.opt.isTrain:
            return max(len(domain) for domain in self.domains.values())
        return len(self.domains[self.input_side])

    def item(self, index: int, epoch: int, random: np.random.Generator) -> dict[str, Any]:
        if not self.opt.isTrain:
            partners = {side: numbers[index] for side, numbers in self._partners.items()}
            return self.read({self.input_side: index, **partners}, epoch, random)
        size_a, size_b = len(self.domains["A"]), len(self.domains["B"])
        index_b = index % size_b if self.opt.serial_batches else int(random.integers(size_b))
        return self.read({"A": index % size_a, "B": index_b}, epoch, random)

    def _find_folders(self, dataroot: str) -> dict[str, str]:
        """Side -> folder. The other side's is left out in translation when it is missing."""
        here, other = self.input_side, "A" if self.input_side == "B" else "B"
        phase = self.opt.phase
        if phase == "test" and not _is_folder(dataroot, "test" + here) and _is_folder(dataroot, "val" + here):
            phase = "val"
        folders = {side: os.path.join(dataroot, phase + side) for side in (here, other)}
        if self.opt.isTrain:
            return folders
        if not any(_is_folder(dataroot, name) for name in PHASE_FOLDERS | {phase + here}):
            return {here: dataroot}
        return folders if os.path.isdir(folders[other]) else {here: folders[here]}

    def _pair(self) -> dict[str, list[int]]:
        names = {side: [self.relative_name(side, path) for path in domain.paths]
                 for side, domain in self.domains.items()}
        inputs = names.pop(self.input_side)
        partners = {}
        for side, others in names.items():
            number = {name: position for position, name in enumerate(others)}
            if all(name in number for name in inputs):
                partners[side] = [number[name] for name in inputs]
            else:
                partners[side] = [position % len(others) for position in range(len(inputs))]
        return partners


def _is_folder(*parts: str) -> bool:
    return os.path.isdir(os.path.join(*parts))
