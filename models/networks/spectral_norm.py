"""Spectral normalisation of a discriminator's layers (--spectral_norm)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

from models.networks.stylegan2_ops import EqualConv2d, EqualLinear
from models.precision import own_dtype

FIRST_ITERATIONS = 15       # so that the first passes use a good estimate already


class SpectralNorm(nn.Module):
    """A weight, [C_out, ...], divided by its largest singular value as a matrix [C_out, the rest].

    The two singular vectors are followed by one power iteration for every pass in training; they are part of
    the checkpoint. Miyato et al. 2018, algorithm 1.
    """

    def __init__(self, weight: Tensor):
        super().__init__()
        matrix = weight.detach().flatten(1)
        self.register_buffer("u", F.normalize(torch.randn_like(matrix[:, 0]), dim=0))
        self.register_buffer("v", torch.zeros_like(matrix[0]))
        for _ in range(FIRST_ITERATIONS):
            self.follow(matrix)

    @torch.no_grad()
    def follow(self, matrix: Tensor) -> None:
        """One power iteration."""
        self.v.copy_(F.normalize(matrix.T @ self.u, dim=0))
        self.u.copy_(F.normalize(matrix @ self.v, dim=0))

    def forward(self, weight: Tensor) -> Tensor:
        with own_dtype(weight):     # bfloat16's 8 bits are too few for the iteration
            matrix = weight.flatten(1)
            if self.training:
                self.follow(matrix)
            # Copies, as backward needs them and the next pass changes them.
            return weight / (self.u.clone() @ (matrix @ self.v.clone()))


def normalize_spectrally(net: nn.Module) -> None:
    """Let every convolution and linear layer of a network use its weight through SpectralNorm.

    What the optimizer changes is then `<layer>.parametrizations.weight.original`: a checkpoint has not the
    keys of the plain network. In StyleGAN2's layers the norm replaces the factor 1 / sqrt(fan_in).
    """
    for module in list(net.modules()):
        if isinstance(module, (nn.Conv2d, nn.Linear, EqualConv2d, EqualLinear)):
            if isinstance(module, (EqualConv2d, EqualLinear)):
                module.scale = 1.0
            register_parametrization(module, "weight", SpectralNorm(module.weight))
