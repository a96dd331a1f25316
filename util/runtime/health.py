"""Detect non-finite losses and discriminator collapse."""

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor
from torch.optim import Optimizer

from util.console import say
from util.errors import RunError, UsageError
from util.runtime.progress import Progress

SKIPS_IN_A_ROW = 100        # non-finite steps after which a run will not recover by itself
WON_D, WON_G = 0.05, 0.9    # D's losses below and G's above, over COLLAPSE_IMAGES images: D has won
COLLAPSE_IMAGES = 5000
REMEDIES = ("more varied images, and of one kind in both domains (format, size, borders: any difference "
            "gives the generated ones away), a smaller --ndf, a lower --lr, a larger --lambda_GAN; see "
            "docs/curves.md")


class LossMonitor:
    """Detects losses that are NaN or infinite, and warns when the discriminator has collapsed.

    `step` notes on the device which step was the first with a non-finite loss, so it never waits; `check`
    reads it. on_nan: stop ends the run then. skip leaves out every update whose gradients are not finite, and
    ends the run only after SKIPS_IN_A_ROW non-finite steps in a row.
    """

    def __init__(self, on_nan: str, optimizers: Iterable[Optimizer], lambda_GAN: float = 1.0):
        """lambda_GAN: the weight that the loss G_GAN carries."""
        self._collapse = CollapseDetector(lambda_GAN)
        self._skips = on_nan == "skip"
        self._names: list[str] = []
        self._checked_step = 0
        for optimizer in optimizers if self._skips else ():
            skip_broken_updates(optimizer)

    def step(self, progress: Progress, losses: Mapping[str, Tensor]) -> None:
        """Call it after every step; it does not wait for the device."""
        broken = ~torch.isfinite(torch.stack([loss.detach().float() for loss in losses.values()]))
        if self._names != list(losses):
            self._names = list(losses)
            self._first = torch.full_like(broken, -1, dtype=torch.int64)    # step, or -1, of each loss
            self._in_a_row = torch.zeros_like(self._first[0])
        self._first = torch.where(broken & (self._first < 0), progress.total_steps, self._first)
        self._in_a_row = (self._in_a_row + 1) * broken.any()

    def check(self, progress: Progress, shown: Mapping[str, float],
              advice: Callable[[str], str]) -> None:
        """Raise RunError, or say what was skipped, if losses were not finite. Waits for the device.

        shown: the losses just printed. advice: how to go on from what is saved, with a remedy, in words.
        """
        self._collapse.check(progress, shown)
        since, self._checked_step = self._checked_step, progress.total_steps
        *first, in_a_row = torch.cat([self._first, self._in_a_row[None]]).tolist()
        found = {name: step for name, step in zip(self._names, first, strict=True) if step >= 0}
        if not found:
            return
        self._first.fill_(-1)
        what = (f"between step {since} and {progress.total_steps} ({progress.moment}) losses became NaN or "
                f"infinite: " + ", ".join(f"{name} from step {step}" for name, step in found.items()))
        if not self._skips:
            raise RunError(f"{what}; {advice('a lower --lr, or with --on_nan skip')}")
        if in_a_row >= SKIPS_IN_A_ROW:
            raise RunError(f"{what}, the last {in_a_row} steps without exception; {advice('a lower --lr')}")
        say(f"{what}; updates without finite gradients are left out")


def skip_broken_updates(optimizer: Optimizer) -> None:
    """Make the optimizer skip an update when any gradient is NaN or infinite.

    It is decided on the device, which only fused optimizers can do. Raises UsageError for others.
    """
    if not getattr(optimizer, "_step_supports_amp_scaling", False):
        raise UsageError(f"--on_nan skip needs fused optimizers, and this model's "
                         f"{type(optimizer).__name__} is none: use --on_nan stop")

    ours = False        # whether found_inf is of this hook; a GradScaler sets, and removes, one of its own

    def before(optimizer: Optimizer, *_: object) -> None:
        nonlocal ours
        grads = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        ours = bool(grads) and not hasattr(optimizer, "found_inf")
        if ours:
            norms = torch.stack(torch._foreach_norm(grads, float("inf")))
            optimizer.found_inf = (~torch.isfinite(norms).all()).float()

    def after(optimizer: Optimizer, *_: object) -> None:
        if ours:
            del optimizer.found_inf

    optimizer.register_step_pre_hook(before)
    optimizer.register_step_post_hook(after)


class CollapseDetector:
    """Warns once when the printed losses show that D has won for long."""

    def __init__(self, lambda_GAN: float):
        """lambda_GAN: the weight that the loss G_GAN carries."""
        self._weight = lambda_GAN
        self._since: int | None = None
        self._said = False

    def check(self, progress: Progress, losses: Mapping[str, float]) -> None:
        """losses: the printed ones, by name; those of a model without these three names are not judged."""
        if self._said or not {"G_GAN", "D_real", "D_fake"} <= losses.keys():
            return
        if max(losses["D_real"], losses["D_fake"]) > WON_D or losses["G_GAN"] < WON_G * self._weight:
            self._since = None
        elif self._since is None:
            self._since = progress.total_images
        elif progress.total_images - self._since >= COLLAPSE_IMAGES:
            self._said = True
            say(f"warning: for {COLLAPSE_IMAGES:,} images D has told real from generated without an error "
                f"(D_real and D_fake near 0, G_GAN near {self._weight:g} or above), so G learns little from "
                f"it. What helps: {REMEDIES}")
