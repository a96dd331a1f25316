"""The patchwise contrastive loss (Park et al. 2020, section 3)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def patch_nce_loss(query: Tensor, key: Tensor, temperature: float, *,
                   minibatch_negatives: bool = False) -> Tensor:
    """Cross entropy of finding, for each query patch, the key patch at the same place.

    query, key: [B, S, C], unit length along C; no gradient reaches key. The other S - 1 patches of the same
    picture are the negatives; with `minibatch_negatives` the other B * S - 1 of all pictures are.
    Returns [B, S], in nats. Park et al. 2020, eq. 3.
    """
    batch, patches, channels = query.shape
    key = key.detach()
    if minibatch_negatives:
        query, key = query.reshape(1, -1, channels), key.reshape(1, -1, channels)
    logits = torch.bmm(query, key.transpose(1, 2)) / temperature   # [B, S, S] or [1, B * S, B * S]
    target = torch.arange(logits.shape[1], device=logits.device).repeat(logits.shape[0])
    return F.cross_entropy(logits.flatten(0, 1), target, reduction="none").view(batch, patches)
