"""The images that a run is evaluated on: those of its test split, prepared as test.py would."""

from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from data import create_loader
from data.image_folder import EXTENSIONS, find_images
from data.image_list import is_list, parse
from data.readers import readable
from data.shards.find import has_set
from util.errors import RunError
from util.images import Pixels, to_levels, to_pixels

PHASES = ("test", "val")    # splits to evaluate on; the first that has images is taken
PACKED = {"dataset_mode": "webdataset", "shards_A": "", "shards_B": ""}     # what reads a split in shards


class EvaluationImages:
    """The images of one domain, read in the main process. names: of all of them, the readable and the bad."""

    def __init__(self, opt: Namespace, folder: Path, channels: int, limit: float, **listed: str):
        """opt: the options of the run. channels: to read the images with, 1 or 3. limit: the first so many
        images alone. listed: where the folder holds both domains, as a list or in shards, the phase, and the
        direction that begins with the domain.
        """
        self.folder = folder
        self._convert = to_levels if opt.value_range else to_pixels
        self._loader = create_loader(_translation_options(opt, folder, channels, limit, **listed))
        self._dataset = self._loader.dataset
        self._key = self._dataset.input_domain
        self.names = [self._name(path) for path in self._dataset.domains[self._key].paths]

    def read(self, translate: Callable[[dict[str, Any]], Tensor] | None = None,
             part: slice = slice(None)) -> dict[str, Pixels]:
        """Every readable image by name, as it would be written to a file: uint8 [H, W, C]; with --value_range
        not rounded, float32 from 0, black, to 255, white.

        translate: gives the images to take instead, [B, C, H, W] in [-1, 1], from a batch. part: of the
        images in their order.
        """
        return {name: self._convert((translate(batch) if translate else batch[self._key])[0])
                for name, batch in self.batches(part)}

    def batches(self, part: slice = slice(None)) -> Iterator[tuple[str, dict[str, Any]]]:
        """Every readable image by name, as a batch of its own for the model. part: see `read`."""
        start, stop, _ = part.indices(len(self.names))
        own = set(self._dataset.domains[self._key].paths[start:stop])
        self._loader.set_epoch(1, skip_images=start)
        try:
            for batch in self._loader if start < stop else ():
                path, = batch[f"{self._key}_paths"]
                if path not in own:
                    return
                yield self._name(path), batch
        except RunError:        # not one can be read
            if stop - start == len(self.names):
                raise

    def _name(self, path: str) -> str:
        return self._dataset.relative_name(self._key, path)


def evaluation_split(opt: Namespace) -> tuple[EvaluationImages, EvaluationImages] | None:
    """The images to translate and those of the target domain; None if evaluation is off or has no split."""
    if not opt.evaluation_freq:
        return None
    if is_list(opt.dataroot):
        return _whole_split(opt, _listed_phase(opt.dataroot, "AB"))
    folders = find_split(Path(opt.dataroot), readable(opt.value_range))
    if not folders:
        return _whole_split(opt, _packed_phase(opt, "AB"), **PACKED)
    inputs, targets = folders if opt.direction == "AtoB" else folders[::-1]
    return (EvaluationImages(opt, inputs, opt.input_nc, opt.evaluation_images),
            EvaluationImages(opt, targets, opt.output_nc, opt.evaluation_images))


def fixed_inputs(opt: Namespace) -> EvaluationImages | None:
    """The first --fixed_images test images of the input domain; None where there are none."""
    if not opt.fixed_images:
        return None
    domain = opt.direction[0]
    if is_list(opt.dataroot):
        phase = _listed_phase(opt.dataroot, domain)
        if not phase:
            return None
        return EvaluationImages(opt, Path(opt.dataroot), opt.input_nc, opt.fixed_images, phase=phase,
                                direction=opt.direction)
    for phase in PHASES:
        folder = Path(opt.dataroot) / f"{phase}{domain}"
        if _holds_images(folder, readable(opt.value_range)):
            return EvaluationImages(opt, folder, opt.input_nc, opt.fixed_images)
    if phase := _packed_phase(opt, domain):
        return EvaluationImages(opt, Path(opt.dataroot), opt.input_nc, opt.fixed_images, phase=phase,
                                direction=opt.direction, **PACKED)
    return None


def find_split(dataroot: Path, extensions: tuple[str, ...] = EXTENSIONS) -> tuple[Path, Path] | None:
    """The folders testA and testB, or else valA and valB; None if a domain has no images in either."""
    for phase in PHASES:
        folders = dataroot / f"{phase}A", dataroot / f"{phase}B"
        if all(_holds_images(folder, extensions) for folder in folders):
            return folders
    return None


def _whole_split(opt: Namespace, phase: str | None,
                 **more: str) -> tuple[EvaluationImages, EvaluationImages] | None:
    """The same where one --dataroot holds both domains: a list, or shards; None without a phase."""
    if not phase:
        return None
    directions = ("AtoB", "BtoA") if opt.direction == "AtoB" else ("BtoA", "AtoB")
    inputs, targets = (EvaluationImages(opt, Path(opt.dataroot), channels, opt.evaluation_images, phase=phase,
                                        direction=direction, **more)
                       for channels, direction in zip((opt.input_nc, opt.output_nc), directions, strict=True))
    return inputs, targets


def _listed_phase(dataroot: str, domains: str) -> str | None:
    """The first split of a list, test or val, with images of all these domains."""
    rows = parse(dataroot)
    return next((phase for phase in PHASES
                 if all(any(row.get("split") == phase and row.get(domain) for row in rows)
                        for domain in domains)), None)


def _packed_phase(opt: Namespace, domains: str) -> str | None:
    """The same of shards, with --dataset_mode webdataset."""
    if opt.dataset_mode != "webdataset":
        return None
    return next((phase for phase in PHASES
                 if all(has_set(opt.dataroot, phase + domain) for domain in domains)), None)


def _holds_images(folder: Path, extensions: tuple[str, ...]) -> bool:
    return folder.is_dir() and bool(find_images(str(folder), 1, extensions))


def _translation_options(opt: Namespace, folder: Path, channels: int, limit: float,
                         **listed: str) -> Namespace:
    """The options with which test.py would read a folder, or a list."""
    return Namespace(**vars(opt) | {
        "isTrain": False, "dataset_mode": "single", "dataroot": str(folder), "input_nc": channels,
        "load_size": opt.crop_size, "max_dataset_size": limit, "batch_size": 1,
        "num_threads": 0, "companions": "", **listed})
