"""One folder of images, or one image, to be translated."""

from argparse import Namespace
from typing import Any

import numpy as np

from data.base_dataset import BaseDataset
from util.errors import UsageError


class SingleDataset(BaseDataset):
    """The images in --dataroot itself and its sub-folders, as the input domain; for translation alone."""

    def __init__(self, opt: Namespace):
        super().__init__(opt)
        if opt.isTrain:
            raise UsageError("--dataset_mode single has no domain B to train with; train with unaligned")
        self.add_domain(self.input_domain, self.dataroot(), opt.max_dataset_size)

    def __len__(self) -> int:
        return len(self.domains[self.input_domain])

    def item(self, index: int, epoch: int, random: np.random.Generator) -> dict[str, Any]:
        return self.read({self.input_domain: index}, epoch, random)
