"""The log of a run: measures its time, and hands its losses, scores and images to every logger."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import torch
from torch import Tensor

from util.console import say
from util.distributed import ranks
from util.images import side_by_side
from util.loggers.base import LOSS, MEMORY, SECONDS, Logger, NamedImages, Values, add_prefix
from util.loggers.terminal import Terminal
from util.loggers.text_files import TextFiles
from util.runtime.progress import Progress
from util.runtime.timer import Timer

T = TypeVar("T")


class RunLog:
    """Reports to the text files in the run's folder, to the terminal, and to the loggers given.

    A logger's OSError, as from a full disk, is said in one line and never ends the run. Of several ranks only
    rank 0 reports; the others' logs have no scores.
    """

    def __init__(self, folder: Path, progress: Progress, *, images_in_total: float,
                 loggers: Mapping[str, Logger]):
        """progress: where the run starts; if images were done already, it is resumed (see TextFiles).
        images_in_total: of the whole run, for the time left. loggers: by name.
        """
        self.timer = Timer()
        self._files = TextFiles(folder, progress) if ranks.is_main() else None
        self._terminal = Terminal(progress, images_in_total) if ranks.is_main() else None
        own = {"text files": self._files, "terminal": self._terminal} if ranks.is_main() else {}
        self._loggers: dict[str, Logger] = {**own, **loggers}
        self._images = self._first_images = progress.total_images
        self._began = time.perf_counter()
        self._epoch_began = time.perf_counter()
        history = self._files.history() if self._files else []
        _tell(self._loggers, "earlier values", lambda logger: logger.start(progress, history))

    def timed(self, batches: Iterable[T]) -> Iterator[T]:
        """The same batches; the time spent waiting for them is measured."""
        return self.timer.timed(batches)

    def step(self, progress: Progress) -> None:
        """Call it right after every step. Stops the timer, moves the bar on; does not wait for the device."""
        images, self._images = progress.total_images - self._images, progress.total_images
        self.timer.stop(images)
        if self._terminal:
            self._terminal.advance(progress, images)

    def losses(self, progress: Progress, losses: dict[str, Tensor], lr: float) -> dict[str, float]:
        """Report the last step's losses, scalars on one device, and return them as numbers.

        Reads them in one transfer, the only wait for the device.
        """
        self.timer.start()
        numbers = torch.stack([loss.detach().float() for loss in losses.values()]).tolist()
        self.timer.stop()
        values = dict(zip(losses, numbers, strict=True))
        times = self.timer.read()
        self.scalars(progress, {**add_prefix(LOSS, values), "lr": lr,
                                **add_prefix(SECONDS, times._asdict()), **gpu_memory()})
        return values

    def scalars(self, progress: Progress, values: Values) -> None:
        """Report numbers; their names say what they are, see Logger.scalars."""
        _tell(self._loggers, f"values of image {progress.total_images}",
              lambda logger: logger.scalars(progress, values))

    def images(self, progress: Progress, visuals: Mapping[str, Tensor], keep: bool) -> None:
        """Report the last step's images: to live loggers, and with `keep` to those that keep all of them.

        visuals: [B, C, H, W] in [-1, 1] by label; the whole batch is shown, side by side.
        """
        takers = {name: logger for name, logger in self._loggers.items()
                  if (keep or logger.live) and type(logger).images is not Logger.images}
        if not takers:
            return
        shown = {label: side_by_side(batch) for label, batch in visuals.items()}
        caption = f"Epoch {progress.epoch} of {progress.last_epoch}, {progress.total_images:,} images seen"
        _tell(takers, f"images of epoch {progress.epoch}",
              lambda logger: logger.images(progress, shown, caption))

    def fixed_images(self, progress: Progress, translate: Callable[[], NamedImages]) -> None:
        """Report the fixed test images; `translate` makes them, and is not called where no logger takes them.
        """
        takers = {name: logger for name, logger in self._loggers.items()
                  if type(logger).fixed_images is not Logger.fixed_images}
        if takers and (images := translate()):
            _tell(takers, f"test images at image {progress.total_images}",
                  lambda logger: logger.fixed_images(progress, images))

    def scores(self, metric: str, epoch: int | None = None) -> list[tuple[int, float]]:
        """Images seen in all and the score then, oldest first; see TextFiles.scores."""
        return self._files.scores(metric, epoch) if self._files else []

    def done(self) -> tuple[int, float]:
        """Images and seconds since this start of the run."""
        return self._images - self._first_images, time.perf_counter() - self._began

    def epoch_end(self, progress: Progress) -> None:
        """Call it before the epoch's number moves on."""
        now = time.perf_counter()
        say(f"End of epoch {progress.epoch} / {progress.last_epoch}, {now - self._epoch_began:.0f} s")
        self._epoch_began = now

    def close(self) -> None:
        for logger in self._loggers.values():
            with suppress(OSError):             # what it showed last stays
                logger.close()

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


def gpu_memory() -> dict[str, float]:
    """Gigabytes of GPU memory that the process had in use at most; {} where it uses no GPU."""
    used = torch.cuda.is_available() and torch.cuda.is_initialized()
    return {f"{MEMORY}gpu": torch.cuda.max_memory_allocated() / 1e9} if used else {}


def _tell(loggers: Mapping[str, Logger], what: str, call: Callable[[Logger], None]) -> None:
    """Call every logger; `what` names in words what is lost where one fails."""
    for name, logger in loggers.items():
        try:
            call(logger)
        except OSError as error:
            say(f"{what} are not in the {name}: {error.strerror or error}")
