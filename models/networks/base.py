"""Base classes of the networks: what every network tells about itself, and what a generator offers."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from models.precision import at_least_float32

SEGMENT = 4    # stages that --grad_checkpoint computes again in one go


class NetworkError(ValueError):
    """A flag's value that a network cannot be built for or used with. One line: flag, value, remedy."""


class Network(nn.Module):
    """A network and the facts that its users need. A subclass, or its constructor, sets those that differ.

    size_multiple: the sides of an input image are multiples of it, in pixels.
    smallest_side: the shortest side of an input image, in pixels.
    input_size: the one side, in pixels, of the square images that the network takes; None: it takes others.
    own_init: the constructor draws the initial weights, and --init_type does not replace them.
    passes: the methods by which the network is used, which --compile translates.
    """

    size_multiple: int = 1
    smallest_side: int = 1
    input_size: int | None = None
    own_init: bool = False
    passes: tuple[str, ...] = ("forward",)


class Generator(Network, ABC):
    """An image-to-image network whose intermediate activations can be tapped, as the NCE loss needs.

    Layers are numbered from 0 as in --nce_layers.
    reach: no output pixel depends on an input pixel further away than this, in pixels; None: not known, or
    without bound, as where a norm is computed over the image.
    """

    reach: int | None = None
    passes = ("forward_with_features", "encode")

    @abstractmethod
    def layer_count(self) -> int:
        """How many layers can be tapped."""

    @abstractmethod
    def forward_with_features(self, x: Tensor, layers: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
        """The output, and the activations [B, C_l, H_l, W_l] of `layers`, ascending, from one pass."""

    @abstractmethod
    def encode(self, x: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """The activations of `layers` alone, ascending. What follows the last of them is not computed."""

    def forward(self, x: Tensor, layers: Sequence[int] = (),
                encode_only: bool = False) -> Tensor | list[Tensor] | tuple[Tensor, list[Tensor]]:
        """x: [B, C_in, H, W] in [-1, 1]. Returns [B, C_out, H, W].

        With `layers`, numbers in any order, -1 being the last: that and their activations, ascending; with
        encode_only the activations alone.
        """
        layers = sorted({number % self.layer_count() if number < 0 else number for number in layers})
        if not layers:
            return self.forward_with_features(x, ())[0]
        return self.encode(x, layers) if encode_only else self.forward_with_features(x, layers)

    def use_checkpointing(self) -> None:
        """Trade time for memory in training (--grad_checkpoint). Raises NetworkError where it cannot."""
        raise NetworkError(f"--grad_checkpoint does not work with this --netG ({type(self).__name__}); leave "
                           "it out, or choose a resnet")

    def resolve_layers(self, layers: Sequence[int]) -> tuple[int, ...]:
        """The layer numbers, sorted. Raises NetworkError for one that does not exist or is named twice."""
        layers = tuple(sorted(layers))
        count = self.layer_count()
        wrong = [n for n in layers if not 0 <= n < count]
        if wrong:
            raise NetworkError(f"--nce_layers names layer {wrong[0]}; this --netG has layers 0 to "
                               f"{count - 1}")
        if len(set(layers)) < len(layers):
            raise NetworkError(f"--nce_layers {','.join(map(str, layers))} names a layer twice")
        return layers

    def feature_channels(self, layers: Sequence[int], in_channels: int) -> list[int]:
        """Channels C_l of the activations of `layers`."""
        return [shape[0] for shape in self.feature_shapes(layers, in_channels)]

    @torch.no_grad()
    def feature_shapes(self, layers: Sequence[int], in_channels: int) -> list[tuple[int, int, int]]:
        """(C_l, H_l, W_l) of the activations of `layers`, found by encoding a small black image."""
        side = -(-max(32, self.smallest_side) // self.size_multiple) * self.size_multiple
        training = self.training
        self.eval()     # batch norm must not count this image
        features = self.encode(next(self.parameters()).new_zeros(1, in_channels, side, side), layers)
        self.train(training)
        return [tuple(f.shape[1:]) for f in features]


class SequentialGenerator(Generator):
    """A generator that is a sequence of modules; layer i is the output of the i-th.

    checkpointing: keep the activations after every few modules alone, and compute the others again in
    backward: about a third more time, less than half the memory.
    draws_random: whether a pass may draw random numbers. Then computing again needs their generator's state,
    which the host has to read: no CUDA graph can be made of that.
    """

    checkpointing: bool = False
    draws_random: bool = True

    @abstractmethod
    def stages(self) -> Sequence[nn.Module]:
        """The modules that the input passes through, in order."""

    def layer_count(self) -> int:
        return len(self.stages())

    def use_checkpointing(self) -> None:
        self.checkpointing = True

    def forward_with_features(self, x: Tensor, layers: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
        x, features = self._run(x, layers, len(self.stages()))
        return at_least_float32(x), features

    def encode(self, x: Tensor, layers: Sequence[int]) -> list[Tensor]:
        return self._run(x, layers, max(layers) + 1)[1]

    def _run(self, x: Tensor, layers: Sequence[int], count: int) -> tuple[Tensor, list[Tensor]]:
        """The output of the first `count` stages, and the activations of `layers` among them."""
        stages = self.stages()
        ends = {number + 1 for number in layers} | {count}
        again = self.checkpointing and torch.is_grad_enabled()
        ends |= set(range(SEGMENT, count, SEGMENT)) if again else set()
        features, start = [], 0
        for end in sorted(ends):
            part = stages[start:end]
            x = checkpoint(through, part, x, use_reentrant=False,
                           preserve_rng_state=self.draws_random) if again else through(part, x)
            if end - 1 in layers:
                features.append(x)
            start = end
        return x, features


class Discriminator(Network):
    """Scores of images: [B, C, H, W] in [-1, 1] -> raw scores without a sigmoid, of any shape."""


def entrances(net: nn.Module) -> tuple[str, ...]:
    """The methods by which a pass through a network begins."""
    return net.passes if isinstance(net, Network) else ("forward",)


def through(stages: Sequence[nn.Module], x: Tensor) -> Tensor:
    """The output of the stages, applied to x one after the other."""
    for stage in stages:
        x = stage(x)
    return x


def translate(net: nn.Module, images: Tensor) -> Tensor:
    """net(images) at any size: a Network's images are padded to sides that it takes, and cropped back.

    images: [B, C, H, W] in [-1, 1]. Returns [B, C_out, H, W]. Another module gets the images as they are.
    """
    if not isinstance(net, Network):
        return net(images)
    height, width = images.shape[-2:]
    return net(fit_sides(net, images))[..., :height, :width]


def described(name: str, net: nn.Module, layers: bool) -> str:
    """A line with a network's number of parameters; with `layers`, its modules before it."""
    count = sum(p.numel() for p in net.parameters())
    return (f"{net}\n" if layers else "") + f"[Network {name}] {count / 1e6:.3f} M parameters"


def fit_sides(net: Network, images: Tensor) -> Tensor:
    """The images [B, C, H, W], padded below and at the right to the next sides that the network takes."""
    height, width = images.shape[-2:]
    down, right = (max(-side % net.size_multiple, net.smallest_side - side) for side in (height, width))
    if down or right:
        mode = "reflect" if down < height and right < width else "replicate"
        images = F.pad(images, (0, right, 0, down), mode=mode)
    return images
