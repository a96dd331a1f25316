"""CUT and FastCUT by the reference's names, for files that derive from its CUTModel. Park et al. 2020.

`--model cut` is models/cut_model.py; this one computes the same losses from the same parts, with every
quantity of a step under the name, and every method in the form, that the reference gives it.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from models import cut_model
from models.reference_api import networks
from models.reference_api.base_model import BaseModel
from models.reference_api.patchnce import PatchNCELoss
from util.errors import UsageError

# Switches of --model cut that this form of the loss has not, and where they stand without them.
OURS_ALONE = {"nce_negatives": "internal", "nce_sampling": "random", "nce_weighting": "none",
              "nce_loss": "nce", "nce_layer_weights": None, "lambda_SRC": 0}


class CUTModel(BaseModel):
    """netG, netF, netD; optimizer_G, optimizer_D and, once a minibatch was seen, optimizer_F."""

    @staticmethod
    def modify_commandline_options(parser: ArgumentParser, is_train: bool = True) -> ArgumentParser:
        return cut_model.CUTModel.modify_commandline_options(parser, is_train)

    def __init__(self, opt: Namespace):
        super().__init__(opt)
        check_flags(opt)
        self.nce_layers = [int(number) for number in opt.nce_layers.split(",")]
        self.flipped_for_equivariance = False
        self.loss_names = ["G_GAN", "D_real", "D_fake", "G", "NCE"]
        self.visual_names = ["real_A", "fake_B", "real_B"]
        self.model_names = ["G", "F", "D"] if self.isTrain else ["G"]
        if self.isTrain and opt.nce_idt:
            self.loss_names.append("NCE_Y")
            self.visual_names.append("idt_B")
        last = (opt.init_type, opt.init_gain, opt.no_antialias)
        self.netG = networks.define_G(opt.input_nc, opt.output_nc, opt.ngf, opt.netG, opt.normG,
                                      not opt.no_dropout, *last, opt.no_antialias_up, self.gpu_ids, opt)
        self.netF = networks.define_F(opt.input_nc, opt.netF, opt.normG, not opt.no_dropout, *last,
                                      self.gpu_ids, opt)
        if self.isTrain:
            self.netD = networks.define_D(opt.output_nc, opt.ndf, opt.netD, opt.n_layers_D, opt.normD, *last,
                                          self.gpu_ids, opt)
            self.criterionGAN = networks.GANLoss(opt.gan_mode).to(self.device)
            self.criterionNCE = [PatchNCELoss(opt).to(self.device) for _ in self.nce_layers]
            self.criterionIdt = torch.nn.L1Loss().to(self.device)
            self.optimizer_G, self.optimizer_D = self._adam(self.netG), self._adam(self.netD)
            self.optimizers += [self.optimizer_G, self.optimizer_D]

    def _adam(self, net: torch.nn.Module) -> torch.optim.Optimizer:
        return torch.optim.Adam(net.parameters(), lr=self.opt.lr, betas=(self.opt.beta1, self.opt.beta2))

    @property
    def learns_F(self) -> bool:
        return self.opt.lambda_NCE > 0 and self.opt.netF == "mlp_sample"

    def data_dependent_initialize(self, data: Mapping[str, Any]) -> None:
        """A first pass, for F's MLPs where they depend on the features, and F's optimizer."""
        self.set_input(data)
        self.forward()
        if self.isTrain:
            self.compute_D_loss().backward()
            self.compute_G_loss().backward()
            if self.learns_F:
                self.optimizer_F = self._adam(self.netF)
                self.optimizers.append(self.optimizer_F)

    def set_input(self, input: Mapping[str, Any]) -> None:
        here, there = ("A", "B") if self.opt.direction == "AtoB" else ("B", "A")
        self.real_A, self.real_B = input[here].to(self.device), input[there].to(self.device)
        self.image_paths = input[f"{here}_paths"]

    def forward(self) -> None:
        """fake_B = G(real_A) and, with --nce_idt in training, idt_B = G(real_B), from one pass."""
        together = self.opt.nce_idt and self.isTrain
        self.real = torch.cat((self.real_A, self.real_B)) if together else self.real_A
        if self.opt.flip_equivariance:
            self.flipped_for_equivariance = self.isTrain and bool(torch.rand(()) < 0.5)
            self.real = self.real.flip(3) if self.flipped_for_equivariance else self.real
        self.fake = self.netG(self.real)
        self.fake_B, idt_B = self.fake.tensor_split([len(self.real_A)])
        if together:
            self.idt_B = idt_B

    def optimize_parameters(self) -> None:
        """Update D on detached images, then G and F together against the new D."""
        self.forward()
        self.set_requires_grad(self.netD, True)
        self.optimizer_D.zero_grad()
        self.loss_D = self.compute_D_loss()
        self.loss_D.backward()
        self.optimizer_D.step()

        learning = [self.optimizer_G] + ([self.optimizer_F] if self.learns_F else [])
        self.set_requires_grad(self.netD, False)
        for optimizer in learning:
            optimizer.zero_grad()
        self.loss_G = self.compute_G_loss()
        self.loss_G.backward()
        for optimizer in learning:
            optimizer.step()

    def compute_D_loss(self) -> Tensor:
        """Half of D's losses on detached fake_B and on real_B."""
        self.loss_D_fake = self.criterionGAN(self.netD(self.fake_B.detach()), False).mean()
        self.pred_real = self.netD(self.real_B)
        self.loss_D_real = self.criterionGAN(self.pred_real, True).mean()
        self.loss_D = (self.loss_D_fake + self.loss_D_real) / 2
        return self.loss_D

    def compute_G_loss(self) -> Tensor:
        """The GAN loss, and the NCE loss or the mean of both."""
        opt = self.opt
        self.loss_G_GAN = self.loss_NCE = self.loss_NCE_Y = 0.0
        if opt.lambda_GAN > 0:
            self.loss_G_GAN = self.criterionGAN(self.netD(self.fake_B), True).mean() * opt.lambda_GAN
        if opt.lambda_NCE > 0:
            self.loss_NCE = self.calculate_NCE_loss(self.real_A, self.fake_B)
            if opt.nce_idt:
                self.loss_NCE_Y = self.calculate_NCE_loss(self.real_B, self.idt_B)
        nce = (self.loss_NCE + self.loss_NCE_Y) / 2 if opt.nce_idt else self.loss_NCE
        self.loss_G = self.loss_G_GAN + nce
        return self.loss_G

    def calculate_NCE_loss(self, src: Tensor, tgt: Tensor) -> Tensor:
        """The NCE loss of G's output tgt against its source, the mean over the layers, times --lambda_NCE."""
        feat_q = self.netG(tgt, self.nce_layers, encode_only=True)
        if self.flipped_for_equivariance:
            feat_q = [feature.flip(3) for feature in feat_q]
        feat_k = self.netG(src, self.nce_layers, encode_only=True)
        keys, places = self.netF(feat_k, self.opt.num_patches, None)
        queries, _ = self.netF(feat_q, self.opt.num_patches, places)
        losses = [criterion(query, key).mean() * self.opt.lambda_NCE
                  for criterion, query, key in zip(self.criterionNCE, queries, keys, strict=True)]
        return torch.stack(losses).mean()


def check_flags(opt: Namespace) -> None:
    """Raise UsageError for one of OURS_ALONE that is set."""
    for name, without in OURS_ALONE.items():
        if opt.isTrain and vars(opt)[name] != without:
            raise UsageError(f"--{name} {vars(opt)[name]} belongs to --model cut, and does not reach a class "
                             "that is written for the reference's CUTModel; leave it out")
