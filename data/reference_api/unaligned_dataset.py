"""The reference's UnalignedDataset by its names, for files that derive from it."""

import os
import random
from argparse import Namespace
from typing import Any

from PIL import Image

from data.reference_api.base_dataset import BaseDataset, get_transform
from data.reference_api.image_folder import make_dataset
from util.util import copyconf


class UnalignedDataset(BaseDataset):
    """<dataroot>/<phase>A and <phase>B. In training B is drawn at random, or with --serial_batches by number.

    dir_A, A_paths, A_size: the folder of A, its images, their number; and so for B.
    """

    def __init__(self, opt: Namespace):
        super().__init__(opt)
        phase = opt.phase
        if phase == "test" and not os.path.exists(os.path.join(self.root, "testA")):
            phase = "val" if os.path.exists(os.path.join(self.root, "valA")) else phase
        self.dir_A, self.dir_B = (os.path.join(self.root, phase + domain) for domain in "AB")
        self.A_paths = sorted(make_dataset(self.dir_A, opt.max_dataset_size))
        self.B_paths = sorted(make_dataset(self.dir_B, opt.max_dataset_size))
        self.A_size, self.B_size = len(self.A_paths), len(self.B_paths)

    def __len__(self) -> int:
        return max(self.A_size, self.B_size)

    def __getitem__(self, index: int) -> dict[str, Any]:
        index_B = index if self.opt.serial_batches else random.randint(0, self.B_size - 1)
        paths = {"A": self.A_paths[index % self.A_size], "B": self.B_paths[index_B % self.B_size]}
        decaying = self.opt.isTrain and self.current_epoch > self.opt.n_epochs
        load_size = self.opt.crop_size if decaying else self.opt.load_size
        transform = get_transform(copyconf(self.opt, load_size=load_size))
        item: dict[str, Any] = {f"{domain}_paths": path for domain, path in paths.items()}
        return item | {domain: transform(Image.open(path).convert("RGB")) for domain, path in paths.items()}
