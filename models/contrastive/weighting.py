"""Weights of PatchNCE's negatives. No gradient reaches them.

A weighting is called once for all layers and domains: queries, keys: lists of [B, S, C], unit length along C.
It returns, for each pair, the keyword arguments `weights` or `scales` of patch_nce_loss.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.precision import in_float32

ITERATIONS = 50         # of Sinkhorn, as published
SMALLEST_WEIGHT = 1e-8


class Curriculum:
    """A number on the device that goes in a straight line from the first epoch to the last.

    It depends on the epoch alone, so that a resumed run goes on with the same numbers.
    """

    def __init__(self, first: float, last: float, *, epochs: int, device: torch.device):
        self.first, self.last, self.epochs = first, last, epochs
        self.value = torch.tensor(float(first), device=device)

    def start_epoch(self, epoch: int) -> None:
        """epoch: from 1."""
        part = min(max((epoch - 1) / max(self.epochs - 1, 1), 0), 1)
        self.value.fill_(self.first + (self.last - self.first) * part)


def semantic_weighting(queries: Sequence[Tensor], keys: Sequence[Tensor], *,
                       gamma: Tensor) -> list[dict[str, Tensor]]:
    """Factors of the similarities: the more alike two places of the source are, the harder the negative."""
    return [{"scales": semantic_scales(key, gamma)} for key in keys]


@torch.no_grad()
@in_float32
def semantic_scales(key: Tensor, gamma: Tensor) -> Tensor:
    """exp((R_ij - max_j R_ij) / gamma), R = key key^T, over the negatives j of i: softmax over its maximum.

    key: [B, S, C]; gamma: a scalar. Returns [B, S, S] in (0, 1], with 1 on the diagonal. Jung et al. 2022.
    """
    relation = torch.bmm(key, key.transpose(1, 2))
    diagonal = torch.eye(key.shape[1], dtype=torch.bool, device=key.device)
    hardest = relation.masked_fill(diagonal, -1).amax(2, keepdim=True)
    return ((relation - hardest) / gamma).exp().masked_fill(diagonal, 1)


def transport_weighting(queries: Sequence[Tensor], keys: Sequence[Tensor], *, eps: float,
                        amount: float) -> list[dict[str, Tensor]]:
    """Factors of the exponentials: a row's mean is `amount`, and they follow an optimal transport plan.

    Pairs with equally many patches are solved together: the width of the vectors does not matter.
    """
    by_size: dict[int, list[int]] = {}
    for number, query in enumerate(queries):
        by_size.setdefault(query.shape[1], []).append(number)
    found: dict[int, Tensor] = {}
    for patches, numbers in by_size.items():
        with torch.no_grad():
            plan = transport_plan(torch.cat([similarity(queries[n], keys[n]) for n in numbers]), eps)
        weights = (plan * (amount * (patches - 1))).clamp_min(SMALLEST_WEIGHT)
        found |= zip(numbers, weights.split([len(queries[n]) for n in numbers]), strict=True)
    return [{"weights": found[number]} for number in range(len(queries))]


@in_float32
def similarity(query: Tensor, key: Tensor) -> Tensor:
    """[B, S, C] twice -> [B, S, S]."""
    return torch.bmm(query, key.transpose(1, 2))


@in_float32
def transport_plan(similarity: Tensor, eps: float) -> Tensor:
    """The plan T that moves mass 1 from every query to every key, none to its own, where alike goes to alike.

    It maximises sum T_ij similarity_ij + eps * entropy(T). similarity: [N, S, S] in [-1, 1]. Returns
    [N, S, S] with columns that add up to 1, as rows do once Sinkhorn has converged, and 0 on the diagonal.
    Zhan et al. 2022 (their cost "hard"); Sinkhorn as Cuturi 2013, on at least 0.05 of eps in float32.
    """
    diagonal = torch.eye(similarity.shape[1], dtype=torch.bool, device=similarity.device)
    kernel = ((similarity - 1) / eps).exp().masked_fill(diagonal, 0)
    if kernel.device.type == "cpu":     # torch's product of a batch by vectors takes five times as long there
        return torch.stack([doubly_stochastic(one) for one in kernel])
    return doubly_stochastic(kernel)


def doubly_stochastic(kernel: Tensor) -> Tensor:
    """The kernel [..., S, S] >= 0 with factors for rows and columns, so that they add up to 1: Sinkhorn."""
    turned, tiny = kernel.mT.contiguous(), torch.finfo(kernel.dtype).tiny
    column = torch.ones_like(kernel[..., :1])
    for _ in range(ITERATIONS):
        row = (kernel @ column).clamp_min(tiny).reciprocal()
        column = (turned @ row).clamp_min(tiny).reciprocal()
    return row * kernel * column.mT
