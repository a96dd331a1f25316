"""Weights and pictures made by formula, so that two implementations can be compared without sharing any file.

Every weight is an exact function of integers, without a random generator: ``noise`` hashes the position n in
the k-th tensor to a value in [-1, 1). The golden numbers in tests/golden were computed on networks filled by
``fill_`` and pictures from ``picture``.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

FIXED = ("filt", "kernel", "num_batches_tracked")  # blur kernels and counters: set by the network itself
PRIME = 65521


def noise(count: int, k: int = 0) -> Tensor:
    """float64 [count] in [-1, 1): (7919 n² + 104729 n + 15485863 (k + 1)) mod 65521 · 2/65521 − 1."""
    n = torch.arange(count, dtype=torch.int64)
    return (7919 * n * n + 104729 * n + 15485863 * (k + 1)).remainder(PRIME).double() * (2 / PRIME) - 1


def value_of(key: str, shape: tuple[int, ...], k: int, equalized: bool = False) -> Tensor:
    """float64 tensor for the k-th filled key of a state dict.

    Matrices and convolutions have variance 1/fan_in with fan_in = elements per entry of the first axis, or
    variance 1 where ``equalized`` (StyleGAN2 scales at run time); biases and running means lie within ±0.1,
    scales of norms in 1 ± 0.2, running variances in 1 ± 0.5; noise strengths are 0.
    """
    numel = math.prod(shape)
    values = noise(numel, k).reshape(shape)
    if key.endswith("noise.weight"):
        return torch.zeros_like(values)
    if key.endswith("running_var"):
        return 1 + 0.5 * values
    if key.endswith(("bias", "running_mean")):
        return 0.1 * values
    if len(shape) == 1:
        return 1 + 0.2 * values
    return values * math.sqrt(3.0 if equalized else 3.0 * shape[0] / numel)


@torch.no_grad()
def fill_(target: nn.Module | Mapping[str, Tensor], equalized: bool = False) -> None:
    """Set, in place, every parameter and running statistic; k counts the filled keys in sorted order."""
    state = target.state_dict() if isinstance(target, nn.Module) else target
    keys = sorted(key for key in state if key.rsplit(".", 1)[-1] not in FIXED)
    for k, key in enumerate(keys):
        state[key].copy_(value_of(key, tuple(state[key].shape), k, equalized))


def picture(batch: int, channels: int, height: int, width: int, phase: float = 0.0) -> Tensor:
    """float64 [batch, channels, height, width] in [-1, 1]: two sine waves a channel; cast it as needed."""
    b, c, i, j = torch.meshgrid(
        *(torch.arange(size, dtype=torch.float64) for size in (batch, channels, height, width)), indexing="ij"
    )
    wave = 0.6 * torch.sin(0.31 * i * (c + 1) + 0.17 * j + phase + 0.9 * b)
    return wave + 0.4 * torch.cos(0.23 * j * (c + 1) - 0.11 * i + 2 * phase + 1.7 * b)


def summary(tensor: Tensor, count: int = 12) -> dict:
    """Shape, mean, population std, and ``count`` values at even steps through the flattened tensor."""
    flat = tensor.detach().double().flatten()
    places = [round(n * (flat.numel() - 1) / max(1, count - 1)) for n in range(count)]
    return {
        "shape": list(tensor.shape),
        "mean": flat.mean().item(),
        "std": flat.std(correction=0).item(),
        "values": flat[places].tolist(),
    }
