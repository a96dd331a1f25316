"""The interface of a logger: a place that a run reports its numbers and images to."""

from collections.abc import Mapping, Sequence

from util.images import Pixels, grid
from util.runtime.progress import Progress

Values = Mapping[str, float]
History = Sequence[tuple[int, Values]]      # images seen in all, and the values reported then; oldest first
NamedImages = Mapping[str, Mapping[str, Pixels]]    # name of an image file -> label -> pixels

# How the names of values begin: the loss "G" is "loss/G". The learning rate is plainly "lr".
LOSS, SECONDS, SCORE, COUNT, MEMORY = "loss/", "seconds/", "score/", "count/", "memory/"
SPEED = "speed/"        # of curves


class Logger:
    """Base class of every logger. A logger overrides the methods for what it shows; the others do nothing.

    `step` holds the run's counters: epoch, epoch_images, total_images, total_steps. They move on after the
    call, so read them within it. If a method raises OSError, as on a full disk, one line says what was lost,
    and the run goes on.

    live: whether it shows only the newest images, and so gets them as often as --display_freq says. Other
    loggers keep all images, and get them as often as --update_html_freq says.
    """

    live = False

    def start(self, step: Progress, history: History) -> None:
        """Called once, first. history: what the run reported before `step`; empty unless it is resumed."""

    def scalars(self, step: Progress, values: Values) -> None:
        """values: some of "loss/<name>", "lr", "seconds/compute" and "seconds/data" (for each image),
        "memory/gpu" (gigabytes, the most so far; on a GPU alone), "score/<metric>", "count/fake" and
        "count/real" (images scored). A value may be NaN or infinite.
        """

    def images(self, step: Progress, images: Mapping[str, Pixels], caption: str) -> None:
        """images: the last training step's by label (real_A, fake_B), uint8 [H, W, 1 or 3]."""

    def fixed_images(self, step: Progress, images: NamedImages) -> None:
        """images: a few test images, the same ones in the same order every time, each by label: real_A, and
        what the weights of now make of it (fake_B; with --ema fake_B_ema too), uint8 [H, W, 1 or 3].

        The name is that of the file within its domain's folder, without its ending, such as "a/1". Called
        right after `images` where those are to be kept: every --update_html_freq images, at the end of epochs
        of --save_epoch_freq, and of the last. Never called where the data has no test images of the input
        domain, or with --fixed_images 0.
        """

    def close(self) -> None:
        """Called once, last, also after an error."""


def add_prefix(prefix: str, values: Values) -> dict[str, float]:
    """The values under longer names: "G" becomes "loss/G"."""
    return {prefix + name: value for name, value in values.items()}


def with_prefix(prefix: str, values: Values) -> dict[str, float]:
    """The values whose names begin with the prefix, under the rest of their names: "loss/G" becomes "G"."""
    return {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}


def curves(values: Values) -> dict[str, float]:
    """The values that are worth a curve, with images/s in place of the seconds for each image."""
    shown = {name: value for name, value in values.items() if not name.startswith((SECONDS, COUNT))}
    seconds = sum(with_prefix(SECONDS, values).values())
    return shown | ({f"{SPEED}images_per_second": 1 / seconds} if seconds else {})


def fixed_grid(images: NamedImages) -> Pixels:
    """The fixed test images as one image: a row for each, a column for each label; uint8 [H, W, 3]."""
    cells = [pixels for of in images.values() for pixels in of.values()]
    return grid(cells, columns=len(cells) // len(images))
