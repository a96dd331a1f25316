"""Projection heads: the paper's F, which embeds patches of feature maps on the unit sphere, and others."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

import models.networks.parts as parts
from models.networks.norm import norm_over_ranks
from models.precision import at_least_float32, order_of, own_dtype

# Added to the length that a feature is divided by, as in the paper's implementation.
EPSILON = 1e-7


def unit_length(x: Tensor) -> Tensor:
    """x / (|x| + 1e-7) along the last dimension, in float32 at least."""
    x = at_least_float32(x)
    return x / (x.norm(dim=-1, keepdim=True) + EPSILON)


def sample_locations(features: Sequence[Tensor], num_patches: int, *, shared: bool) -> list[Tensor]:
    """Draw, in each layer, `num_patches` places without repetition; all places where a layer has fewer.

    features: [B, C_l, H_l, W_l] each. Returns indices into H_l * W_l, int64 [B, S_l], drawn on the features'
    device; with `shared` all images of the minibatch get the same ones, as in the published results.
    """
    locations = []
    for feature in features:
        batch, _, height, width = feature.shape
        count = min(num_patches, height * width)
        draw = partial(rand_rows, places=height * width, device=feature.device)
        order = draw(1) if shared else parts.drawn(draw, batch)
        locations.append(order.topk(count, dim=1, sorted=False).indices.expand(batch, count))
    return locations


def rand_rows(rows: int, *, places: int, device: torch.device) -> Tensor:
    return torch.rand(rows, places, device=device)


class Gather(torch.autograd.Function):
    """[B, C, H, W], places [B, S] -> [B, S, C]. The places of an image are distinct.

    So backward can write the gradients. torch's own gather adds them up, which on the CPU turns all of a
    bfloat16 gradient into float32 and back.
    """

    @staticmethod
    def forward(ctx, x: Tensor, location: Tensor) -> Tensor:
        ctx.save_for_backward(location)
        ctx.shape, ctx.order = x.shape, order_of(x)
        if ctx.order == torch.channels_last:       # neither order is copied into the other
            return _rows(x).gather(1, location.unsqueeze(2).expand(-1, -1, x.shape[1]))
        return x.flatten(2).gather(2, location.unsqueeze(1).expand(-1, x.shape[1], -1)).transpose(1, 2)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        location, = ctx.saved_tensors
        whole = torch.empty(ctx.shape, dtype=gradient.dtype, device=gradient.device, memory_format=ctx.order)
        whole.zero_()
        if ctx.order == torch.channels_last:
            _rows(whole).scatter_(1, location.unsqueeze(2).expand_as(gradient), gradient)
        else:
            turned = gradient.transpose(1, 2)
            whole.flatten(2).scatter_(2, location.unsqueeze(1).expand_as(turned), turned)
        return whole, None


def _rows(x: Tensor) -> Tensor:
    """[B, C, H, W] in channels-last order -> [B, H * W, C], a view."""
    return x.permute(0, 2, 3, 1).flatten(1, 2)


def gather(feature: Tensor, location: Tensor) -> Tensor:
    """The feature vectors [B, S, C] of [B, C, H, W] at the places [B, S], all different in an image.

    location may also be weights of all places, [B, S, H * W]: then sums of all vectors with these weights.
    """
    if location.is_floating_point():
        return torch.bmm(location.to(feature.dtype), _rows(feature))
    return Gather.apply(feature, location)


class PatchSampler(nn.Module):
    """Linear, ReLU, Linear on the features at given places of each layer (`mlp_<i>`), then unit length.

    channels: C_l of each tapped layer. Without `mlp` the features themselves are used.
    """

    def __init__(self, *, channels: Sequence[int], width: int = 256, mlp: bool = True):
        super().__init__()
        self.mlps = []
        if mlp:
            for i, c in enumerate(channels):
                mlp_i = nn.Sequential(nn.Linear(c, width), nn.ReLU(), nn.Linear(width, width))
                self.add_module(f"mlp_{i}", mlp_i)
                self.mlps.append(f"mlp_{i}")

    def locations(self, features: Sequence[Tensor], num_patches: int, *, shared: bool) -> list[Tensor]:
        return sample_locations(features, num_patches, shared=shared)

    def forward(self, features: Sequence[Tensor], locations: Sequence[Tensor]) -> list[Tensor]:
        """features: [B, C_l, H_l, W_l]; locations: see `gather`. Returns unit vectors [B, S_l, width]."""
        patches = [gather(f, at) for f, at in zip(features, locations, strict=True)]
        if self.mlps:
            patches = [getattr(self, name)(p) for name, p in zip(self.mlps, patches, strict=True)]
            whole, sizes = torch.cat(patches, 1), [p.shape[1] for p in patches]
            return list(unit_length(whole).split(sizes, 1))
        return [unit_length(p) for p in patches]


class SimilarityHead(nn.Module):
    """What an image is like, in one unit vector, from the embeddings of its patches: DCLGAN's F3 to F6.

    The embeddings of all layers are an image with a channel a layer, a row a patch and a column a number.
    Han et al. 2021 (SimDCL).
    """

    def __init__(self, *, layers: int, width: int = 64):
        super().__init__()
        self.model = nn.Sequential(nn.Conv2d(layers, width, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
                                   nn.Flatten(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))

    def forward(self, embeddings: Sequence[Tensor]) -> Tensor:
        """embeddings: [B, S_l, C] of each layer, at random places. Returns unit vectors [B, width].

        Where a layer has more patches than another, the first of them are used. All is computed in float32:
        the first lengths are near EPSILON, and their gradients too large for fp16.
        """
        count = min(e.shape[1] for e in embeddings)
        image = torch.stack([e[:, :count] for e in embeddings], dim=1)      # [B, L, S, C]
        with own_dtype(image):
            return unit_length(self.model(image))


class PooledFeatures(nn.Module):
    """Each layer averaged over a grid of `side` x `side` cells. Every cell is a patch; nothing is learnt."""

    def __init__(self, *, side: int = 4):
        super().__init__()
        self.side = side

    def locations(self, features: Sequence[Tensor], num_patches: int, *, shared: bool) -> list[None]:
        """All cells are used, whatever `num_patches` says."""
        return [None] * len(features)

    def forward(self, features: Sequence[Tensor], locations: Sequence[None]) -> list[Tensor]:
        """features: [B, C_l, H_l, W_l]. Returns unit vectors [B, side * side, C_l] a layer."""
        pooled = [nn.functional.adaptive_avg_pool2d(f, self.side) for f in features]
        return [unit_length(p.flatten(2).transpose(1, 2)) for p in pooled]


class PairedHeads(nn.Module):
    """EnCo's F: from a place in the decoder it predicts what a random network makes of the encoder there.

    The first layer belongs to the last, the second to the last but one, and so on. `mlp_<i>` embeds layer i;
    those of the encoder keep their first weights, as no gradient reaches them. `predictor_<i>` follows those
    of the decoder. Cai et al. 2024. channels: C_l of the layers, those of the encoder first.
    """

    def __init__(self, *, channels: Sequence[int], width: int = 256):
        super().__init__()
        self.pairs, half = len(channels) // 2, width // 2
        for i, c in enumerate(channels):
            self.add_module(f"mlp_{i}", normed_mlp(c, width).requires_grad_(i >= self.pairs))
        for i in range(self.pairs, len(channels)):
            self.add_module(f"predictor_{i}", nn.Sequential(
                nn.Linear(width, half, bias=False), PatchNorm(half), nn.ReLU(), nn.Linear(half, width)))

    def forward(self, features: Sequence[Tensor],
                locations: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Of each pair of layers, the prediction and its target: unit vectors [B, S_l, width].

        features: [B, C_l, H_l, W_l]; locations: of the encoder's layers, see `gather`; B * S_l is above 1.
        """
        vectors = []
        for i, at in enumerate(locations):
            partner = len(features) - 1 - i
            with torch.no_grad():
                target = unit_length(self.get_submodule(f"mlp_{i}")(gather(features[i], at)))
            embedded = self.get_submodule(f"mlp_{partner}")(gather(features[partner], at))
            vectors.append((unit_length(self.get_submodule(f"predictor_{partner}")(embedded)), target))
        return vectors


def normed_mlp(channels: int, width: int) -> nn.Sequential:
    """Linear, norm, ReLU, Linear, norm: [B, S, channels] -> [B, S, width] of mean 0 and variance 1."""
    return nn.Sequential(nn.Linear(channels, width, bias=False), PatchNorm(width), nn.ReLU(),
                         nn.Linear(width, width, bias=False), PatchNorm(width, affine=False))


class PatchNorm(nn.BatchNorm1d):
    """Zero mean and unit variance of each channel over all patches of a minibatch, in float32 at least."""

    def __init__(self, channels: int, *, affine: bool = True):
        super().__init__(channels, affine=affine, track_running_stats=False)

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, S, channels]. Returns the same shape."""
        flat = at_least_float32(x).flatten(0, 1)
        normed = norm_over_ranks(self, flat) if parts.count() > 1 else super().forward(flat)
        return normed.view(x.shape)
