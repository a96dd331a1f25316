"""A run on the terminal: a progress bar, or loss lines where stderr is no terminal."""

from tqdm import tqdm

from util.console import say
from util.loggers.base import LOSS, SECONDS, Logger, Values, with_prefix
from util.loggers.text_files import loss_line
from util.runtime.progress import Progress

BAR = "{desc} {percentage:3.0f}%|{bar:6}| {n_fmt}/{total_fmt}, {rate_noinv_fmt}, {remaining} left{postfix}"


class Terminal(Logger):
    """The bar shows the newest losses; without a bar, loss lines are printed on stdout."""

    def __init__(self, progress: Progress, images_in_total: float):
        """images_in_total: of the whole run, for the time left."""
        self._bar = tqdm(total=images_in_total, initial=progress.total_images, unit=" images", bar_format=BAR,
                         desc=_epoch(progress), disable=None, dynamic_ncols=True, smoothing=0.05)

    def advance(self, progress: Progress, images: int) -> None:
        """Move the bar on by `images`."""
        self._bar.set_description_str(_epoch(progress), refresh=False)
        self._bar.update(images)

    def scalars(self, step: Progress, values: Values) -> None:
        losses = with_prefix(LOSS, values)
        if not losses:
            return
        if self._bar.disable:
            say(loss_line(step, values))
            return
        seconds = with_prefix(SECONDS, values)      # last: a narrow terminal cuts off the end
        shown = losses | {"time": seconds["compute"], "data": seconds["data"]}
        self._bar.set_postfix_str(" ".join(f"{name} {value:.3f}" for name, value in shown.items()))

    def close(self) -> None:
        self._bar.close()


def _epoch(progress: Progress) -> str:
    return f"epoch {progress.epoch}/{progress.last_epoch}"
