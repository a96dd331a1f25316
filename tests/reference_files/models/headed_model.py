"""As forks write: a subclass of CUT with a head of its own, in G's optimizer, that learns a mask."""

import itertools

import torch
from torch import nn

from . import networks
from .cut_model import CUTModel
from .headed_parts import Head


class HeadedModel(CUTModel):
    @staticmethod
    def modify_commandline_options(parser, is_train=True):
        parser = CUTModel.modify_commandline_options(parser, is_train)
        parser.add_argument("--lambda_head", type=float, default=0.5, help="weight of the mask")
        parser.set_defaults(lambda_NCE=2.0)
        return parser

    def __init__(self, opt):
        CUTModel.__init__(self, opt)
        self.netHead = networks.init_net(Head(4 * opt.ngf), opt.init_type, opt.init_gain, self.gpu_ids)
        self.model_names = self.model_names + ["Head"]
        self.loss_names = self.loss_names + ["head"]
        self.visual_names += ["mask_vis"]
        self.steps = 0
        if self.isTrain:
            both = itertools.chain(self.netG.parameters(), self.netHead.parameters())
            self.optimizer_G = torch.optim.Adam(both, lr=opt.lr, betas=(opt.beta1, opt.beta2))
            self.optimizers[0] = self.optimizer_G
            self.criterionHead = nn.BCEWithLogitsLoss().to(self.device)

    def set_input(self, input):
        CUTModel.set_input(self, input)
        self.mask = input["mask"].to(self.device) if self.isTrain else None
        self.weight = input["weight"].float().mean() if self.isTrain else 1.0

    def compute_G_loss(self):
        loss = super().compute_G_loss()
        self.steps += 1
        feature, = self.netG(self.real_A, layers=[8], encode_only=True)
        self.logits = self.netHead(feature)
        self.mask_vis = self.logits.sigmoid() * 2 - 1
        wanted = nn.functional.interpolate(self.mask, size=self.logits.shape[2:])
        self.loss_head = self.criterionHead(self.logits, wanted) * self.opt.lambda_head * self.weight
        return loss + self.loss_head / self.steps
