"""One folder of images, or one image, to be translated."""

from argparse import Namespace
from typing import Any

import numpy as np

from data.base_dataset import BaseDataset
from util.errors import UsageError


class SingleDataset(BaseDataset):
    """The images in --dataroot itself and its sub-folders; there is no other side, so none to train with.

    They are given as the side that the model translates: "A", or "B" with --direction BtoA.
    """

    def __init__(self, opt: Namespace):
        super().__init__(opt)
        if opt.isTrain:
            raise UsageError("--dataset_mode single has no B side to train with; train with unaligned")
        self.add_domain(self.input_side, self.dataroot(), opt.max_dataset_size)

    def __len__(self) -> int:
        return len(self.domains[self.input_side])

    def item(self, index: int, epoch: int, random: np.random.Generator) -> dict[str, Any]:
        return self.read({self.input_side: index}, epoch, random)
