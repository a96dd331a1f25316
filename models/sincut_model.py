"""SinCUT: translation learnt from one image of each domain (Park et al. 2020, section 4.4)."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.base_model import Batch
from models.contrastive.patch_nce import as_input
from models.cut_model import CUTModel
from models.losses.gan import r1_penalty
from models.networks.stylegan2 import StyleGAN2Generator
from models.networks.tiled import Tiled
from util.flags import integer, number

PRESETS = dict(dataset_mode="singleimage", netD="stylegan2", stylegan2_G_num_downsampling=1, ngf=10, ndf=8,
               load_size=1024, crop_size=64, num_patches=1, lambda_NCE=4.0,
               nce_includes_all_negatives_from_minibatch=True)
TRAINING = dict(preprocess="zoom_and_patch", batch_size=16, gan_mode="nonsaturating", lr=0.002, beta1=0.0,
                beta2=0.99, n_epochs=8, n_epochs_decay=8, save_epoch_freq=1, save_latest_freq=20000)
TRANSLATION = dict(preprocess="none", batch_size=1, num_test=1)


class SinCUTModel(CUTModel):
    """CUT on small crops with StyleGAN2's blocks, an R1 penalty on D and an L1 loss between G(B) and B.

    A patch a crop: the negatives come from the other crops of the minibatch.
    """

    loss_names = ("G_GAN", "D_real", "D_fake", "D_penalty", "D_R1", "G", "NCE", "NCE_Y")

    @staticmethod
    def modify_commandline_options(parser: ArgumentParser, is_train: bool) -> ArgumentParser:
        parser.set_defaults(netG="stylegan2")  # before CUT chooses --nce_layers to suit it
        CUTModel.modify_commandline_options(parser, is_train)
        parser.add_argument("--lambda_R1", type=number(at_least=0), default=1.0,
                            help="weight of the R1 penalty, half the mean of |grad D|^2 on real B")
        parser.add_argument("--lambda_identity", type=number(at_least=0), default=1.0,
                            help="weight of the L1 loss of G(B) to B")
        if is_train:
            parser.add_argument("--R1_every", type=integer(at_least=1), default=1,
                                help="apply R1 only every so many steps, and as many times stronger")
        else:
            parser.add_argument("--no_noise", action="store_true",
                                help="translate without the noise that G adds (--seed decides which it is)")
        parser.set_defaults(**PRESETS, **(TRAINING if is_train else TRANSLATION))
        return parser

    def __init__(self, opt: Namespace):
        super().__init__(opt)
        self.steps, self.R1_is_due = 0, False
        if opt.isTrain:
            self.latest_R1 = torch.zeros((), device=self.device)
        elif opt.no_noise and isinstance(self.netG, StyleGAN2Generator):
            self.netG.set_noise(False)

    def translator(self) -> nn.Module:
        """G; a whole image is translated in tiles where G allows that."""
        return self.netG if self.netG.reach is None else Tiled(self.netG)

    def graph_obstacle(self) -> str:
        return super().graph_obstacle()

    def remember(self) -> list[Callable[[], None]]:
        return super().remember()

    # ---- the step

    def train_step(self, batch: Batch) -> dict[str, Tensor]:
        """As BaseModel's; the latest R1, a mean over all parts of the minibatch, is kept."""
        losses = super().train_step(batch)
        if self.R1_is_due:
            self.latest_R1.copy_(losses["D_R1"])
        return losses

    def draw_choices(self) -> tuple[Any, ...]:
        """Whether the step is mirrored, and whether it has R1 (--R1_every)."""
        self.R1_is_due = self.opt.lambda_R1 > 0 and self.steps % self.opt.R1_every == 0
        self.steps += 1
        return (*super().draw_choices(), self.R1_is_due)

    def forward(self) -> None:
        super().forward()
        self.idt_target = self.real_B.flip(3) if self.flipped_for_equivariance else self.real_B
        if self.idt_B is None and self.opt.lambda_identity > 0:
            self.idt_B = self.netG(as_input(self.idt_target, self.opt.input_nc))

    def compute_D_loss(self) -> Tensor:
        """CUT's, and R1, shown as D_R1 with its weight; steps without it (--R1_every) show the latest."""
        loss = super().compute_D_loss()
        if self.R1_is_due:
            r1 = self.opt.lambda_R1 / 2 * r1_penalty(self.netD, self.real_B)
            self.losses["D_R1"] = r1
            loss = loss + self.opt.R1_every * r1
        elif self.opt.lambda_R1 > 0:
            self.losses["D_R1"] = self.latest_R1.clone()
        return loss

    def compute_G_loss(self) -> Tensor:
        """CUT's, and an L1 loss between G(B) and B."""
        loss = super().compute_G_loss()
        if self.opt.lambda_identity > 0:
            self.losses["idt"] = self.opt.lambda_identity * F.l1_loss(self.idt_B, self.idt_target)
            loss = loss + self.losses["idt"]
        return loss

    # ---- checkpoints

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"steps": self.steps, "latest_R1": self.latest_R1}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.steps = state["steps"]
        self.latest_R1.copy_(state["latest_R1"])
