"""GcGAN: Fu et al., Geometry-Consistent GANs for One-Sided Unsupervised Domain Mapping, CVPR 2019."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.adversarial import AdversarialModel, build_discriminator, build_generator, from_pools
from util.errors import UsageError
from util.flags import number
from util.image_pool import ImagePool

# f and its inverse on images [B, C, H, W].
GEOMETRIES: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "rot": (lambda x: x.rot90(-1, (2, 3)), lambda x: x.rot90(1, (2, 3))),    # 90 degrees clockwise
    "vf": (lambda x: x.flip(2), lambda x: x.flip(2)),                        # upside down
}


class GcGANModel(AdversarialModel):
    """G translates an image and its transformed copy to the same result; D and D_gc judge the two."""

    loss_names = ("G_GAN", "G_GAN_gc", "gc", "idt", "idt_gc", "G", "D", "D_gc")

    @staticmethod
    def modify_commandline_options(parser: ArgumentParser, is_train: bool) -> ArgumentParser:
        if is_train:
            add = parser.add_argument
            add("--geometry", choices=sorted(GEOMETRIES), default="rot",
                help="the transformation that G must respect: rot, by 90 degrees, or vf, a vertical flip")
            add("--lambda_gc", type=number(at_least=0), default=20.0,
                help="weight of the geometry-consistency loss")
            add("--lambda_identity", type=number(at_least=0), default=5.0,
                help="weight of the identity loss G(B) = B (5 is a published 0.5 of CycleGAN's 10)")
            add("--separate_generators", action="store_true", architecture=True,
                help="another generator, G_gc, for the transformed images (published for horse to zebra)")
        return parser

    def __init__(self, opt: Namespace):
        super().__init__(opt)
        self.netG = self.add_network("G", build_generator(opt))
        if opt.isTrain:
            check_gcgan(opt)
            self.transform, self.back = GEOMETRIES[opt.geometry]
            if opt.separate_generators:
                self.add_network("G_gc", build_generator(opt))
            self.add_network("D", build_discriminator(opt))
            self.add_network("D_gc", build_discriminator(opt))
            for name, net in self.networks.items():
                self.add_optimizer(name, net.parameters())
            self.pools = {"D": ImagePool(opt.pool_size), "D_gc": ImagePool(opt.pool_size)}

    def translator(self) -> nn.Module:
        return self.netG

    def visuals(self) -> dict[str, Tensor]:
        images = {"real_A": self.real_A, "fake_B": self.fake_B, "fake_gc": self.back(self.fake_gc),
                    "real_B": self.real_B}
        return images | ({"idt_B": self.idt_B} if self.idt_B is not None else {})

    def graph_obstacle(self) -> str:
        return "the host draws images from the pools: --pool_size 0 has none" if self.opt.pool_size else ""

    def remember(self) -> list[Callable[[], None]]:
        return [*super().remember(), *(pool.remember() for pool in self.pools.values())]

    # ---- the step

    def optimize_parameters(self) -> None:
        """Forward; update G; update D and D_gc on images from the pools."""
        self.forward()
        self.update("G", "G_gc", loss=self.compute_G_loss())
        self.update("D", "D_gc", loss=self.compute_D_loss())

    def forward(self) -> None:
        """G(A) and G(f(A)) and, for the identity loss, G(B) and G(f(B))."""
        images = [self.real_A] + ([self.real_B] if self.opt.lambda_identity > 0 else [])
        transformed = [self.transform(x) for x in images]
        if self.opt.separate_generators:
            outputs = [*self.apply("G", *images), *self.apply("G_gc", *transformed)]
        else:
            outputs = self.apply("G", *images, *transformed)
        plain, changed = outputs[:len(images)], outputs[len(images):]
        self.fake_B, self.fake_gc = plain[0], changed[0]
        self.idt_B, self.idt_gc = (plain[1], changed[1]) if len(images) == 2 else (None, None)

    def compute_G_loss(self) -> Tensor:
        """The sum of what G minimises: adversarial, consistency and identity losses of both views."""
        networks, opt = self.networks, self.opt
        losses = {"G_GAN": self.objective.generator(networks["D"](self.fake_B)),
                  "G_GAN_gc": self.objective.generator(networks["D_gc"](self.fake_gc)),
                  "gc": opt.lambda_gc * geometry_consistency(self.fake_B, self.back(self.fake_gc))}
        if self.idt_B is not None:
            losses["idt"] = opt.lambda_identity * F.l1_loss(self.idt_B, self.real_B)
            losses["idt_gc"] = opt.lambda_identity * F.l1_loss(self.idt_gc, self.transform(self.real_B))
        self.losses |= losses
        return torch.stack(list(losses.values())).sum()

    def compute_D_loss(self) -> Tensor:
        """The sum of what D and D_gc minimise."""
        fake_B, fake_gc = from_pools([self.pools["D"], self.pools["D_gc"]], [self.fake_B, self.fake_gc])
        D = self.discriminator_loss("D", self.real_B, fake_B)
        D_gc = self.discriminator_loss("D_gc", self.transform(self.real_B), fake_gc)
        self.losses |= {"D": D, "D_gc": D_gc}
        return D + D_gc

    # ---- checkpoints

    def state_dict(self) -> dict[str, Any]:
        pools = {name: pool.state_dict() for name, pool in self.pools.items()}
        return super().state_dict() | {"pools": pools}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        for name, pool in self.pools.items():
            pool.load_state_dict(state["pools"][name], self.device)


def geometry_consistency(plain: Tensor, returned: Tensor) -> Tensor:
    """|G(x) - f'(G(f(x)))| + |G(f(x)) - f(G(x))|, means over pixels, f' the inverse of f.

    plain: G(x); returned: f'(G(f(x))). f only moves pixels, so both terms of the paper's loss are equal.
    """
    return 2 * F.l1_loss(plain, returned)


def check_gcgan(opt: Namespace) -> None:
    """Raise UsageError for channels that the losses cannot compare."""
    if opt.lambda_identity > 0 and opt.input_nc != opt.output_nc:
        raise UsageError(f"--input_nc {opt.input_nc} and --output_nc {opt.output_nc} differ, but the "
                         "identity loss gives G its own target: use --lambda_identity 0")
