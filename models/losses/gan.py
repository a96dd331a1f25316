"""Adversarial objectives by name. Scores are D's raw outputs; every loss is a mean over all of them."""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import models.networks.parts as parts
from models.precision import in_float32


class Objective(NamedTuple):
    """The losses of one objective: D's on real and on generated images, and G's."""

    real: Callable[[Tensor], Tensor]
    fake: Callable[[Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]
    penalty_weight: float = 0.0    # of the gradient penalty that belongs to the objective


def mean_of(formula: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The mean of a formula over all scores, in float32."""
    return in_float32(lambda scores: formula(scores).mean())


# Goodfellow et al. 2014 with the -log D trick: binary cross entropy with logits, whose target is 1 for G too.
LOGISTIC = Objective(real=mean_of(lambda s: F.softplus(-s)), fake=mean_of(F.softplus),
                     generator=mean_of(lambda s: F.softplus(-s)))

OBJECTIVES = {
    # Mao et al. 2017: squared distance to 1 (real) and 0 (generated).
    "lsgan": Objective(real=mean_of(lambda s: (s - 1).square()), fake=mean_of(torch.square),
                       generator=mean_of(lambda s: (s - 1).square())),
    "vanilla": LOGISTIC,
    "nonsaturating": LOGISTIC,      # the name that StyleGAN2 gave the same formulas
    # Lim and Ye 2017.
    "hinge": Objective(real=mean_of(lambda s: F.relu(1 - s)), fake=mean_of(lambda s: F.relu(1 + s)),
                       generator=mean_of(torch.neg)),
    # What DCLGAN (Han et al. 2021) calls hinge: G minimises what D does on real images, so that a score above
    # 1 teaches it nothing more.
    "hinge_real": Objective(real=mean_of(lambda s: F.relu(1 - s)), fake=mean_of(lambda s: F.relu(1 + s)),
                            generator=mean_of(lambda s: F.relu(1 - s))),
    # Gulrajani et al. 2017.
    "wgangp": Objective(real=mean_of(torch.neg), fake=mean_of(lambda s: s), generator=mean_of(torch.neg),
                        penalty_weight=10.0),
}


def score_gradient(discriminator: nn.Module, x: Tensor) -> Tensor:
    """The gradient, shaped like x, of the sum of D's scores; it can be differentiated again.

    Compiled networks cannot be differentiated twice, so D runs uncompiled here.
    """
    with torch.compiler.set_stance("force_eager"):
        gradient, = torch.autograd.grad(discriminator(x).sum(), x, create_graph=True)
    return gradient


@in_float32
def gradient_penalty(discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """E (|grad D(x)| - 1)^2 at random points between real and generated images; a scalar.

    real, fake: [B, C, H, W]; where their sizes differ, the common top left part is used.
    Gulrajani et al. 2017, eq. 3 (their lambda is `Objective.penalty_weight`).
    """
    batch, height, width = (min(a, b) for a, b in zip(_size(real), _size(fake), strict=True))
    real, fake = (x[:batch, :, :height, :width].detach() for x in (real, fake))
    mix = parts.drawn(lambda images: torch.rand(images, 1, 1, 1, device=real.device, dtype=real.dtype), batch)
    between = (mix * real + (1 - mix) * fake).requires_grad_()
    gradient = score_gradient(discriminator, between)
    return (gradient.flatten(1).norm(dim=1) - 1).square().mean()


@in_float32
def r1_penalty(discriminator: nn.Module, real: Tensor) -> Tensor:
    """E |grad D(x)|^2 over the real images [B, C, H, W], with D's scores of an image summed; a scalar.

    To be weighted by half of R1's gamma. Mescheder et al. 2018, eq. 9.
    """
    real = real.detach().requires_grad_()
    gradient = score_gradient(discriminator, real)
    return gradient.square().sum((1, 2, 3)).mean()


def _size(x: Tensor) -> tuple[int, int, int]:
    return x.shape[0], x.shape[2], x.shape[3]
