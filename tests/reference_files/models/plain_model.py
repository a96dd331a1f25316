"""As forks write: a model on BaseModel, with pools, a counter, a slow copy of G, and backward in methods."""

import copy
import random

import numpy as np
import torch

import models.networks as networks
import util.util as util
from models.base_model import BaseModel
from util.image_pool import ImagePool


class PlainModel(BaseModel):
    @staticmethod
    def modify_commandline_options(parser, is_train=True):
        if is_train:
            parser.add_argument("--lambda_cycle", type=float, default=10.0)
            parser.add_argument("--swap", type=util.str2bool, nargs="?", const=True, default=False)
            parser.add_argument("--seed", type=int, default=7, help="there already")
            opt, _ = parser.parse_known_args()
            parser.set_defaults(gan_mode="vanilla", pool_size=opt.pool_size)
        return parser

    def __init__(self, opt):
        BaseModel.__init__(self, opt)
        self.loss_names = ["D", "adv", "cycle", "gp"]
        self.visual_names = ["real_A", "fake_B", "rec_A", "real_B", "features"]
        self.model_names = ["G_A", "G_B", "D"] if self.isTrain else ["G_A", "G_B"]
        sizes = (opt.ngf, opt.netG, opt.normG, not opt.no_dropout, opt.init_type, opt.init_gain,
                 opt.no_antialias, opt.no_antialias_up)
        self.netG_A = networks.define_G(opt.input_nc, opt.output_nc, *sizes, gpu_ids=self.gpu_ids, opt=opt)
        self.netG_B = networks.define_G(opt.output_nc, opt.input_nc, *sizes, gpu_ids=self.gpu_ids, opt=opt)
        if self.isTrain:
            self.netD = networks.define_D(opt.output_nc, opt.ndf, opt.netD, opt.n_layers_D, opt.normD,
                                          opt.init_type, opt.init_gain, opt.no_antialias, self.gpu_ids,
                                          opt=opt)
            self.slow = copy.deepcopy(self.netG_A)
            self.pool = ImagePool(opt.pool_size)
            self.step_count = 0
            self.running = torch.zeros(3)
            self.criterionGAN = networks.GANLoss(opt.gan_mode).to(self.device)
            self.criterionCycle = torch.nn.L1Loss()
            self.optimizer_G = torch.optim.Adam([{"params": self.netG_A.parameters()},
                                                 {"params": self.netG_B.parameters(), "lr": opt.lr / 2}],
                                                lr=opt.lr, betas=(opt.beta1, 0.999))
            self.optimizer_D = torch.optim.SGD(self.netD.parameters(), lr=opt.lr, momentum=0.5)
            self.optimizers.append(self.optimizer_G)
            self.optimizers.append(self.optimizer_D)

    def data_dependent_initialize(self):
        return

    def set_input(self, input):
        AtoB = self.opt.direction == "AtoB"
        self.real_A = input["A" if AtoB else "B"].to(self.device)
        self.real_B = input["B" if AtoB else "A"].to(self.device)
        self.image_paths = input["A_paths" if AtoB else "B_paths"]

    def forward(self):
        self.fake_B = self.netG_A(self.real_A)
        self.rec_A = self.netG_B(self.fake_B)

    def compute_visuals(self):
        self.features = self.netG_A(self.real_A, [4], encode_only=True)[0]

    def backward_D(self):
        fake = self.pool.query(self.fake_B)
        self.loss_D = (self.criterionGAN(self.netD(fake.detach()), False)
                       + self.criterionGAN(self.netD(self.real_B), True)) * 0.5
        self.loss_gp, _ = networks.cal_gradient_penalty(self.netD, self.real_B, fake.detach(), self.device,
                                                        lambda_gp=0.1)
        (self.loss_D + self.loss_gp).backward()

    def backward_G(self):
        target = self.slow(self.real_A).detach()
        self.loss_adv = self.criterionGAN(self.netD(self.fake_B), True)
        self.loss_cycle = self.criterionCycle(self.rec_A, self.real_A) * self.opt.lambda_cycle
        noise = random.random() + np.random.random()
        (self.loss_adv + self.loss_cycle + 0.1 * noise * self.criterionCycle(self.fake_B, target)).backward()

    def optimize_parameters(self):
        self.forward()
        self.set_requires_grad([self.netD], True)
        self.optimizer_D.zero_grad()
        self.backward_D()
        self.optimizer_D.step()
        self.set_requires_grad([self.netD], False)
        self.optimizer_G.zero_grad()
        self.backward_G()
        self.optimizer_G.step()
        self.step_count += 1
        self.running = 0.9 * self.running + 0.1 * self.fake_B.detach().mean((0, 2, 3)).cpu()
        for slow, now in zip(self.slow.parameters(), self.netG_A.parameters(), strict=True):
            slow.data.lerp_(now.data, 1 / self.step_count)
