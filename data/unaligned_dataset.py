"""Two folders of images that need not correspond: <dataroot>/<phase>A and <dataroot>/<phase>B."""

import os
from argparse import Namespace
from typing import Any

import numpy as np

from data.base_dataset import BaseDataset
from data.image_list import is_list, read_list, weights_of

PHASE_FOLDERS = {phase + domain for phase in ("train", "val", "test") for domain in "AB"}


class UnalignedDataset(BaseDataset):
    """In training, A by index and B at random (by index with --serial_batches); both domains are needed.

    In translation, every image of the input domain (A, or B with --direction BtoA) once. The other domain may
    be missing. Where it is there, each input comes with the image of the same name or, if some have none,
    with the one at the same place, modulo their number. With phase test and no test folder, val is used.
    A --dataroot that is itself an image, or a folder of images, is the input domain. One that is a list gives
    both domains their images, and images their weights.
    """

    def __init__(self, opt: Namespace):
        super().__init__(opt)
        folders = self._find_folders(self.dataroot())
        for domain, folder in sorted(folders.items()):
            # in translation a partner is looked for among all images of the other domain
            limit = opt.max_dataset_size if opt.isTrain or domain == self.input_domain else float("inf")
            self.add_domain(domain, folder, limit)
        self._weights = {domain: weights_of(opt.dataroot, rows) for domain, rows in self.rows.items()}
        self._partners = {} if opt.isTrain else self._pair()  # other domain -> its image's number, by input

    def __len__(self) -> int:
        if self.opt.isTrain:
            return max(map(len, self.domains.values()))
        return len(self.domains[self.input_domain])

    def item(self, index: int, epoch: int, random: np.random.Generator) -> dict[str, Any]:
        if not self.opt.isTrain:
            partners = {domain: numbers[index] for domain, numbers in self._partners.items()}
            return self.read({self.input_domain: index, **partners}, epoch, random)
        index_a = index % len(self.domains["A"])
        return self.read({"A": index_a, "B": self.draw_B(index, random)}, epoch, random)

    def draw_B(self, index: int, random: np.random.Generator) -> int:
        """The number of the image of B that comes with item `index` of A in training."""
        size, weights = len(self.domains["B"]), self._weights.get("B")
        if self.opt.serial_batches:
            return index % size
        if weights is None:
            return int(random.integers(size))
        return int(random.choice(size, p=weights / weights.sum()))

    def weights(self) -> np.ndarray | None:
        """Those of A, as its images come round."""
        weights = self._weights.get("A")
        return None if weights is None else np.resize(weights, len(self))

    def _find_folders(self, dataroot: str) -> dict[str, str]:
        """Domain -> folder. In translation the other domain is left out where its folder is missing."""
        here, other = self.input_domain, "A" if self.input_domain == "B" else "B"
        if is_list(dataroot):
            rows = read_list(dataroot, self.opt.phase)
            complete = self.opt.isTrain or all(row.get(other) for row in rows if row.get(here))
            return {domain: dataroot for domain in (here, other) if domain == here or complete}
        phase = self.opt.phase
        if phase == "test" and not _is_folder(dataroot, "test" + here) and _is_folder(dataroot, "val" + here):
            phase = "val"
        folders = {domain: os.path.join(dataroot, phase + domain) for domain in (here, other)}
        if self.opt.isTrain:
            return folders
        if not any(_is_folder(dataroot, name) for name in PHASE_FOLDERS | {phase + here}):
            return {here: dataroot}
        return folders if os.path.isdir(folders[other]) else {here: folders[here]}

    def _pair(self) -> dict[str, list[int]]:
        """Other domain -> for each input, the number of the image that it comes with."""
        if self.rows:
            return {domain: [place % len(rows) for place in range(len(self))]
                    for domain, rows in self.rows.items() if domain != self.input_domain}
        names = {domain: [self.relative_name(domain, path) for path in images.paths]
                 for domain, images in self.domains.items()}
        inputs = names.pop(self.input_domain)
        partners = {}
        for domain, others in names.items():
            number = {name: place for place, name in enumerate(others)}
            if all(name in number for name in inputs):
                partners[domain] = [number[name] for name in inputs]
            else:
                partners[domain] = [place % len(others) for place in range(len(inputs))]
        return partners


def _is_folder(*parts: str) -> bool:
    return os.path.isdir(os.path.join(*parts))
