"""Distances between images that a translation should keep (Benaim and Wolf 2017)."""

from collections.abc import Callable

import torch
from torch import Tensor

from models.precision import in_float32


@in_float32
def pair_distances(left: Tensor, right: Tensor) -> Tensor:
    """Mean absolute difference of corresponding images: [B, C, H, W] twice -> [B].

    The paper's L1 norm times 1 / (C * H * W), a factor that normalising removes.
    """
    return (left - right).abs().mean((1, 2, 3))


def half_distances(images: Tensor) -> Tensor:
    """The distance of each image's left half to its right half: [B, C, H, W] -> [B].

    A middle column of an odd width belongs to neither half.
    """
    half = images.shape[3] // 2
    return pair_distances(images[..., :half], images[..., -half:])


class RunningMoments:
    """Running mean and std of all numbers seen so far, on their device (Chan et al. 1979)."""

    def __init__(self, device: torch.device):
        self.count = 0
        self.mean = torch.zeros((), dtype=torch.float64, device=device)
        self.squares = torch.zeros((), dtype=torch.float64, device=device)   # sum of (x - mean)^2

    def add(self, values: Tensor) -> None:
        """Count more values, of any shape; there may be none."""
        values = values.detach().double().flatten()
        if not len(values):
            return
        mean, count = values.mean(), self.count + len(values)
        difference = mean - self.mean
        self.squares = (self.squares + (values - mean).square().sum()
                        + difference.square() * self.count * len(values) / count)
        self.mean = self.mean + difference * len(values) / count
        self.count = count

    def normalized(self, values: Tensor) -> Tensor:
        """(values - mean) / std, in the values' dtype; a std of 0 counts as 1e-6."""
        std = (self.squares / max(1, self.count)).sqrt().clamp_min(1e-6)
        return (values - self.mean.to(values.dtype)) / std.to(values.dtype)

    def remember(self) -> Callable[[], None]:
        """A function that brings back the moments as they are now."""
        before = dict(vars(self))
        return lambda: vars(self).update(before)

    def state_dict(self) -> dict[str, int | Tensor]:
        return {"count": self.count, "mean": self.mean, "squares": self.squares}

    def load_state_dict(self, state: dict[str, int | Tensor]) -> None:
        self.count = state["count"]
        self.mean, self.squares = (state[name].to(self.mean.device) for name in ("mean", "squares"))
