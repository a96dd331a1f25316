"""Evaluations while a training runs: every --evaluation_freq images the test split is translated and scored.

The images are <dataroot>/testA and testB (or valA and valB), prepared as test.py would. The first of
--evaluation_metrics decides which weights are kept as best_net_*.pth and what --lr_policy plateau follows.
Nothing of the training is changed: random numbers, batch norm's statistics and modes are as before.
"""

import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from data import create_loader
from data.image_folder import find_images
from data.loader import Loader
from models.base_model import BaseModel
from util.checkpoints.training_state import TrainingState
from util.console import say
from util.errors import UsageError
from util.images import Pixels, to_pixels
from util.loggers.score_log import EvaluationLog
from util.metrics.exported import load_exported
from util.metrics.features import extract_features
from util.metrics.inception import load_inception
from util.metrics.registry import METRICS, Extractor, Side
from util.runtime.progress import Progress
from util.runtime.seed import random_state, seed_everything, set_random_state

BEST = "best"


class Evaluation:
    """Off, with `due` never true, where --evaluation_freq is 0 or there is no test split."""

    def __init__(self, opt: Namespace, progress: Progress):
        """progress: where the training starts, perhaps resumed. Raises UsageError for what cannot work."""
        self.opt = opt
        self.names = metric_names(opt.evaluation_metrics)
        self.folders = find_split(Path(opt.dataroot)) if opt.evaluation_freq else None
        if not self.folders:
            return
        input_side, target_side = ("A", "B") if opt.direction == "AtoB" else ("B", "A")
        inputs, targets = self.folders[input_side], self.folders[target_side]
        self.inputs = create_loader(translation_options(opt, inputs, opt.input_nc))
        self.targets = create_loader(translation_options(opt, targets, opt.output_nc))
        needs = {METRICS[name].needs for name in self.names}
        check_data(needs, names_of(self.inputs), names_of(self.targets), opt)
        self.extractor = load_extractor(opt) if "features" in needs else None
        self.real: Side | None = None
        self.log = EvaluationLog(Path(opt.checkpoints_dir) / opt.name, progress, curve=not opt.no_html)
        say(f"evaluates {', '.join(self.names)} every {opt.evaluation_freq} images, "
            f"{len(self.inputs.dataset)} of {inputs} against {len(self.targets.dataset)} of {targets}")

    def due(self, progress: Progress) -> bool:
        """To be asked after every step."""
        return bool(self.folders) and progress.crossed(self.opt.evaluation_freq)

    def run(self, model: BaseModel, progress: Progress, state: TrainingState) -> None:
        """Translate, score, record; keep the weights where the first metric is the best so far."""
        began = time.perf_counter()
        with undisturbed(model, self.opt.seed):
            self.real = self.real or Side(read_images(self.targets), self.extractor)
            fake = Side(read_images(self.inputs, model), self.extractor)
            metrics = {name: compute(name, fake, self.real) for name in self.names}
        before = self.best()
        self.log.add(progress, metrics, {"fake": len(fake), "real": len(self.real)})
        best = self.best()
        figures = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        rank = "no finite figure yet"
        if best:
            rank = "the best so far" if best != before else f"best {best[1]:.4g} at image {best[0]}"
        say(f"evaluation at image {progress.total_images}: {figures} ({rank}), "
            f"{time.perf_counter() - began:.1f} s")
        if best != before:
            state.save(BEST, model, progress)

    def best(self) -> tuple[int, float] | None:
        """Images seen and the figure of the first metric where it was best; None before any."""
        metric = METRICS[self.names[0]]
        return min(self.log.figures(self.names[0]), key=lambda row: metric.loss(row[1]), default=None)

    def losses(self, epoch: int) -> list[float] | None:
        """The first metric's figures of an epoch, turned so that lower is better; None where all is off."""
        if not self.folders:
            return None
        metric = METRICS[self.names[0]]
        return [metric.loss(value) for _, value in self.log.figures(self.names[0], epoch)]


def metric_names(text: str) -> list[str]:
    """The names in "swd,fid". Raises UsageError."""
    names = text.split(",")
    if wrong := [name for name in names if name not in METRICS]:
        raise UsageError(f"--evaluation_metrics is {text!r}, but {wrong[0]!r} is none of "
                         f"{', '.join(METRICS)}; join several by commas")
    return names


def check_data(needs: set[str], inputs: list[str], targets: list[str], opt: Namespace) -> None:
    """Raise UsageError where the images of these names cannot give the metrics what they need."""
    unpaired = [name for name in inputs if name not in set(targets)]
    if "pairs" in needs and unpaired:
        raise UsageError(f"--evaluation_metrics {opt.evaluation_metrics}: psnr and ssim need pairs, but "
                         f"no image of the other side is named {unpaired[0]}")
    if "features" in needs and min(len(inputs), len(targets)) < 4:
        raise UsageError(f"--evaluation_metrics {opt.evaluation_metrics}: fid and kid need 4 images a "
                         f"side, but the test split has {len(inputs)} and {len(targets)}")


def compute(name: str, fake: Side, real: Side) -> float:
    try:
        return METRICS[name].compute(fake, real)
    except ValueError as error:             # images too small for it, or too few that could be read
        raise UsageError(f"--evaluation_metrics {name} cannot be computed here: {error}") from error


def find_split(dataroot: Path) -> dict[str, Path] | None:
    """Side -> folder of the test images, or else the validation ones; None where a side has none."""
    for phase in ("test", "val"):
        folders = {side: dataroot / f"{phase}{side}" for side in "AB"}
        if all(folder.is_dir() and find_images(str(folder), 1) for folder in folders.values()):
            return folders
    return None


def translation_options(opt: Namespace, folder: Path, channels: int) -> Namespace:
    """The options with which test.py would read a folder, in the main process."""
    return Namespace(**vars(opt) | {
        "isTrain": False, "dataset_mode": "single", "dataroot": str(folder), "input_nc": channels,
        "load_size": opt.crop_size, "max_dataset_size": opt.evaluation_images, "batch_size": 1,
        "num_threads": 0})


def load_extractor(opt: Namespace) -> Extractor:
    """What fid and kid see images by: --evaluation_features, or else Inception. Raises UsageError."""
    if opt.evaluation_features:
        return partial(extract_features, load_exported(Path(opt.evaluation_features), opt.device))
    return load_inception(None, opt.device)


def names_of(loader: Loader) -> list[str]:
    dataset = loader.dataset
    side = dataset.input_domain
    return [dataset.relative_name(side, path) for path in dataset.domains[side].paths]


def read_images(loader: Loader, model: BaseModel | None = None) -> dict[str, Pixels]:
    """The loader's images by name, translated if a model is given, as they would be written to files."""
    side = loader.dataset.input_domain
    images = {}
    for batch in loader:
        found = model.translations(batch)["fake_B"] if model else batch[side]
        for path, image in zip(batch[f"{side}_paths"], found, strict=True):
            images[loader.dataset.relative_name(side, path)] = to_pixels(image)
    return images


@contextmanager
def undisturbed(model: BaseModel, seed: int) -> Iterator[None]:
    """Networks translate as with test.py --eval, by random numbers from the seed; then both are as before."""
    modes = {module: module.training for net in model.networks.values() for module in net.modules()}
    state = random_state()
    seed_everything(seed)
    model.train(False)
    try:
        yield
    finally:
        set_random_state(state)
        for module, training in modes.items():
            module.training = training
