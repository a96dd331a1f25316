"""PatchNCE: a patch of G's output should find the patch of its source at the same place, among others.

Park et al. 2020, section 3. Four functions may be replaced to get a later method:

- sampler(features, outputs) -> locations, as netF takes them: see sampling.py.
- weighting(queries, keys) -> weights of the negatives, for all layers and domains at once: see weighting.py.
- contrast(logits, target) -> the loss of each query: CONTRASTS.
- relation(query, key) -> scalar, a second loss of the input domain: see relation.py.
"""

from collections.abc import Callable, Hashable, Sequence
from itertools import islice
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import models.networks.parts as parts
from models.contrastive.momentum_queue import MomentumQueue
from models.losses.auxiliary import with_channels
from models.networks.base import Generator
from models.precision import in_float32

Features = list[Tensor]     # [B, C_l, H_l, W_l] of each tapped layer
Sampler = Callable[[Sequence[Tensor], Tensor], Sequence[Tensor | None]]
Weighting = Callable[[Sequence[Tensor], Sequence[Tensor]], Sequence[dict[str, Tensor]]]
INPUT, TARGET = 0, 1        # numbers of the domains


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """-log softmax(logits)[target]: [R, N], [R] -> [R], in nats."""
    return F.cross_entropy(logits, target, reduction="none")


def decoupled(logits: Tensor, target: Tensor) -> Tensor:
    """The same without the positive in the denominator; 0 where there are no negatives. Yeh et al. 2022."""
    if logits.shape[1] == 1:
        return logits[:, 0] * 0
    positive = target.unsqueeze(1)
    negatives = logits.scatter(1, positive, float("-inf"))
    return negatives.logsumexp(1) - logits.gather(1, positive).squeeze(1)


CONTRASTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"nce": cross_entropy, "dce": decoupled}


class Pair(NamedTuple):
    """The unit vectors of one domain and layer, [B, S, C]: those of G's output, and those of its source."""

    domain: int
    layer: int
    query: Tensor
    key: Tensor


class PatchNCE:
    """The loss of every domain, the mean over the tapped layers and the locations drawn.

    channels: of the images that netG takes; outputs and sources that have others are brought to them.
    layers: numbers of G's tapped layers, ascending. netF embeds their features. Negatives are patches of the
    same image (internal_negatives), of all images of the minibatch (minibatch_negatives), and of earlier
    images (queue, whose networks then make the keys). one_pass: domains may share a pass through netG,
    which is so where no layer mixes the images of a minibatch. layer_weights: factors of the layers' losses.
    key_networks: G and F of the sources' domain, where they are others than those of the outputs'.
    """

    def __init__(self, netG: Generator, netF: nn.Module, *, layers: Sequence[int], sampler: Sampler,
                 temperature: float, channels: int | None = None,
                 minibatch_negatives: bool = False, internal_negatives: bool = True,
                 queue: MomentumQueue | None = None, one_pass: bool = True,
                 contrast: Callable[[Tensor, Tensor], Tensor] = cross_entropy,
                 weighting: Weighting | None = None,
                 relation: Callable[[Tensor, Tensor], Tensor] | None = None,
                 layer_weights: Sequence[float] | None = None,
                 key_networks: tuple[Generator, nn.Module] | None = None):
        self.netG, self.netF, self.layers, self.queue = netG, netF, tuple(layers), queue
        self.key_netG, self.key_netF = (queue.netG, queue.netF) if queue else key_networks or (netG, netF)
        self.sampler, self.contrast, self.weighting, self.relation = sampler, contrast, weighting, relation
        self.layer_weights = layer_weights
        self.temperature, self.one_pass, self.channels = temperature, one_pass, channels
        self.minibatch_negatives, self.internal_negatives = minibatch_negatives, internal_negatives
        self._kept: tuple[tuple[Tensor, ...], Sequence[Features]] | None = None

    def keep(self, sources: Sequence[Tensor], features: Sequence[Features]) -> None:
        """Keep the features of each pass over these sources; the next call takes them for keys if it gets the
        very same sources.
        """
        self._kept = tuple(sources), features

    def __call__(self, sources: Sequence[Tensor], outputs: Sequence[Tensor], *, domains: Sequence[int],
                 flipped: bool = False,
                 features: Sequence[Features] | None = None) -> tuple[list[Tensor], Tensor | None]:
        """A scalar for each domain; and that of `relation`, where there is one and the input domain is here.

        sources, outputs: [B, C, H, W] of each domain. domains: their numbers, 0 the input's, 1 the target's.
        flipped: the outputs are of mirrored sources; their features are mirrored back. features: those of
        each pass over the outputs, where they are there already.
        """
        passes = self._passes(outputs)
        queries = features or [self.netG.encode(x, self.layers) for x in passes]
        if flipped:
            queries = [[f.flip(3) for f in features] for features in queries]
            passes = [x.flip(3) for x in passes]
        pairs: list[Pair] = []
        waiting, size = iter(domains), len(sources[0])
        for query, key, images in zip(queries, self._key_features(sources), passes, strict=True):
            pairs += self._pairs(query, key, images, list(islice(waiting, len(images) // size)))
        losses, relation = self._losses(pairs)
        assert len(losses) == len(domains), f"{len(losses)} losses for {len(domains)} domains"
        return losses, relation

    def forget_step(self) -> None:
        """Begin the step under way anew: what it has kept and let into the queue is gone."""
        self._kept = None
        if self.queue:
            self.queue.forget_new()

    def momentum_update(self) -> None:
        """To be called after G's update: the queue's networks follow."""
        if self.queue:
            self.queue.momentum_update(self.netG, self.netF)

    def _passes(self, images: Sequence[Tensor]) -> list[Tensor]:
        images = [as_input(x, self.channels) for x in images]
        return stack_domains(images) if self.one_pass else images

    @torch.no_grad()
    def _key_features(self, sources: Sequence[Tensor]) -> Sequence[Features]:
        """The sources' features, of each pass: those kept, or from passes of their own."""
        kept, self._kept = self._kept, None
        if kept and [id(x) for x in kept[0]] == [id(x) for x in sources]:
            return kept[1]
        return [self.key_netG.encode(x, self.layers) for x in self._passes(sources)]

    def _pairs(self, queries: Features, keys: Features, outputs: Tensor,
               domains: Sequence[int]) -> list[Pair]:
        """The vectors of each layer and domain that one pass holds."""
        keys = [k.detach() for k in keys]
        locations = self.sampler(keys, outputs)
        with torch.no_grad():
            keys = self.key_netF(keys, locations)
        queries, parts = self.netF(queries, locations), len(domains)
        return [Pair(domain, layer, q, k)
                for layer, (query, key) in enumerate(zip(queries, keys, strict=True))
                for domain, q, k in zip(domains, query.chunk(parts), key.chunk(parts), strict=True)]

    def _losses(self, pairs: Sequence[Pair]) -> tuple[list[Tensor], Tensor | None]:
        """The mean over its layers for each domain, and the mean of `relation`."""
        compared = self._compared(pairs)
        factors = self.weighting(*zip(*compared, strict=True)) if self.weighting else [{}] * len(pairs)
        losses: dict[int, list[Tensor]] = {}
        for pair, loss in zip(pairs, self._patch_losses(pairs, compared, factors), strict=True):
            losses.setdefault(pair.domain, []).append(loss)
        means = [torch.stack(layers).mean() for layers in losses.values()]
        relations = [self.relation(query, key) for pair, (query, key) in zip(pairs, compared, strict=True)
                     if pair.domain == INPUT] if self.relation else []
        return means, torch.stack(relations).mean() if relations else None

    def _compared(self, pairs: Sequence[Pair]) -> list[tuple[Tensor, Tensor]]:
        """Query and key of each pair, [B, S, C]; or of the whole minibatch, [1, parts * B * S, C], where its
        images are each other's negatives.
        """
        if not self.minibatch_negatives:
            return [(pair.query, pair.key) for pair in pairs]
        vectors = parts.whole(*(x for pair in pairs for x in (pair.query, pair.key)))
        together = [x.reshape(1, -1, x.shape[2]) for x in vectors]
        return list(zip(together[::2], together[1::2], strict=True))

    def _patch_losses(self, pairs: Sequence[Pair], compared: Sequence[tuple[Tensor, Tensor]],
                      factors: Sequence[dict[str, Tensor]]) -> list[Tensor]:
        """The mean over the patches of each pair: scalars. Pairs of one shape pass as one batch.

        Not so with a queue, and where vectors lie in memory across: a product would sum in another order.
        compared: query and key of each pair, see `_compared`; factors: its weights of negatives.
        """
        alike: dict[Hashable, list[int]] = {}
        for number, (query, _) in enumerate(compared):
            alone = self.queue or not query[0].is_contiguous()
            alike.setdefault(number if alone else query.shape, []).append(number)
        negatives = self._queued(pairs)
        losses: dict[int, Tensor] = {}
        for numbers in alike.values():
            query, key = (batched(vectors) for vectors in zip(*(compared[n] for n in numbers), strict=True))
            weights = {name: batched([factors[n][name] for n in numbers]) for name in factors[numbers[0]]}
            loss = patch_nce_loss(query, key, self.temperature, contrast=self.contrast,
                                  internal_negatives=self.internal_negatives,
                                  negatives=negatives[numbers[0]], **weights)
            losses |= zip(numbers, loss.view(len(numbers), -1).mean(1).unbind(), strict=True)
        return [losses[n] * self.layer_weights[pair.layer] if self.layer_weights else losses[n]
                for n, pair in enumerate(pairs)]

    def _queued(self, pairs: Sequence[Pair]) -> list[Tensor | None]:
        """The queue's keys for each pair, whose own keys, of the whole minibatch, it takes in; None without a
        queue.
        """
        if not self.queue:
            return [None] * len(pairs)
        keys = parts.whole(*(pair.key for pair in pairs))
        return [self.queue.dequeue_and_enqueue((pair.domain, pair.layer), key)
                for pair, key in zip(pairs, keys, strict=True)]


def batched(tensors: Sequence[Tensor]) -> Tensor:
    """torch.cat of them along the first dimension; a single one as it is."""
    return torch.cat(list(tensors)) if len(tensors) > 1 else tensors[0]


def as_input(images: Tensor, channels: int | None) -> Tensor:
    """Images [B, C, H, W] with a network's channels, by luminance or repetition; None: as they are."""
    return images if images.shape[1] == (channels or images.shape[1]) else with_channels(images, channels)


def stack_domains(images: Sequence[Tensor]) -> list[Tensor]:
    """The domains' minibatches as one, [n * B, C, H, W], where their sizes agree; else as they are."""
    alike = all(x.shape == images[0].shape for x in images)
    return [batched(images)] if alike else list(images)


@in_float32
def patch_nce_loss(query: Tensor, key: Tensor, temperature: float, *,
                   minibatch_negatives: bool = False, internal_negatives: bool = True,
                   negatives: Tensor | None = None, weights: Tensor | None = None,
                   scales: Tensor | None = None,
                   contrast: Callable[[Tensor, Tensor], Tensor] = cross_entropy) -> Tensor:
    """Cross entropy of finding, for each query patch, the key patch at the same place.

    query, key: [B, S, C], unit length along C; no gradient reaches key. The other S - 1 patches of the same
    image are the negatives; with `minibatch_negatives` the other B * S - 1 of all images are; without
    `internal_negatives` none of these. negatives: [N, C], unit length, more of them for every query.
    weights: [B, S, S], or [1, B * S, B * S] with minibatch_negatives, above 0: factors of the negatives'
    exponentials in the sum; the diagonal, the positives', is not read, and no gradient reaches them.
    scales: of the same shape, factors of the similarities themselves; 1 on the diagonal. contrast: the loss
    of a row of similarities. Returns [B, S], in nats. Park et al. 2020, eq. 3.
    """
    batch, patches, channels = query.shape
    key = key.detach()
    if minibatch_negatives:
        query, key = query.reshape(1, -1, channels), key.reshape(1, -1, channels)
    target = torch.arange(query.shape[1], device=query.device).repeat(query.shape[0])
    if internal_negatives:
        logits = torch.bmm(query, key.transpose(1, 2))    # [B, S, S] or [1, B * S, B * S]
        if scales is not None:
            logits = logits * scales.detach()
    else:
        logits, target = (query * key).sum(2, keepdim=True), torch.zeros_like(target)
    if negatives is not None:
        logits = torch.cat([logits, query @ negatives.T], 2)
    logits = logits / temperature
    if weights is not None:
        positive = torch.eye(weights.shape[2], dtype=torch.bool, device=weights.device)
        factors = weights.detach().log().masked_fill(positive, 0.0)
        logits = logits + F.pad(factors, (0, logits.shape[2] - factors.shape[2]))
    return contrast(logits.flatten(0, 1), target).view(batch, patches)
