"""What a training says: loss lines, a progress bar, an image gallery, curves on visdom."""

import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import torch
from torch import Tensor
from tqdm import tqdm

from util.console import say
from util.images import side_by_side
from util.loggers.gallery import Gallery
from util.loggers.text_log import LossFiles
from util.loggers.visdom_log import VisdomLog
from util.runtime.progress import Progress
from util.runtime.timer import Timer

T = TypeVar("T")
BAR = "{desc} {percentage:3.0f}%|{bar:6}| {n_fmt}/{total_fmt}, {rate_noinv_fmt}, {remaining} left{postfix}"


class RunLog:
    """Writes loss_log.txt, stats.jsonl and the gallery web/ into a folder, and shows a progress bar.

    Where stderr is no terminal it prints the loss lines on stdout instead of a bar.
    """

    def __init__(self, *, folder: Path, name: str, progress: Progress, images_in_total: int,
                 gallery: bool = True, winsize: int = 256, visdom: VisdomLog | None = None):
        """progress: where the training starts; with images done already it is a resumed one (see LossFiles).
        images_in_total: of the whole training, for the time left. winsize: height of the gallery's images.
        """
        self.timer = Timer()
        self._files = LossFiles(folder, progress)
        self._gallery = Gallery(folder / "web", f"Training of {name}", winsize) if gallery else None
        self._visdom = visdom
        if visdom:
            visdom.resume(self._files.history())
        self._images = progress.total_images
        self._epoch_began = time.perf_counter()
        self._bar = tqdm(total=images_in_total, initial=self._images, unit=" images", bar_format=BAR,
                         desc=_epoch(progress), disable=None, dynamic_ncols=True, smoothing=0.05)

    def timed(self, batches: Iterable[T]) -> Iterator[T]:
        """The same batches; the time spent waiting for them is measured."""
        return self.timer.timed(batches)

    def step(self, progress: Progress) -> None:
        """To be called right after every step: stops the clock, moves the bar on. Waits for nothing."""
        images = progress.total_images - self._images
        self._images = progress.total_images
        self.timer.stop(images)
        self._bar.set_description_str(_epoch(progress), refresh=False)
        self._bar.update(images)

    def losses(self, progress: Progress, losses: dict[str, Tensor],
               lr: float | None = None) -> dict[str, float]:
        """Record the last step's losses (scalars on one device), and the learning rate if given.

        Reads them in one transfer, the only wait for the device. Returns them.
        """
        self.timer.start()
        numbers = torch.stack([loss.detach().float() for loss in losses.values()]).tolist()
        self.timer.stop()
        values = dict(zip(losses, numbers, strict=True))
        times = self.timer.read()
        line = self._files.write(progress, times, values, lr)
        if self._bar.disable:
            self.note(line)
        else:
            shown = values | {"time": times.compute, "data": times.data}     # a narrow terminal cuts the end
            self._bar.set_postfix_str(" ".join(f"{name} {value:.3f}" for name, value in shown.items()))
        if self._visdom:
            self._visdom.losses(progress.total_images, values)
        return values

    def images(self, progress: Progress, visuals: dict[str, Tensor], save: bool) -> None:
        """Show the last step's images on visdom; with `save`, put them into the gallery as well.

        visuals: [B, C, H, W] in [-1, 1] by label; all samples are shown, side by side.
        """
        save = save and self._gallery is not None
        if not (self._visdom or save):
            return
        shown = {label: side_by_side(batch) for label, batch in visuals.items()}
        where = f"Epoch {progress.epoch} of {progress.last_epoch}, {progress.total_images:,} images seen"
        if self._visdom:
            self._visdom.images(shown, where)
        if save:
            try:
                self._gallery.save(progress.epoch, shown, where)
            except OSError as error:
                self.note(f"images of epoch {progress.epoch} are not in the gallery: {error.strerror}")

    def epoch_end(self, progress: Progress) -> None:
        """To be called before the epoch's number moves on."""
        now = time.perf_counter()
        self.note(f"End of epoch {progress.epoch} / {progress.last_epoch}, {now - self._epoch_began:.0f} s")
        self._epoch_began = now

    def note(self, line: str) -> None:
        """Print a line on stdout, without disturbing the bar."""
        say(line)

    def close(self) -> None:
        self._bar.close()
        if self._gallery:
            with suppress(OSError):             # the page stays as it was last written
                self._gallery.close()
        if self._visdom:
            self._visdom.close()

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


def _epoch(progress: Progress) -> str:
    return f"epoch {progress.epoch}/{progress.last_epoch}"
