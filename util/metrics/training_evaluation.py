"""Evaluation during a run: every --evaluation_freq images the test split is translated and scored.

The first of --evaluation_metrics decides which weights are saved as best_net_*.pth and what --lr_policy
plateau follows. A run with --ema is scored twice: `swd` is of its weights, `swd_ema` of their averages.
An evaluation leaves the run as it was: random numbers, batch norm's statistics, modes. Several ranks
translate a part of the images each, and rank 0 scores them.
"""

import time
from argparse import Namespace
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from util.checkpoints.training_state import Trainable, TrainingState
from util.console import say
from util.distributed import ranks
from util.errors import RunError, UsageError
from util.images import Pixels
from util.loggers.base import COUNT, SCORE, add_prefix
from util.loggers.run_log import RunLog
from util.metrics.exported import load_exported
from util.metrics.features import extract_features
from util.metrics.inception import load_inception
from util.metrics.registry import METRICS, Extractor, ImageSet, training_metrics
from util.runtime.progress import Progress
from util.runtime.seed import equal_states, random_state
from util.runtime.undisturbed import undisturbed

BEST = "best"
AVERAGED = "_ema"       # what stands behind the names of scores of averaged weights: see models.ema.SUFFIX


class Images(Protocol):
    """The images of one domain; data.evaluation_split.EvaluationImages is one."""

    folder: Path
    names: list[str]

    def read(self, translate: Callable[[dict[str, Any]], Tensor] | None = None,
             part: slice = slice(None)) -> dict[str, Pixels]: ...


class Translating(Trainable, Protocol):
    """What a model offers here; models.base_model.BaseModel is one."""

    networks: dict[str, nn.Module]

    def train(self, mode: bool) -> None: ...
    def weight_sets(self) -> dict[str, AbstractContextManager[None]]: ...
    def test_step(self, batch: Mapping[str, Any]) -> dict[str, Tensor]: ...


class Evaluation:
    """Translates and scores the test split at the pace of --evaluation_freq; off where there is no split."""

    def __init__(self, opt: Namespace, split: tuple[Images, Images] | None):
        """split: the images to translate, and those of the target domain. Raises UsageError where the metrics
        cannot be computed on them.
        """
        self.names = metric_names(opt.evaluation_metrics)
        self.on = split is not None
        if not split:
            return
        self.inputs, self.targets = split
        self.every, self.seed = opt.evaluation_freq, opt.seed
        needs = {METRICS[name].needs for name in self.names}
        check_images(self.names, self.inputs.names, self.targets.names)
        self.extractor = load_extractor(opt) if "features" in needs else None
        self.real: ImageSet | None = None
        say(f"evaluates {', '.join(self.names)} every {self.every} images, "
            f"{len(self.inputs.names)} of {self.inputs.folder} against "
            f"{len(self.targets.names)} of {self.targets.folder}")

    def due(self, progress: Progress) -> bool:
        """Whether to run now; ask after every step."""
        return self.on and progress.crossed(self.every)

    def run(self, model: Translating, progress: Progress, log: RunLog, state: TrainingState) -> None:
        """Translate, score, report; save the weights where the first metric is the best so far."""
        began = time.perf_counter()
        scores: dict[str, float] = {}
        for suffix, weights in model.weight_sets().items():
            with weights:
                translated = self.translate(model)
                if not ranks.is_main():
                    continue
                with undisturbed(model, self.seed):
                    self.real = self.real or ImageSet(self.targets.read(), self.extractor)
                    fake = ImageSet(translated, self.extractor)
                    scores |= {name + suffix: compute(name, fake, self.real) for name in self.names}
        if ranks.from_main(ranks.is_main() and self.report(scores, len(fake), progress, log, began)):
            state.save(BEST, model, progress)

    def translate(self, model: Translating) -> dict[str, Pixels]:
        """The inputs as the model translates them, by name; on ranks other than 0, {}.

        A model that draws random numbers to translate does so in the order of the images, so that no rank can
        know its part's: rank 0 then translates all.
        """
        def read(part: slice) -> tuple[dict[str, Pixels], bool]:
            with undisturbed(model, self.seed):
                before = random_state()
                images = self.inputs.read(lambda batch: model.test_step(batch)["fake_B"], part)
                return images, not equal_states(before, random_state())

        if not ranks.active():
            return read(slice(None))[0]
        images, drew = read(ranks.part(len(self.inputs.names)))
        if not ranks.highest(len(images)):
            raise RunError(f"none of the images in {self.inputs.folder} can be read")
        if not ranks.highest(drew):
            return ranks.collect(images)
        return read(slice(None))[0] if ranks.is_main() else {}

    def report(self, scores: Mapping[str, float], fakes: int, progress: Progress, log: RunLog,
               began: float) -> bool:
        """Report scores by name. Returns whether the first metric is the best so far.

        fakes: images scored. began: when the evaluation did, by time.perf_counter.
        """
        before = self.best(log)
        counts = {"fake": fakes, "real": len(self.real)}
        log.scalars(progress, add_prefix(SCORE, scores) | add_prefix(COUNT, counts))
        best = self.best(log)
        shown = ", ".join(f"{name} {score:.4g}" for name, score in scores.items())
        rank = "no finite score yet"
        if best:
            rank = "the best so far" if best != before else f"best {best[1]:.4g} at image {best[0]}"
        say(f"evaluation at image {progress.total_images}: {shown} ({rank}), "
            f"{time.perf_counter() - began:.1f} s")
        return best != before

    def best(self, log: RunLog) -> tuple[int, float] | None:
        """Images seen and the score of the first metric where it was best; None before there is any."""
        metric = METRICS[self.names[0]]
        return min(log.scores(self.names[0]), key=lambda row: metric.loss(row[1]), default=None)

    def summary(self, log: RunLog) -> list[str]:
        """A line for each metric: the last score and the best one."""
        lines = []
        for name in self.names:
            for shown in (name, name + AVERAGED):
                if rows := log.scores(shown):
                    at, best = min(rows, key=lambda row: METRICS[name].loss(row[1]))
                    lines.append(f"{shown} {rows[-1][1]:.4g}, best {best:.4g} at image {at:,}")
        return lines

    def losses(self, log: RunLog, epoch: int) -> list[float] | None:
        """The first metric's scores in an epoch, turned so that lower is better; None if it is off."""
        metric = METRICS[self.names[0]]
        scores = [metric.loss(score) for _, score in log.scores(self.names[0], epoch)] if self.on else None
        return ranks.from_main(scores)


def metric_names(text: str) -> list[str]:
    """The names in "swd,fid". Raises UsageError."""
    names = text.split(",")
    if wrong := [name for name in names if name not in training_metrics()]:
        raise UsageError(f"--evaluation_metrics is {text!r}, but {wrong[0]!r} is none of "
                         f"{', '.join(training_metrics())}; join several by commas")
    return names


def check_images(metrics: list[str], inputs: list[str], targets: list[str]) -> None:
    """Raise UsageError if the images of these names cannot give the metrics what they need."""
    def needing(what: str) -> str:
        return " and ".join(name for name in metrics if METRICS[name].needs == what)

    unpaired = [name for name in inputs if name not in set(targets)]
    if needing("pairs") and unpaired:
        raise UsageError(f"--evaluation_metrics: {needing('pairs')} compare images of one name, but no image "
                         f"of the target domain is named {unpaired[0]}")
    if needing("features") and min(len(inputs), len(targets)) < 4:
        raise UsageError(f"--evaluation_metrics: {needing('features')} need 4 images in each domain, but the "
                         f"test split has {len(inputs)} and {len(targets)}")


def compute(name: str, fake: ImageSet, real: ImageSet) -> float:
    try:
        return METRICS[name].compute(fake, real)
    except ValueError as error:             # images too small for it, or too few that could be read
        raise UsageError(f"--evaluation_metrics {name} cannot be computed here: {error}") from error


def load_extractor(opt: Namespace) -> Extractor:
    """The network whose features fid and kid compare: --evaluation_features, or else Inception.

    Raises UsageError.
    """
    if opt.evaluation_features:
        return partial(extract_features, load_exported(Path(opt.evaluation_features), opt.device))
    return load_inception(None, opt.device)
