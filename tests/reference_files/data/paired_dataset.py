"""As forks write: a subclass of UnalignedDataset that chooses B by itself, seeding the transforms twice."""

import random

import torch
from PIL import Image

from data.base_dataset import get_transform
from data.unaligned_dataset import UnalignedDataset


class PairedDataset(UnalignedDataset):
    def __getitem__(self, index):
        paths = self.A_paths[index % self.A_size], self.B_paths[index % self.B_size]
        seed = random.randint(0, 2**31)
        images = []
        for path in paths:
            random.seed(seed)
            torch.manual_seed(seed)
            images.append(get_transform(self.opt)(Image.open(path).convert("RGB")))
        return {"A": images[0], "B": images[1], "A_paths": paths[0], "B_paths": paths[1]}
