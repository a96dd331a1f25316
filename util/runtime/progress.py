"""Progress of a run: counters of epochs, images and steps, and which "every N images" is due."""

import math
from collections.abc import Iterator


class Progress:
    """Counters of one run.

    epoch: from 1; epoch_images: images done in this epoch; total_images: images done in this run (the
    reference's total_iters); total_steps: optimizer steps. `last_epoch` is the last one to run, each of
    `images_per_epoch` images (inf: not known).
    """

    COUNTERS = ("epoch", "epoch_images", "total_images", "total_steps")

    def __init__(self, *, first_epoch: int, last_epoch: int, images_per_epoch: float = math.inf):
        self.epoch, self.last_epoch, self.images_per_epoch = first_epoch, last_epoch, images_per_epoch
        self.epoch_images = self.total_images = self.total_steps = 0
        self._advanced = 0

    def remaining_epochs(self) -> Iterator[int]:
        """The current epoch and those after it; `end_epoch` moves on to the next."""
        while self.epoch <= self.last_epoch:
            yield self.epoch

    @property
    def epoch_done(self) -> bool:
        """Whether the last step was the last of its epoch."""
        return self.epoch_images >= self.images_per_epoch

    @property
    def moment(self) -> str:
        """Where the run is, in words."""
        return f"epoch {self.epoch}, image {self.epoch_images} of it"

    def end_epoch(self) -> None:
        self.epoch += 1
        self.epoch_images = 0

    def advance(self, images: int) -> None:
        """Count one step on `images` images."""
        self.epoch_images += images
        self.total_images += images
        self.total_steps += 1
        self._advanced = images

    def crossed(self, images: int) -> bool:
        """Whether the last step reached or passed a multiple of `images`: once each, at any batch size."""
        return self.total_images // images > (self.total_images - self._advanced) // images

    def state_dict(self) -> dict[str, float]:
        return {name: getattr(self, name) for name in (*self.COUNTERS, "images_per_epoch")}

    def load_state_dict(self, state: dict[str, float]) -> str:
        """Take over the counters; images_per_epoch stays. Returns a line if an epoch had another length.

        An epoch that already had as many images as it has now is over.
        """
        for name in self.COUNTERS:
            setattr(self, name, int(state[name]))
        now = self.images_per_epoch
        then = state.get("images_per_epoch", now)
        if self.epoch_done:
            self.end_epoch()
        return "" if then == now else f"an epoch had {then} images, now {now}: from here on the order differs"
