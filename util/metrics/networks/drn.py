"""DRN-D-22, the segmentation network that scores label -> photo (Yu, Koltun, Funkhouser 2017).

Its modules have the names of the published weights, `base.N...`, `seg` and `up`, so that these load.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Mean and std of Cityscapes' training photos in [0, 1], by which the published weights expect their input
# to be normalised.
CITYSCAPES_MEAN = (0.29010095242892997, 0.32808144844279574, 0.28696394422942517)
CITYSCAPES_STD = (0.1829540508368939, 0.18656561047509476, 0.18447508988480435)


def convolution(channels: int, out_channels: int, *, kernel: int = 3, stride: int = 1,
                dilation: int = 1) -> nn.Conv2d:
    """Without bias; a stride of 1 keeps the size."""
    return nn.Conv2d(channels, out_channels, kernel, stride, dilation * (kernel // 2), dilation, bias=False)


def plain(channels: int, out_channels: int, **settings: int) -> nn.Sequential:
    """Convolution, batch norm, ReLU."""
    return nn.Sequential(convolution(channels, out_channels, **settings), nn.BatchNorm2d(out_channels),
                         nn.ReLU())


class ResidualBlock(nn.Module):
    """Two convolutions and a skip connection, which projects where width or size change (He et al. 2016)."""

    def __init__(self, channels: int, out_channels: int, *, stride: int, dilation: int):
        super().__init__()
        self.conv1 = convolution(channels, out_channels, stride=stride, dilation=dilation)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = convolution(out_channels, out_channels, dilation=dilation)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsample = None
        if stride > 1 or channels != out_channels:
            self.downsample = nn.Sequential(convolution(channels, out_channels, kernel=1, stride=stride),
                                            nn.BatchNorm2d(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        skip = x if self.downsample is None else self.downsample(x)
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + skip)


def residual(channels: int, out_channels: int, *, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Two residual blocks, the first with the stride."""
    return nn.Sequential(ResidualBlock(channels, out_channels, stride=stride, dilation=dilation),
                         ResidualBlock(out_channels, out_channels, stride=1, dilation=dilation))


def upsampling_filter(kernel: int) -> Tensor:
    """The [kernel, kernel] weights of a transposed convolution that interpolates bilinearly by kernel / 2."""
    ramp = 1 - (torch.arange(kernel) - (kernel - 1) / 2).abs() / (kernel / 2)
    return torch.outer(ramp, ramp)


class DRND22(nn.Module):
    """Photos to scores of the classes at every pixel.

    photos: [B, 3, H, W] in [0, 1], H and W multiples of 8. Returns [B, classes, H, W].
    """

    def __init__(self, *, classes: int = 19, mean: tuple[float, ...] = CITYSCAPES_MEAN,
                 std: tuple[float, ...] = CITYSCAPES_STD):
        super().__init__()
        self.base = nn.Sequential(
            plain(3, 16, kernel=7), plain(16, 16), plain(16, 32, stride=2),
            residual(32, 64, stride=2), residual(64, 128, stride=2),        # an eighth of the size: from here
            residual(128, 256, dilation=2), residual(256, 512, dilation=4),     # dilation widens the view,
            plain(512, 512, dilation=2), plain(512, 512))                   # and these smooth its grid
        self.seg = nn.Conv2d(512, classes, 1)
        self.up = nn.ConvTranspose2d(classes, classes, 16, 8, 4, groups=classes, bias=False)
        with torch.no_grad():
            self.up.weight.copy_(upsampling_filter(16).expand_as(self.up.weight))
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def forward(self, photos: Tensor) -> Tensor:
        return self.up(self.seg(self.base((photos - self.mean) / self.std)))


def published_weights(found: Mapping) -> dict[str, Tensor]:
    """The weights of DRND22 in a published file, which holds them alone or as a part of a checkpoint.

    Counters of batch norm are left out: files of 2017 lack them, and they have no effect on the output.
    """
    weights = found.get("state_dict", found)
    return {name.removeprefix("module."): value for name, value in weights.items()
            if not name.endswith("num_batches_tracked")}
