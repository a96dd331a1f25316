"""A helper beside the model, as forks have them."""

from torch import nn

from .networks import get_norm_layer


class Head(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(channels, 4, 3, padding=1), get_norm_layer("instance")(4),
                                 nn.ReLU(), nn.Conv2d(4, 1, 1))

    def forward(self, x):
        return self.net(x)
