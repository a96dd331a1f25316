"""What every generator offers the NCE loss: its intermediate activations, by layer number."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class TappedGenerator(nn.Module):
    """A picture-to-picture network whose layers can be tapped.

    Layer i is the output of the i-th module of `stages()`; the numbers are those of `--nce_layers`.
    `size_multiple`: both sides of the input must be multiples of it, pixels.
    """

    size_multiple: int = 1

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
        features = []
        for number, stage in enumerate(self.stages()):
            x = stage(x)
            if number in layers:
                features.append(x)
        return x, features

    def encode(self, x: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """The activations of `layers` alone, ascending; what lies behind the last is not computed."""
        features = []
        last = max(layers)
        for number, stage in enumerate(self.stages()):
            x = stage(x)
            if number in layers:
                features.append(x)
            if number == last:
                break
        return features

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
        """Channels C_l of the activations of `layers`, read off those of a small black picture."""
        side = -(-32 // self.size_multiple) * self.size_multiple
        training = self.training
        self.eval()     # batch norm must not count this picture
        features = self.encode(next(self.parameters()).new_zeros(1, in_channels, side, side), layers)
        self.train(training)
        return [f.shape[1] for f in features]
