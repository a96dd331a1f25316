"""Further losses of a generator by name (--auxiliary): fake_B against what it was made of, or should be.

A loss is a function(real_A, fake_B, real_B, batch) -> scalar. The images are float32 [B, C, H, W] in [-1, 1];
fake_B lies pixel by pixel on real_A. batch: the minibatch by key, for companions of the images.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

PAIRS, FEATURES = "pairs", "features"
LUMINANCE = (0.299, 0.587, 0.114)       # of red, green, blue: ITU-R BT.601, as Pillow's
LEVELS = 4                              # of pyramid_l1
WINDOW, STD = 11, 1.5                   # of ssim, in pixels
C1, C2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2       # of ssim, for values that span 2

Batch = Mapping[str, Any]


class Auxiliary(NamedTuple):
    """A loss and what it needs.

    needs: PAIRS where real_B shows what fake_B should be; FEATURES for the network of --auxiliary_features;
    otherwise keys of the minibatch, such as "mask". smallest_side: of the images, in pixels. together: it is
    no mean over the images, so that it needs all of a minibatch that is divided.
    """

    loss: Callable[[Tensor, Tensor, Tensor, Batch], Tensor]
    needs: tuple[str, ...] = ()
    smallest_side: int = 1
    together: bool = False


def with_channels(images: Tensor, channels: int) -> Tensor:
    """[B, C, H, W] with 1 or 3 channels: colour becomes its luminance, grey is repeated; or itself."""
    if images.shape[1] == channels:
        return images
    if images.shape[1] == 1:
        return images.expand(-1, channels, -1, -1)
    return sum(weight * images[:, i:i + 1] for i, weight in enumerate(LUMINANCE))


def l1(real_A: Tensor, fake_B: Tensor, real_B: Tensor, batch: Batch) -> Tensor:
    """The mean of |fake_B - real_B| (Isola et al. 2017, eq. 3)."""
    return F.l1_loss(fake_B, real_B)


def halved(images: Tensor) -> Tensor:
    """The next level of a Gaussian pyramid: blurred, every second pixel (Burt and Adelson 1983)."""
    return blurred(F.pad(images, (2, 2, 2, 2), mode="reflect"), (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16), 2)


def blurred(images: Tensor, taps: tuple[float, ...], stride: int = 1) -> Tensor:
    """Every channel filtered by the same taps along rows and columns, where they lie within the image."""
    for dim in (2, 3):
        count = images.shape[dim] - len(taps) + 1
        images = sum(tap * images.narrow(dim, i, count) for i, tap in enumerate(taps))
        images = images[:, :, ::stride] if dim == 2 else images[..., ::stride]
    return images


def pyramid_l1(real_A: Tensor, fake_B: Tensor, real_B: Tensor, batch: Batch) -> Tensor:
    """The mean of l1 over the images and three halvings of them, for pairs that are roughly registered."""
    losses = [F.l1_loss(fake_B, real_B)]
    for _ in range(LEVELS - 1):
        fake_B, real_B = halved(fake_B), halved(real_B)
        losses.append(F.l1_loss(fake_B, real_B))
    return torch.stack(losses).mean()


def alike(real_A: Tensor, fake_B: Tensor) -> tuple[Tensor, Tensor]:
    """Both with the channels of the one that has fewer."""
    channels = min(real_A.shape[1], fake_B.shape[1])
    return with_channels(real_A, channels), with_channels(fake_B, channels)


def ssim(real_A: Tensor, fake_B: Tensor, real_B: Tensor, batch: Batch) -> Tensor:
    """1 - structural similarity of fake_B and real_A, a mean over channels and places (Wang et al. 2004)."""
    x, y = alike(real_A, fake_B)
    weights = [math.exp(-((i - WINDOW // 2) / STD) ** 2 / 2) for i in range(WINDOW)]
    taps = tuple(weight / sum(weights) for weight in weights)
    mean_x, mean_y = blurred(x, taps), blurred(y, taps)
    variance_x, variance_y = blurred(x * x, taps) - mean_x ** 2, blurred(y * y, taps) - mean_y ** 2
    covariance = blurred(x * y, taps) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + C1) / (mean_x ** 2 + mean_y ** 2 + C1)
    return 1 - (luminance * (2 * covariance + C2) / (variance_x + variance_y + C2)).mean()


def gradient(real_A: Tensor, fake_B: Tensor, real_B: Tensor, batch: Batch) -> Tensor:
    """The mean difference of the Sobel gradients of fake_B's and real_A's luminance, along rows and columns.

    Sobel's weights are divided by 8: a ramp of slope 1 a pixel has gradient 1.
    """
    x, y = (with_channels(images, 1) if images.shape[1] == 3 else images for images in alike(real_A, fake_B))
    difference = y - x
    down = difference[:, :, 2:] - difference[:, :, :-2]
    right = difference[..., 2:] - difference[..., :-2]
    down = down[..., :-2] + 2 * down[..., 1:-1] + down[..., 2:]
    right = right[:, :, :-2] + 2 * right[:, :, 1:-1] + right[:, :, 2:]
    return (down.abs() + right.abs()).mean() / 16


def colour(real_A: Tensor, fake_B: Tensor, real_B: Tensor, batch: Batch) -> Tensor:
    """Mean squared difference of the mean colour, plus that of the colours' covariance, in the minibatch."""
    moments = []
    for images in (fake_B, real_B):
        pixels = images.transpose(0, 1).flatten(1)              # [C, pixels]
        mean = pixels.mean(1, keepdim=True)
        centred = pixels - mean
        moments.append((mean, centred @ centred.T / pixels.shape[1]))
    (mean, covariance), (other_mean, other_covariance) = moments
    return F.mse_loss(mean, other_mean) + F.mse_loss(covariance, other_covariance)


def tv(real_A: Tensor, fake_B: Tensor, real_B: Tensor, batch: Batch) -> Tensor:
    """Total variation: the mean difference of neighbours below, plus that of neighbours beside each other."""
    return fake_B.diff(dim=2).abs().mean() + fake_B.diff(dim=3).abs().mean()


def mask_l1(real_A: Tensor, fake_B: Tensor, real_B: Tensor, batch: Batch) -> Tensor:
    """The mean of |fake_B - real_A| where the mask is 0: there G must not change the image.

    batch["mask"]: [B, C, H, W], any number of channels; a pixel is inside where any of them is not 0.
    """
    x, y = alike(real_A, fake_B)
    outside = (batch["mask"] == 0).all(1, keepdim=True).to(x.dtype)
    changes = ((x - y).abs() * outside).sum()
    return changes / (outside.sum() * x.shape[1]).clamp_min(1)


def perceptual(real_A: Tensor, fake_B: Tensor, real_B: Tensor, batch: Batch) -> Tensor:
    """The mean difference of a network's features of fake_B and real_A: the content stays."""
    features = batch[FEATURES]
    return F.l1_loss(features(fake_B), features(real_A).detach())


# One more: a function above and a line here. Of your own: models/losses/my_losses.py (docs/plugins.md).
LOSSES: dict[str, Auxiliary] = {
    "l1": Auxiliary(l1, needs=(PAIRS,)),
    "pyramid_l1": Auxiliary(pyramid_l1, needs=(PAIRS,), smallest_side=16),
    "ssim": Auxiliary(ssim, smallest_side=WINDOW),
    "gradient": Auxiliary(gradient, smallest_side=3),
    "colour": Auxiliary(colour, together=True),
    "tv": Auxiliary(tv, smallest_side=2),
    "mask_l1": Auxiliary(mask_l1, needs=("mask",), together=True),
    "perceptual": Auxiliary(perceptual, needs=(FEATURES,)),
}
