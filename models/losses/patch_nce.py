"""The patchwise contrastive loss (Park et al. 2020, section 3)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from models.losses.float32 import in_float32


@in_float32
def patch_nce_loss(query: Tensor, key: Tensor, temperature: float, *,
                   minibatch_negatives: bool = False, internal_negatives: bool = True,
                   negatives: Tensor | None = None, weights: Tensor | None = None) -> Tensor:
    """Cross entropy of finding, for each query patch, the key patch at the same place.

    query, key: [B, S, C], unit length along C; no gradient reaches key. The other S - 1 patches of the same
    image are the negatives; with `minibatch_negatives` the other B * S - 1 of all images are; without
    `internal_negatives` none of these. negatives: [N, C], unit length, more of them for every query.
    weights: [B, S, S], or [1, B * S, B * S] with minibatch_negatives, above 0: factors of the negatives'
    exponentials in the sum; the diagonal, the positives', is not read, and no gradient reaches them.
    Returns [B, S], in nats. Park et al. 2020, eq. 3.
    """
    batch, patches, channels = query.shape
    key = key.detach()
    if minibatch_negatives:
        query, key = query.reshape(1, -1, channels), key.reshape(1, -1, channels)
    target = torch.arange(query.shape[1], device=query.device).repeat(query.shape[0])
    if internal_negatives:
        logits = torch.bmm(query, key.transpose(1, 2))    # [B, S, S] or [1, B * S, B * S]
    else:
        logits, target = (query * key).sum(2, keepdim=True), torch.zeros_like(target)
    if negatives is not None:
        logits = torch.cat([logits, query @ negatives.T], 2)
    logits = logits / temperature
    if weights is not None:
        positive = torch.eye(weights.shape[2], dtype=torch.bool, device=weights.device)
        factors = weights.detach().log().masked_fill(positive, 0.0)
        logits = logits + F.pad(factors, (0, logits.shape[2] - factors.shape[2]))
    return F.cross_entropy(logits.flatten(0, 1), target, reduction="none").view(batch, patches)
