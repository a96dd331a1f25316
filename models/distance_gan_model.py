"""DistanceGAN and SelfDistance: Benaim and Wolf, One-Sided Unsupervised Domain Mapping, NIPS 2017."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import models.networks.parts as parts
from models.adversarial import AdversarialModel, build_discriminator, build_generator, from_pools
from models.losses.distance import RunningMoments, half_distances, pair_distances
from util.flags import integer, number
from util.image_pool import ImagePool


class DistanceGANModel(AdversarialModel):
    """G keeps distances: between two images or, with --use_self_distance, between an image's halves.

    The paper measures mean and std of the distances beforehand, on a part of the data; here they are
    those of all images seen so far. Each image is compared with the one before it, in the minibatch or
    in the step before, so that pairs exist at --batch_size 1.
    """

    @staticmethod
    def modify_commandline_options(parser: ArgumentParser, is_train: bool) -> ArgumentParser:
        if is_train:
            add = parser.add_argument
            add("--lambda_distance", type=number(at_least=0), default=0.05,
                help="weight of the distance loss")
            add("--use_self_distance", action="store_true",
                help="compare the left and right halves of each image, not two images (SelfDistance)")
            add("--unnormalized_distances", action="store_true",
                help="compare the distances as they are, not normalised to mean 0 and std 1")
            add("--distance_warmup", type=integer(at_least=1), default=100,
                help="distances to measure before the normalised loss counts; until then it is 0")
        return parser

    def __init__(self, opt: Namespace):
        super().__init__(opt)
        self.netG = self.add_network("G", build_generator(opt))
        if opt.isTrain:
            self.netD = self.add_network("D", build_discriminator(opt))
            for name, net in self.networks.items():
                self.add_optimizer(name, net.parameters())
            self.pool = ImagePool(opt.pool_size)
            self.moments = {domain: RunningMoments(self.device) for domain in "AB"}
            self.last: dict[str, Tensor] = {}    # of the step before: its last real_A, fake_B and real_B

    def translator(self) -> nn.Module:
        return self.netG

    def visuals(self) -> dict[str, Tensor]:
        return {"real_A": self.real_A, "fake_B": self.fake_B, "real_B": self.real_B}

    def graph_obstacle(self) -> str:
        return "the host counts the distances, and images of earlier steps are new tensors each time"

    def remember(self) -> list[Callable[[], None]]:
        last = dict(self.last)
        return [*super().remember(), self.pool.remember(), *(m.remember() for m in self.moments.values()),
                lambda: (self.last.clear(), self.last.update(last))]

    # ---- the step

    def optimize_parameters(self) -> None:
        """Forward; update G; update D on images from the pool."""
        self.fake_B = self.netG(self.real_A)
        self.update("G", loss=self.compute_G_loss())
        self.update("D", loss=self.compute_D_loss())

    def compute_G_loss(self) -> Tensor:
        """What G minimises: to fool D, and to keep distances."""
        gan = self.objective.generator(self.netD(self.fake_B))
        distance = self.opt.lambda_distance * self.distance_loss()
        self.losses |= {"G_GAN": gan, "distance": distance}
        return gan + distance

    def compute_D_loss(self) -> Tensor:
        """What D minimises on real images and on those from the pool."""
        fake_B, = from_pools([self.pool], [self.fake_B])
        self.losses["D"] = self.discriminator_loss("D", self.real_B, fake_B)
        return self.losses["D"]

    def distance_loss(self) -> Tensor:
        """Mean of |distance before - distance after translation|, each normalised by its domain's moments.

        The distances are those of the whole minibatch.
        """
        real_A, fake_B, real_B = parts.whole(self.real_A, self.fake_B, self.real_B)
        before, after = self.distances("real_A", real_A), self.distances("fake_B", fake_B)
        if not self.opt.unnormalized_distances:
            self.moments["A"].add(before)
            self.moments["B"].add(self.distances("real_B", real_B))
            before = self.moments["A"].normalized(before)
            after = self.moments["B"].normalized(after)
            if min(moments.count for moments in self.moments.values()) < self.opt.distance_warmup:
                return self.fake_B.new_zeros(())
        return (before - after).abs().mean() if len(before) else self.fake_B.new_zeros(())

    def distances(self, label: str, images: Tensor) -> Tensor:
        """[B, C, H, W] -> one distance an image, or one less in the first step, which has none before it."""
        if self.opt.use_self_distance:
            return half_distances(images)
        earlier = self.last.get(label, images[:0])
        self.last[label] = images[-1:].detach()
        if earlier.shape[1:] != images.shape[1:]:
            earlier = earlier.new_empty(0, *images.shape[1:])     # of another size: not compared
        return pair_distances(images[1 - len(earlier):], torch.cat([earlier, images[:-1]]))

    # ---- checkpoints

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {
            "pool": self.pool.state_dict(), "last": dict(self.last),
            "moments": {domain: moments.state_dict() for domain, moments in self.moments.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.pool.load_state_dict(state["pool"], self.device)
        self.last = {label: images.to(self.device) for label, images in state["last"].items()}
        for domain, moments in self.moments.items():
            moments.load_state_dict(state["moments"][domain])
