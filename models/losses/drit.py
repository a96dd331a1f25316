"""The losses of DRIT and DRIT++ beside the adversarial ones on images (Lee et al., ECCV 2018, IJCV 2020)."""

import torch.nn.functional as F
from torch import Tensor

from models.precision import in_float32

EPSILON = 1e-5      # of the mode-seeking loss


@in_float32
def l1(found: Tensor, wanted: Tensor) -> Tensor:
    """The mean of |found - wanted|, in float32; a scalar."""
    return F.l1_loss(found, wanted)


@in_float32
def mean_square(x: Tensor) -> Tensor:
    """The mean of x^2: pulls codes that have no variance towards N(0, 1); a scalar."""
    return x.square().mean()


@in_float32
def normal_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """The Kullback-Leibler divergence of N(mean, variance) from N(0, 1), in nats; a scalar.

    mean, log_variance: [B, S]. Summed over S, the mean over B. (The published code sums over B too, which is
    always 1 there.)
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()


@in_float32
def content_telling(of_A: Tensor, of_B: Tensor) -> Tensor:
    """What the content discriminator minimises: cross entropy with targets 0 for A's content, 1 for B's.

    of_A, of_B: its raw scores, of any shape. Returns the sum of both means, in nats.
    """
    return F.softplus(of_A).mean() + F.softplus(-of_B).mean()


@in_float32
def content_confusion(scores: Tensor) -> Tensor:
    """What the content encoder minimises: cross entropy with target 1/2, at least ln 2; the mean, in nats."""
    return (F.softplus(scores) - scores / 2).mean()


@in_float32
def mode_seeking(images: Tensor, others: Tensor, styles: Tensor, other_styles: Tensor) -> Tensor:
    """1 / (mean |images - others| / mean |styles - other_styles| + 1e-5): small where styles make a change.

    images, others: of the same content, made with styles and other_styles. Returns a scalar. Mao et al., Mode
    Seeking Generative Adversarial Networks, CVPR 2019; its ratio, inverted.
    """
    return 1 / ((others - images).abs().mean() / (other_styles - styles).abs().mean() + EPSILON)
