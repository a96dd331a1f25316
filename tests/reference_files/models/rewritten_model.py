"""CUT once more, put together from the functions that forks call. Its losses are those of --model cut."""

import numpy as np
import torch

import util.util as util

from . import networks
from .base_model import BaseModel
from .patchnce import PatchNCELoss


class RewrittenModel(BaseModel):
    @staticmethod
    def modify_commandline_options(parser, is_train=True):
        add = parser.add_argument
        add("--CUT_mode", type=str, default="CUT", choices="(CUT, cut, FastCUT, fastcut)")
        add("--lambda_GAN", type=float, default=1.0)
        add("--lambda_NCE", type=float, default=1.0)
        add("--nce_idt", type=util.str2bool, nargs="?", const=True, default=True)
        add("--nce_layers", type=str, default="0,4,8,12,16")
        add("--nce_includes_all_negatives_from_minibatch", type=util.str2bool, nargs="?", const=True,
            default=False)
        add("--netF", type=str, default="mlp_sample")
        add("--netF_nc", type=int, default=256)
        add("--nce_T", type=float, default=0.07)
        add("--num_patches", type=int, default=256)
        parser.set_defaults(pool_size=0)
        return parser

    def __init__(self, opt):
        BaseModel.__init__(self, opt)
        self.loss_names = ["G_GAN", "D_real", "D_fake", "G", "NCE", "NCE_Y"]
        self.visual_names = ["real_A", "fake_B", "real_B"]
        self.nce_layers = [int(i) for i in opt.nce_layers.split(",")]
        self.model_names = ["G", "F", "D"] if self.isTrain else ["G"]
        self.netG = networks.define_G(opt.input_nc, opt.output_nc, opt.ngf, opt.netG, opt.normG,
                                      not opt.no_dropout, opt.init_type, opt.init_gain, opt.no_antialias,
                                      opt.no_antialias_up, self.gpu_ids, opt)
        self.netF = networks.define_F(opt.input_nc, opt.netF, opt.normG, not opt.no_dropout, opt.init_type,
                                      opt.init_gain, opt.no_antialias, self.gpu_ids, opt)
        if self.isTrain:
            self.netD = networks.define_D(opt.output_nc, opt.ndf, opt.netD, opt.n_layers_D, opt.normD,
                                          opt.init_type, opt.init_gain, opt.no_antialias, self.gpu_ids, opt)
            self.criterionGAN = networks.GANLoss(opt.gan_mode).to(self.device)
            self.criterionNCE = [PatchNCELoss(opt).to(self.device) for _ in self.nce_layers]
            adam = dict(lr=opt.lr, betas=(opt.beta1, opt.beta2))
            self.optimizer_G = torch.optim.Adam(self.netG.parameters(), **adam)
            self.optimizer_D = torch.optim.Adam(self.netD.parameters(), **adam)
            self.optimizers.append(self.optimizer_G)
            self.optimizers.append(self.optimizer_D)

    def data_dependent_initialize(self, data):
        bs_per_gpu = data["A"].size(0) // max(len(self.opt.gpu_ids), 1)
        self.set_input(data)
        self.real_A, self.real_B = self.real_A[:bs_per_gpu], self.real_B[:bs_per_gpu]
        self.forward()
        if self.opt.isTrain:
            self.compute_D_loss().backward()
            self.compute_G_loss().backward()
            self.optimizer_F = torch.optim.Adam(self.netF.parameters(), lr=self.opt.lr,
                                                betas=(self.opt.beta1, self.opt.beta2))
            self.optimizers.append(self.optimizer_F)

    def set_input(self, input):
        AtoB = self.opt.direction == "AtoB"
        self.real_A = input["A" if AtoB else "B"].to(self.device)
        self.real_B = input["B" if AtoB else "A"].to(self.device)
        self.image_paths = input["A_paths" if AtoB else "B_paths"]

    def forward(self):
        self.real = torch.cat((self.real_A, self.real_B), dim=0) if self.isTrain else self.real_A
        self.fake = self.netG(self.real)
        self.fake_B, self.idt_B = self.fake[:self.real_A.size(0)], self.fake[self.real_A.size(0):]

    def optimize_parameters(self):
        self.forward()
        self.set_requires_grad(self.netD, True)
        self.optimizer_D.zero_grad()
        self.loss_D = self.compute_D_loss()
        self.loss_D.backward()
        self.optimizer_D.step()
        self.set_requires_grad(self.netD, False)
        self.optimizer_G.zero_grad()
        self.optimizer_F.zero_grad()
        self.loss_G = self.compute_G_loss()
        self.loss_G.backward()
        self.optimizer_G.step()
        self.optimizer_F.step()

    def compute_D_loss(self):
        self.loss_D_fake = self.criterionGAN(self.netD(self.fake_B.detach()), False).mean()
        self.loss_D_real = self.criterionGAN(self.netD(self.real_B), True).mean()
        return (self.loss_D_fake + self.loss_D_real) * 0.5

    def compute_G_loss(self):
        self.loss_G_GAN = self.criterionGAN(self.netD(self.fake_B), True).mean() * self.opt.lambda_GAN
        self.loss_NCE = self.calculate_NCE_loss(self.real_A, self.fake_B)
        self.loss_NCE_Y = self.calculate_NCE_loss(self.real_B, self.idt_B)
        return self.loss_G_GAN + (self.loss_NCE + self.loss_NCE_Y) * 0.5

    def calculate_NCE_loss(self, src, tgt):
        feat_q = self.netG(tgt, self.nce_layers, encode_only=True)
        feat_k = self.netG(src, self.nce_layers, encode_only=True)
        pooled_k, ids = self.netF(feat_k, self.opt.num_patches, None)
        pooled_q, _ = self.netF(feat_q, self.opt.num_patches, [np.asarray(one) for one in ids])
        total = 0.0
        for q, k, criterion in zip(pooled_q, pooled_k, self.criterionNCE, strict=True):
            total += (criterion(q, k) * self.opt.lambda_NCE).mean()
        return total / len(self.nce_layers)

    def generate_visuals_for_evaluation(self, data, mode):
        return {"fake_B": self.netG(data["A"].to(self.device))}
