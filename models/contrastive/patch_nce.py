"""PatchNCE: a patch of G's output should find the patch of its source at the same place, among others.

Park et al. 2020, section 3. Three functions may be replaced to get a later method:

- sampler(features) -> locations. features: the keys', [B, C_l, H_l, W_l] of each tapped layer. locations: as
  netF takes them, int64 [B, S_l] a layer.
- weighting(query, key) -> weights of the negatives' terms, [B, S, S] (see patch_nce_loss), or None: all 1.
  query, key: [B, S, C], unit length, of one domain and layer.
- relation(query, key) -> scalar, added to the loss of that domain and layer.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.contrastive.momentum_queue import MomentumQueue
from models.networks.base import Generator
from models.precision import in_float32

Features = list[Tensor]     # [B, C_l, H_l, W_l] of each tapped layer
Sampler = Callable[[Sequence[Tensor]], Sequence[Tensor | None]]


class PatchNCE:
    """The loss of every domain, the mean over the tapped layers and the locations drawn.

    layers: numbers of G's tapped layers, ascending. netF embeds their features. Negatives are patches of the
    same image (internal_negatives), of all images of the minibatch (minibatch_negatives), and of earlier
    images (queue, whose networks then make the keys). one_pass: domains may share a pass through netG,
    which is so where no layer mixes the images of a minibatch.
    """

    def __init__(self, netG: Generator, netF: nn.Module, *, layers: Sequence[int], sampler: Sampler,
                 temperature: float, minibatch_negatives: bool = False, internal_negatives: bool = True,
                 queue: MomentumQueue | None = None, one_pass: bool = True,
                 weighting: Callable[[Tensor, Tensor], Tensor | None] | None = None,
                 relation: Callable[[Tensor, Tensor], Tensor] | None = None):
        self.netG, self.netF, self.layers, self.queue = netG, netF, tuple(layers), queue
        self.key_netG, self.key_netF = (queue.netG, queue.netF) if queue else (netG, netF)
        self.sampler, self.weighting, self.relation = sampler, weighting, relation
        self.temperature, self.one_pass = temperature, one_pass
        self.minibatch_negatives, self.internal_negatives = minibatch_negatives, internal_negatives
        self._kept: tuple[tuple[Tensor, ...], Sequence[Features]] | None = None

    def keep(self, sources: Sequence[Tensor], features: Sequence[Features]) -> None:
        """Keep the features of each pass over these sources; the next call takes them for keys if it gets the
        very same sources.
        """
        self._kept = tuple(sources), features

    def __call__(self, sources: Sequence[Tensor], outputs: Sequence[Tensor], *, domains: Sequence[int],
                 flipped: bool = False) -> list[Tensor]:
        """The loss of each domain, scalars.

        sources, outputs: [B, C, H, W] of each domain. domains: their numbers, 0 the input's, 1 the target's.
        flipped: the outputs are of mirrored sources; their features are mirrored back.
        """
        queries = [self.netG.encode(x, self.layers) for x in self._passes(outputs)]
        if flipped:
            queries = [[f.flip(3) for f in features] for features in queries]
        keys = self._key_features(sources)
        losses: list[Tensor] = []
        for query, key in zip(queries, keys, strict=True):
            count = len(query[0]) // len(sources[0])
            losses += self._losses(query, key, domains[len(losses):len(losses) + count])
        assert len(losses) == len(domains), f"{len(losses)} losses for {len(domains)} domains"
        return losses

    def momentum_update(self) -> None:
        """To be called after G's update: the queue's networks follow."""
        if self.queue:
            self.queue.momentum_update(self.netG, self.netF)

    def _passes(self, images: Sequence[Tensor]) -> list[Tensor]:
        return stack_domains(images) if self.one_pass else list(images)

    @torch.no_grad()
    def _key_features(self, sources: Sequence[Tensor]) -> Sequence[Features]:
        """The sources' features, of each pass: those kept, or from passes of their own."""
        kept, self._kept = self._kept, None
        if kept and [id(x) for x in kept[0]] == [id(x) for x in sources]:
            return kept[1]
        return [self.key_netG.encode(x, self.layers) for x in self._passes(sources)]

    def _losses(self, queries: Features, keys: Features, domains: Sequence[int]) -> list[Tensor]:
        """The losses of the domains whose features [n * B, C_l, H_l, W_l] one pass gave."""
        keys = [k.detach() for k in keys]
        locations = self.sampler(keys)
        with torch.no_grad():
            key_patches = self.key_netF(keys, locations)
        losses: dict[int, list[Tensor]] = {domain: [] for domain in domains}
        for layer, (query, key) in enumerate(zip(self.netF(queries, locations), key_patches, strict=True)):
            for domain, q, k in zip(domains, query.chunk(len(domains)), key.chunk(len(domains)), strict=True):
                losses[domain].append(self._layer_loss(q, k, domain, layer))
        return [torch.stack(layers).mean() for layers in losses.values()]

    def _layer_loss(self, query: Tensor, key: Tensor, domain: int, layer: int) -> Tensor:
        """query, key: [B, S, C] of one domain and layer. Returns a scalar."""
        queue = self.queue.dequeue_and_enqueue((domain, layer), key) if self.queue else None
        weights = self.weighting(query, key) if self.weighting else None
        loss = patch_nce_loss(query, key, self.temperature, minibatch_negatives=self.minibatch_negatives,
                              internal_negatives=self.internal_negatives, negatives=queue,
                              weights=weights).mean()
        return loss + self.relation(query, key) if self.relation else loss


def stack_domains(images: Sequence[Tensor]) -> list[Tensor]:
    """The domains' minibatches as one, [n * B, C, H, W], where their sizes agree; else as they are."""
    alike = all(x.shape == images[0].shape for x in images)
    return [torch.cat(list(images))] if alike and len(images) > 1 else list(images)


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
