"""The images that a run is evaluated on: those of its test split, prepared as test.py would."""

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from data import create_loader
from data.image_folder import find_images
from data.image_list import is_list, parse
from util.images import Pixels, to_pixels


class EvaluationImages:
    """The images of one domain, read in the main process. names: of all of them, the readable and the bad."""

    def __init__(self, opt: Namespace, folder: Path, channels: int, **listed: str):
        """opt: the options of the run. channels: to read the images with, 1 or 3.

        listed: where the folder is a list, the phase, and the direction that begins with the domain.
        """
        self.folder = folder
        self._loader = create_loader(_translation_options(opt, folder, channels, **listed))
        self._dataset = self._loader.dataset
        self._key = self._dataset.input_domain
        self.names = [self._name(path) for path in self._dataset.domains[self._key].paths]

    def read(self, translate: Callable[[dict[str, Any]], Tensor] | None = None) -> dict[str, Pixels]:
        """Every readable image by name, as it would be written to a file: uint8 [H, W, C].

        translate: gives the images to take instead, [B, C, H, W] in [-1, 1], from a batch.
        """
        images = {}
        for batch in self._loader:
            found = translate(batch) if translate else batch[self._key]
            for path, image in zip(batch[f"{self._key}_paths"], found, strict=True):
                images[self._name(path)] = to_pixels(image)
        return images

    def _name(self, path: str) -> str:
        return self._dataset.relative_name(self._key, path)


def evaluation_split(opt: Namespace) -> tuple[EvaluationImages, EvaluationImages] | None:
    """The images to translate and those of the target domain; None if evaluation is off or has no split."""
    if opt.evaluation_freq and is_list(opt.dataroot):
        return _listed_split(opt)
    folders = find_split(Path(opt.dataroot)) if opt.evaluation_freq else None
    if not folders:
        return None
    inputs, targets = folders if opt.direction == "AtoB" else folders[::-1]
    return EvaluationImages(opt, inputs, opt.input_nc), EvaluationImages(opt, targets, opt.output_nc)


def find_split(dataroot: Path) -> tuple[Path, Path] | None:
    """The folders testA and testB, or else valA and valB; None if a domain has no images in either."""
    for phase in ("test", "val"):
        folders = dataroot / f"{phase}A", dataroot / f"{phase}B"
        if all(folder.is_dir() and find_images(str(folder), 1) for folder in folders):
            return folders
    return None


def _listed_split(opt: Namespace) -> tuple[EvaluationImages, EvaluationImages] | None:
    """The same of a list: its rows of the split test, or else val; None where one lacks A or B."""
    rows, path = parse(opt.dataroot), Path(opt.dataroot)
    for phase in ("test", "val"):
        if all(any(row.get("split") == phase and row.get(domain) for row in rows) for domain in "AB"):
            directions = ("AtoB", "BtoA") if opt.direction == "AtoB" else ("BtoA", "AtoB")
            inputs, targets = (EvaluationImages(opt, path, channels, phase=phase, direction=direction)
                               for channels, direction in zip((opt.input_nc, opt.output_nc), directions,
                                                              strict=True))
            return inputs, targets
    return None


def _translation_options(opt: Namespace, folder: Path, channels: int, **listed: str) -> Namespace:
    """The options with which test.py would read a folder, or a list."""
    return Namespace(**vars(opt) | {
        "isTrain": False, "dataset_mode": "single", "dataroot": str(folder), "input_nc": channels,
        "load_size": opt.crop_size, "max_dataset_size": opt.evaluation_images, "batch_size": 1,
        "num_threads": 0, "companions": "", **listed})
