"""CycleGAN: Zhu et al., Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.adversarial import AdversarialModel, build_discriminator, build_generator, from_pools
from models.base_model import Batch
from util.errors import UsageError
from util.flags import number
from util.image_pool import ImagePool


class CycleGANModel(AdversarialModel):
    """G_A translates A to B, G_B translates B to A; D_A judges images of B, D_B images of A."""

    loss_names = ("D_A", "G_A", "cycle_A", "idt_A", "D_B", "G_B", "cycle_B", "idt_B", "G")

    @staticmethod
    def modify_commandline_options(parser: ArgumentParser, is_train: bool) -> ArgumentParser:
        if is_train:
            add = parser.add_argument
            weight = number(at_least=0)
            add("--lambda_A", type=weight, default=10.0, help="weight of the cycle loss A -> B -> A")
            add("--lambda_B", type=weight, default=10.0, help="weight of the cycle loss B -> A -> B")
            add("--lambda_identity", type=weight, default=0.5,
                help="weight of the identity losses G_A(B) = B and G_B(A) = A, relative to the cycle weights")
        return parser

    def __init__(self, opt: Namespace):
        super().__init__(opt)
        self.netG_A = self.add_network("G_A", build_generator(opt))
        self.netG_B = self.add_network("G_B", build_generator(opt, backward=True))
        if opt.isTrain:
            check_cycle_gan(opt)
            self.netD_A = self.add_network("D_A", build_discriminator(opt))
            self.netD_B = self.add_network("D_B", build_discriminator(opt, backward=True))
            for name, net in self.networks.items():
                self.add_optimizer(name, net.parameters())
            self.pools = {"A": ImagePool(opt.pool_size), "B": ImagePool(opt.pool_size)}

    def translator(self) -> nn.Module:
        return self.netG_A

    def visuals(self) -> dict[str, Tensor]:
        shown = {"real_A": self.real_A, "fake_B": self.fake_B, "rec_A": self.rec_A, "idt_B": self.idt_B,
                    "real_B": self.real_B, "fake_A": self.fake_A, "rec_B": self.rec_B, "idt_A": self.idt_A}
        return {label: images for label, images in shown.items() if images is not None}

    @torch.no_grad()
    def translations(self, batch: Batch) -> dict[str, Tensor]:
        """Both directions: real_A, fake_B, rec_A and, where the batch has B, real_B, fake_A, rec_B."""
        images = super().translations(batch)
        real_B = images.pop("real_B", None)
        images["rec_A"] = self.translate(self.netG_B, images["fake_B"])
        if real_B is not None:
            fake_A = self.translate(self.netG_B, real_B)
            images |= {"real_B": real_B, "fake_A": fake_A, "rec_B": self.translate(self.netG_A, fake_A)}
        return images

    def graph_obstacle(self) -> str:
        return "the host draws images from the pools: --pool_size 0 has none" if self.opt.pool_size else ""

    def remember(self) -> list[Callable[[], None]]:
        return [*super().remember(), *(pool.remember() for pool in self.pools.values())]

    # ---- the step

    def optimize_parameters(self) -> None:
        """Forward; update G_A and G_B; update D_A and D_B on images from the pools."""
        self.forward()
        self.update("G_A", "G_B", loss=self.compute_G_loss())
        self.update("D_A", "D_B", loss=self.compute_D_loss())

    def forward(self) -> None:
        """Both translations, their way back, and what each generator makes of its own target."""
        self.idt_A = self.idt_B = None
        if self.opt.lambda_identity > 0:
            self.fake_B, self.idt_A = self.apply("G_A", self.real_A, self.real_B)
            self.fake_A, self.idt_B = self.apply("G_B", self.real_B, self.real_A)
        else:
            self.fake_B, self.fake_A = self.netG_A(self.real_A), self.netG_B(self.real_B)
        self.rec_A, self.rec_B = self.netG_B(self.fake_B), self.netG_A(self.fake_A)

    def compute_G_loss(self) -> Tensor:
        """The sum of what G_A and G_B minimise: the paper's eq. 3 and identity loss (section 5.2)."""
        opt, networks = self.opt, self.networks
        losses = {"G_A": self.objective.generator(networks["D_A"](self.fake_B)),
                  "G_B": self.objective.generator(networks["D_B"](self.fake_A)),
                  "cycle_A": opt.lambda_A * F.l1_loss(self.rec_A, self.real_A),
                  "cycle_B": opt.lambda_B * F.l1_loss(self.rec_B, self.real_B)}
        if opt.lambda_identity > 0:
            losses["idt_A"] = opt.lambda_B * opt.lambda_identity * F.l1_loss(self.idt_A, self.real_B)
            losses["idt_B"] = opt.lambda_A * opt.lambda_identity * F.l1_loss(self.idt_B, self.real_A)
        self.losses |= losses
        return torch.stack(list(losses.values())).sum()

    def compute_D_loss(self) -> Tensor:
        """The sum of what D_A and D_B minimise."""
        fake_B, fake_A = from_pools([self.pools["B"], self.pools["A"]], [self.fake_B, self.fake_A])
        D_A = self.discriminator_loss("D_A", self.real_B, fake_B)
        D_B = self.discriminator_loss("D_B", self.real_A, fake_A)
        self.losses |= {"D_A": D_A, "D_B": D_B}
        return D_A + D_B

    # ---- checkpoints

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"pools": {domain: p.state_dict() for domain, p in self.pools.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        for domain, pool in self.pools.items():
            pool.load_state_dict(state["pools"][domain], self.device)


def check_cycle_gan(opt: Namespace) -> None:
    """Raise UsageError for channels that the losses cannot compare."""
    if opt.lambda_identity > 0 and opt.input_nc != opt.output_nc:
        raise UsageError(f"--input_nc {opt.input_nc} and --output_nc {opt.output_nc} differ, but the "
                         "identity loss gives each generator its own target: use --lambda_identity 0")
