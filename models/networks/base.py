"""What every generator offers the NCE loss: its intermediate activations, by layer number."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from models.networks.dtype import at_least_float32

SEGMENT = 4    # stages that --grad_checkpoint computes again in one go


class TappedGenerator(nn.Module):
    """An image-to-image network whose layers can be tapped.

    Layer i is the output of the i-th module of `stages()`; the numbers are those of `--nce_layers`.
    `size_multiple`: both sides of the input must be multiples of it, pixels.
    `checkpointing`: keep the activations behind every few stages alone, and compute the others again in
    backward: about a third more time, less than half the memory.
    """

    size_multiple: int = 1
    checkpointing: bool = False

    def stages(self) -> Sequence[nn.Module]:
        """The modules that the input passes through, in order."""
        raise NotImplementedError

    def layer_count(self) -> int:
        """How many layers can be tapped."""
        return len(self.stages())

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, C_in, H, W] in [-1, 1]. Returns [B, C_out, H, W]."""
        return self.forward_with_features(x, ())[0]

    def forward_with_features(self, x: Tensor, layers: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
        """The output, and the activations [B, C_l, H_l, W_l] of `layers`, ascending, from one pass."""
        x, features = self._run(x, layers, len(self.stages()))
        return at_least_float32(x), features

    def encode(self, x: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """The activations of `layers` alone, ascending; what lies behind the last is not computed."""
        return self._run(x, layers, max(layers) + 1)[1]

    def _run(self, x: Tensor, layers: Sequence[int], count: int) -> tuple[Tensor, list[Tensor]]:
        """What the first `count` stages make of x, and the activations of `layers` among them."""
        stages = self.stages()
        ends = {number + 1 for number in layers} | {count}
        again = self.checkpointing and torch.is_grad_enabled()
        ends |= set(range(SEGMENT, count, SEGMENT)) if again else set()
        features, start = [], 0
        for end in sorted(ends):
            part = stages[start:end]
            x = checkpoint(through, part, x, use_reentrant=False) if again else through(part, x)
            if end - 1 in layers:
                features.append(x)
            start = end
        return x, features

    def use_checkpointing(self) -> None:
        """Trade time for memory in training. Raises ValueError for a network that cannot."""
        self.checkpointing = True

    def resolve_layers(self, layers: Sequence[int]) -> tuple[int, ...]:
        """Layer numbers, sorted. Raises ValueError for one that is doubled or that no layer carries."""
        layers = tuple(sorted(layers))
        count = self.layer_count()
        wrong = [n for n in layers if not 0 <= n < count]
        if wrong:
            raise ValueError(f"--nce_layers names layer {wrong[0]}; this --netG has layers 0 to {count - 1}")
        if len(set(layers)) < len(layers):
            raise ValueError(f"--nce_layers {','.join(map(str, layers))} names a layer twice")
        return layers

    @torch.no_grad()
    def feature_channels(self, layers: Sequence[int], in_channels: int) -> list[int]:
        """Channels C_l of the activations of `layers`, read off those of a small black image."""
        side = -(-32 // self.size_multiple) * self.size_multiple
        training = self.training
        self.eval()     # batch norm must not count this image
        features = self.encode(next(self.parameters()).new_zeros(1, in_channels, side, side), layers)
        self.train(training)
        return [f.shape[1] for f in features]


def through(stages: Sequence[nn.Module], x: Tensor) -> Tensor:
    """x behind the stages, one after the other."""
    for stage in stages:
        x = stage(x)
    return x
