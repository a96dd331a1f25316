"""MUNIT: Huang et al., Multimodal Unsupervised Image-to-Image Translation, ECCV 2018."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import models.networks.parts as parts
from models.adversarial import check_crop
from models.base_model import Batch
from models.multimodal import MultimodalModel
from models.networks.base import Network
from models.networks.multimodal.discriminator import MultiScaleDiscriminator
from models.networks.multimodal.munit import MUNITGenerator
from util.errors import UsageError
from util.flags import integer, number

DEFAULTS = dict(lr=1e-4, lr_policy="constant", n_epochs=400, n_epochs_decay=0, init_type="kaiming")
OTHER = {"A": "B", "B": "A"}


class MUNITModel(MultimodalModel):
    """Each domain X has a generator G_X, which encodes and decodes its images, and a discriminator D_X.

    A and B in the names of networks and losses are the domains on disk, trainA and trainB, so that a trained
    model translates both ways: see --direction. In the names of images A is the input domain as everywhere.

    images, content, encoded, drawn, fake, ...: by domain. steps: training steps so far.
    """

    loss_names = tuple(f"{loss}_{domain}" for domain in "AB"
                       for loss in ("D", "G", "recon_x", "recon_s", "recon_c", "cycle"))

    @staticmethod
    def modify_commandline_options(parser: ArgumentParser, is_train: bool) -> ArgumentParser:
        MultimodalModel.add_style_flags(parser, is_train)
        if is_train:
            add, weight = parser.add_argument, number(at_least=0)
            add("--lambda_recon_x", type=weight, default=10.0,
                help="weight of the loss |G_X(content and style of x) - x|")
            add("--lambda_recon_s", type=weight, default=1.0,
                help="weight of the loss |style of a translation - the style it was made with|")
            add("--lambda_recon_c", type=weight, default=1.0,
                help="weight of the loss |content of a translation - that of its source|")
            add("--lambda_cycle", type=weight, default=0.0,
                help="weight of the cycle loss A -> B -> A with the style of the source; published with 10 "
                     "for summer to winter and for street scenes")
            add("--lr_halving_steps", type=integer(at_least=0), default=100_000,
                help="steps after which the learning rates are halved, again and again; 0: never")
            parser.set_defaults(**DEFAULTS)
        return parser

    def __init__(self, opt: Namespace):
        self.steps = 0
        super().__init__(opt)
        channels = {self.input_key: opt.input_nc, self.target_key: opt.output_nc}
        self.netG = {X: self.add_network(f"G_{X}", MUNITGenerator(
            channels=channels[X], width=opt.ngf, style_dim=opt.style_dim)) for X in "AB"}
        if opt.isTrain:
            self.netD = {X: self.add_network(f"D_{X}", MultiScaleDiscriminator(
                in_channels=channels[X], width=opt.ndf)) for X in "AB"}
            check_munit(opt, self.netD["A"], self.flag_of(self.netD["A"]))
            for name, net in self.networks.items():
                self.add_optimizer(name, net.parameters(), weight_decay=opt.weight_decay)
            if opt.grad_checkpoint:
                for net in self.netG.values():
                    net.checkpointing = True

    def flag_of(self, net: Network) -> str:
        return f"--model {self.opt.model}"

    # ---- translation

    def translator(self) -> nn.Module:
        return self.netG[self.target_key]

    def encode_content(self, x: Tensor) -> Tensor:
        return self.netG[self.input_key].encode_content(x)

    def encode_style(self, x: Tensor) -> Tensor:
        return self.netG[self.target_key].encode_style(x)

    def decode(self, content: Tensor, style: Tensor) -> Tensor:
        return self.netG[self.target_key].decode(content, style)

    def visuals(self) -> dict[str, Tensor]:
        A, B = self.input_key, self.target_key
        return {"real_A": self.images[A], "fake_B": self.fake[B], "rec_A": self.recon[A],
                "real_B": self.images[B], "fake_A": self.fake[A], "rec_B": self.recon[B]}

    # ---- the learning rate

    def train_step(self, batch: Batch) -> dict[str, Tensor]:
        """As BaseModel's; every --lr_halving_steps steps the learning rates are halved before it."""
        self.steps += 1
        if self.opt.lr_halving_steps and self.steps % self.opt.lr_halving_steps == 0:
            for group in (group for o in self.optimizers.values() for group in o.param_groups):
                group["lr"] /= 2
        return super().train_step(batch)

    def first_rate(self, name: str) -> float:
        """As BaseModel's, halved as often as it has been by now; --lr_policy multiplies it."""
        every = self.opt.lr_halving_steps
        return super().first_rate(name) * (0.5 ** (self.steps // every) if every else 1.0)

    def remember(self) -> list[Callable[[], None]]:
        return super().remember()

    # ---- the step

    def set_input(self, batch: Batch) -> None:
        super().set_input(batch)
        self.images = {self.input_key: self.real_A, self.target_key: self.real_B}

    def optimize_parameters(self) -> None:
        """Encode; update D_A and D_B; with other styles, update G_A and G_B against the new ones."""
        self.content = {X: self.netG[X].encode_content(x) for X, x in self.images.items()}
        self.encoded = {X: self.netG[X].encode_style(x) for X, x in self.images.items()}
        self.update("D_A", "D_B", loss=self.compute_D_loss())
        self.forward()
        self.update("G_A", "G_B", loss=self.compute_G_loss())

    def draw_styles(self) -> dict[str, Tensor]:
        """A style N(0, I) for every translation, [B, style_dim], by the domain translated into."""
        return {X: parts.normal(len(self.images[OTHER[X]]), self.opt.style_dim, like=self.real_A)
                for X in "AB"}

    def translate(self, styles: dict[str, Tensor]) -> dict[str, Tensor]:
        """The translations into both domains."""
        return {X: self.netG[X].decode(self.content[OTHER[X]], styles[X]) for X in "AB"}

    def forward(self) -> None:
        """Translations and, by their own styles, reconstructions."""
        self.drawn = self.draw_styles()
        self.fake = self.translate(self.drawn)
        self.recon = {X: self.netG[X].decode(self.content[X], self.encoded[X]) for X in "AB"}

    def output(self) -> Tensor:
        return self.fake[self.target_key]

    def compute_D_loss(self) -> Tensor:
        """What D_A and D_B minimise, on translations of their own."""
        with torch.no_grad():
            fake = self.translate(self.draw_styles())
        losses = {f"D_{X}": self.over_scales(self.objective.fake, self.netD[X](fake[X]))
                  + self.over_scales(self.objective.real, self.netD[X](self.images[X])) for X in "AB"}
        self.losses |= losses
        return losses["D_A"] + losses["D_B"]

    def compute_G_loss(self) -> Tensor:
        """What G_A and G_B minimise: the paper's eq. 5. Its targets learn, too: nothing is detached."""
        opt, losses = self.opt, {}
        for X, Y in OTHER.items():
            style = self.netG[X].encode_style(self.fake[X])
            content = self.netG[X].encode_content(self.fake[X])
            losses[f"G_{X}"] = self.fooling(f"D_{X}", self.fake[X])
            losses[f"recon_x_{X}"] = opt.lambda_recon_x * F.l1_loss(self.recon[X], self.images[X])
            losses[f"recon_s_{X}"] = opt.lambda_recon_s * F.l1_loss(style, self.drawn[X])
            losses[f"recon_c_{Y}"] = opt.lambda_recon_c * F.l1_loss(content, self.content[Y])
            if opt.lambda_cycle > 0:
                back = self.netG[Y].decode(content, self.encoded[Y])
                losses[f"cycle_{Y}"] = opt.lambda_cycle * F.l1_loss(back, self.images[Y])
        self.losses |= losses
        return torch.stack(list(losses.values())).sum()

    # ---- checkpoints

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.steps = state["steps"]


def check_munit(opt: Namespace, net: Network, flag: str) -> None:
    """Raise UsageError for crops that D cannot judge, and for an objective that has a penalty."""
    check_crop(opt, net, flag)
    if opt.gan_mode == "wgangp":
        raise UsageError(f"--gan_mode wgangp does not work with {flag}, whose discriminators give scores at "
                         "several scales: use lsgan, as published, or another")
