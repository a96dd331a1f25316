"""Samplers of PatchNCE: which places of the feature maps are compared.

sampler(features, outputs) -> locations, a tensor for each layer. features: the keys', [B, C_l, H_l, W_l];
outputs: G's images of the same pass, [B, C, H, W], mirrored back where G saw mirrored ones. locations: int64
[B, S_l], all different in an image, or weights of all places, [B, S_l, H_l * W_l].
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import models.networks.parts as parts
from models.networks.patch_sampler import sample_locations
from models.precision import at_least_float32, in_float32

Locations = Sequence[Tensor | None]

BLOCK = 2 ** 24         # similarities that are held at a time
OVERSAMPLING = 4        # random places among which D chooses, for each that is kept


def random_locations(features: Sequence[Tensor], outputs: Tensor, *,
                     locations: Callable[[Sequence[Tensor]], Locations]) -> Locations:
    """What the projection head itself draws (Park et al. 2020)."""
    return locations(features)


# ---- QS-Attn


def query_locations(features: Sequence[Tensor], outputs: Tensor, *, num_patches: int) -> list[Tensor]:
    """Of the smallest maps, what the most telling places attend to; of the others, random places.

    The smallest are those behind all downsampling: the last two of CUT's five layers. Hu et al. 2022,
    "global". What is kept takes no gradient: it is chosen by the keys' features.
    """
    smallest = min(f.shape[2] * f.shape[3] for f in features)
    return [attention_rows(f, num_patches) if f.shape[2] * f.shape[3] == smallest
            else sample_locations([f], num_patches, shared=False)[0] for f in features]


@torch.no_grad()
@in_float32
def attention_rows(feature: Tensor, num_patches: int) -> Tensor:
    """The rows of softmax(f f^T) with the lowest entropy: [B, S, H * W], each adding up to 1.

    feature: [B, C, H, W]. A row is how much a place attends to each place; low entropy: to few of them. The
    whole matrix is never held: its rows are computed in blocks, and those that are kept once more.
    """
    f = feature.flatten(2).transpose(1, 2)          # [B, HW, C]
    count = f.shape[1]
    size = max(1, BLOCK // (len(f) * count))
    entropy = torch.cat([log_entropy(rows @ f.transpose(1, 2)) for rows in f.split(size, dim=1)], 1)
    best = entropy.topk(min(num_patches, count), dim=1, largest=False, sorted=False).indices
    rows = f.gather(1, best.unsqueeze(2).expand(-1, -1, f.shape[2]))
    return (rows @ f.transpose(1, 2)).softmax(2)


def log_entropy(logits: Tensor) -> Tensor:
    """Logarithm of the entropy, in nats, of softmax(logits): [B, R, N] -> [B, R].

    Raw features attend to little but themselves: many entropies are below the smallest float32, and equal by
    rounding, but their logarithms are not. With s the sum of exp(z) over all but the largest, z = logits -
    largest, and m the mean of -z there: entropy = log(1 + s) + m s / (1 + s), which is s (1 + m) for small s.
    """
    largest, at = logits.max(2, keepdim=True)
    z = logits - largest
    others = z.scatter(2, at, float("-inf"))
    log_s, m = others.logsumexp(2), -(others.softmax(2) * z).sum(2)
    s = log_s.exp()
    return torch.where(log_s < -15, log_s + m.log1p(), (s.log1p() + m * s / (1 + s)).log())


# ---- EnCo


def discriminative_locations(features: Sequence[Tensor], outputs: Tensor, *, num_patches: int,
                             discriminator: nn.Module) -> list[Tensor]:
    """Half of the places where D finds G's output the least real, half at random. Cai et al. 2024, "DAG".

    discriminator: images -> a map of scores, [B, 1, h, w], higher for real.
    """
    with torch.no_grad():
        scores = at_least_float32(discriminator(outputs.detach()))
    return [low_scoring_locations(F.interpolate(scores, f.shape[2:], mode="bilinear").flatten(1), num_patches)
            for f in features]


def low_scoring_locations(scores: Tensor, num_patches: int) -> Tensor:
    """Half: the places of the lowest scores of a random part of them; the other half: more of that part.

    scores: [B, N]. Returns int64 [B, S], all different in a row; S is num_patches, or N where that is less.
    """
    count = min(num_patches, scores.shape[1])
    candidates = rand_like(scores).topk(min(OVERSAMPLING * count, scores.shape[1]), dim=1).indices
    lowest = scores.gather(1, candidates).topk(count // 2, dim=1, largest=False).indices
    chance = rand_like(scores[:, :candidates.shape[1]]).scatter(1, lowest, -1.0)
    others = chance.topk(count - count // 2, dim=1).indices
    return candidates.gather(1, torch.cat([lowest, others], 1))


def rand_like(x: Tensor) -> Tensor:
    """Uniform in [0, 1), shaped like x [B, N]: each image has its own."""
    return parts.drawn(lambda images: torch.rand(images, x.shape[1], dtype=x.dtype, device=x.device), len(x))
