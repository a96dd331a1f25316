"""Losses on how the patches of an image relate to each other."""

import math

import torch
from torch import Tensor

from models.precision import in_float32


@in_float32
def semantic_relation_loss(query: Tensor, key: Tensor) -> Tensor:
    """Jensen-Shannon divergence between the output's and the source's similarities of patch to patch.

    query, key: [B, S, C], unit length along C; no gradient reaches key. Row i of softmax(x x^T) says how much
    each patch is like patch i. Returns a scalar in nats: summed over an image's rows, the mean over B.
    Jung et al. 2022 (SRC).
    """
    output, source = (torch.bmm(x, x.transpose(1, 2)).log_softmax(2) for x in (query, key.detach()))
    middle = torch.logaddexp(output, source) - math.log(2)
    divergence = (output.exp() * (output - middle) + source.exp() * (source - middle)) / 2
    return divergence.sum((1, 2)).mean()
