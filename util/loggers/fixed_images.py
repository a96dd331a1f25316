"""A few test images, always the same ones, translated again and again while a run learns."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from util.console import say
from util.errors import RunError, UsageError
from util.images import Pixels, to_pixels
from util.loggers.base import NamedImages
from util.loggers.run_log import RunLog
from util.runtime.memory import is_out_of_memory
from util.runtime.progress import Progress
from util.runtime.undisturbed import undisturbed


class Inputs(Protocol):
    """The images to translate; data.evaluation_split.EvaluationImages is one."""

    folder: Path

    def batches(self) -> Iterator[tuple[str, dict[str, Any]]]: ...


class Translating(Protocol):
    """What a model offers here; models.base_model.BaseModel is one."""

    networks: dict[str, nn.Module]

    def train(self, mode: bool) -> None: ...
    def weight_sets(self) -> dict[str, AbstractContextManager[None]]: ...
    def test_step(self, batch: Mapping[str, Any]) -> dict[str, Tensor]: ...


class FixedImages:
    """Translates the same test images whenever it is asked, and leaves the run as it was.

    They are read once, when they are first needed, and stay in memory. The run is worth more than they are:
    where they cannot be read, or lack what the model asks for, or memory does not suffice, one line says so
    and they are given up.
    """

    def __init__(self, inputs: Inputs | None, seed: int):
        """inputs: None shows nothing. seed: of random numbers that a translation draws."""
        self._inputs, self._seed = inputs, seed
        self._batches: dict[str, dict[str, Any]] = {}

    def show(self, model: Translating, progress: Progress, log: RunLog) -> None:
        """Report what the weights of now make of them."""
        if self._inputs:
            log.fixed_images(progress, lambda: self._tried(lambda: self._translate(model)))

    def _tried(self, translate: Callable[[], NamedImages]) -> NamedImages:
        """What `translate` gives, or nothing."""
        try:
            return translate()
        except (RunError, UsageError, OSError) as error:
            reason = str(error)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            reason = "out of memory"
        say(f"the fixed test images of {self._inputs.folder} are shown no more: {reason}")
        self._inputs = None
        return {}

    def _translate(self, model: Translating) -> NamedImages:
        self._batches = self._batches or dict(self._inputs.batches())
        shown: dict[str, dict[str, Pixels]] = {name: {} for name in self._batches}
        for suffix, weights in model.weight_sets().items():
            with weights, undisturbed(model, self._seed):
                for name, batch in self._batches.items():
                    for label, images in model.test_step(batch).items():
                        if not suffix or label.startswith("fake"):      # the real ones are the same
                            shown[name][label + suffix] = to_pixels(images[0])
        return shown
