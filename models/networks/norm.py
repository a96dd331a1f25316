"""Normalisation layers by name."""

from torch import nn

NORMS = {
    "instance": lambda channels: nn.InstanceNorm2d(channels, affine=False, track_running_stats=False),
    "batch": lambda channels: nn.BatchNorm2d(channels),
    "none": lambda channels: nn.Identity(),
}


def norm_layer(name: str, channels: int) -> nn.Module:
    """The layer of that name for [B, channels, H, W]. Raises ValueError for a name not in NORMS."""
    if name not in NORMS:
        raise ValueError(f"the norm is {name!r}; choose one of {', '.join(NORMS)}")
    return NORMS[name](channels)


def bias_with(name: str) -> bool:
    """Whether a convolution before this norm carries a bias, as in the published checkpoints."""
    return name == "instance"
