"""The reference's `models.networks` by its names: networks from our tables, made in its functions' order."""

import functools
from argparse import Namespace
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from models.losses.gan import OBJECTIVES
from models.networks import DISCRIMINATORS, GENERATORS
from models.networks.base import Generator, Network, NetworkError
from models.networks.init import INITS
from models.networks.norm import BatchNorm
from models.networks.patch_sampler import EPSILON, PatchSampler, PooledFeatures, sample_locations
from models.networks.resample import BlurDownsample as Downsample  # noqa: F401
from models.networks.resample import BlurUpsample as Upsample  # noqa: F401
from models.precision import in_float32
from models.schedules import SCHEDULES
from util.errors import UsageError

Identity = nn.Identity


# ---- making networks


def init_weights(net: nn.Module, init_type: str = "normal", init_gain: float = 0.02,
                 debug: bool = False) -> None:
    """Fill convolutions and linear layers of any dimension by --init_type, their biases with 0."""
    if init_type not in INITS:
        raise NetworkError(f"--init_type is {init_type!r}; choose one of {', '.join(INITS)}")
    for module in net.modules():
        if isinstance(module, (nn.modules.conv._ConvNd, nn.Linear)):
            INITS[init_type](module.weight, init_gain)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d) and module.affine:
            nn.init.normal_(module.weight, 1.0, init_gain)
            nn.init.zeros_(module.bias)


def init_net(net: nn.Module, init_type: str = "normal", init_gain: float = 0.02, gpu_ids: Sequence[int] = (),
             debug: bool = False, initialize_weights: bool = True) -> nn.Module:
    """The network on its device, with initial weights."""
    if gpu_ids:
        net.to(torch.device("cuda", gpu_ids[0]))
    if initialize_weights and not (isinstance(net, Network) and net.own_init):
        init_weights(net, init_type, init_gain)
    return net


def define_G(input_nc: int, output_nc: int, ngf: int, netG: str, norm: str = "batch",
             use_dropout: bool = False, init_type: str = "normal", init_gain: float = 0.02,
             no_antialias: bool | Sequence[int] = False, no_antialias_up: bool = False,
             gpu_ids: Sequence[int] = (), opt: Namespace | None = None) -> Generator:
    """A generator of --netG. Called as in pix2pix, with gpu_ids behind init_gain, it has no antialiasing."""
    if not isinstance(no_antialias, bool):
        no_antialias, no_antialias_up, gpu_ids = True, True, no_antialias
    net = _chosen("--netG", GENERATORS, netG)(
        in_channels=input_nc, out_channels=output_nc, width=ngf, norm=norm, dropout=use_dropout,
        antialias=not no_antialias, antialias_up=not no_antialias_up, **_sizes(opt))
    return init_net(net, init_type, init_gain, gpu_ids)


def define_D(input_nc: int, ndf: int, netD: str, n_layers_D: int = 3, norm: str = "batch",
             init_type: str = "normal", init_gain: float = 0.02, no_antialias: bool | Sequence[int] = False,
             gpu_ids: Sequence[int] = (), opt: Namespace | None = None) -> nn.Module:
    """A discriminator of --netD; see define_G."""
    if not isinstance(no_antialias, bool):
        no_antialias, gpu_ids = True, no_antialias
    net = _chosen("--netD", DISCRIMINATORS, netD)(
        in_channels=input_nc, width=ndf, norm=norm, layers=n_layers_D, antialias=not no_antialias,
        **_sizes(opt))
    return init_net(net, init_type, init_gain, gpu_ids)


def define_F(input_nc: int, netF: str, norm: str = "batch", use_dropout: bool = False,
             init_type: str = "normal", init_gain: float = 0.02, no_antialias: bool = False,
             gpu_ids: Sequence[int] = (), opt: Namespace | None = None) -> nn.Module:
    """A projection head of --netF, for the layers of --netG that --nce_layers names."""
    if netF == "reshape":
        return ReshapeF()
    if netF not in ("mlp_sample", "sample"):
        raise NetworkError(f"--netF is {netF!r}; choose one of mlp_sample, reshape, sample")
    width = 256 if opt is None else opt.netF_nc
    channels = _tapped_channels(opt, input_nc) if netF == "mlp_sample" and opt is not None else None
    return PatchSampleF(netF == "mlp_sample", init_type, init_gain, width, gpu_ids, channels)


def _chosen(flag: str, table: dict[str, Callable[..., nn.Module]], name: str) -> Callable[..., Any]:
    if name not in table:
        raise UsageError(f"{flag} {name!r} is none of {', '.join(sorted(table))}; a network of your own is a "
                         "line in models/networks/__init__.py")
    return table[name]


def _sizes(opt: Namespace | None) -> dict[str, int]:
    """What StyleGAN2's networks and the tiled discriminators take from the options."""
    return {} if opt is None else {"crop_size": opt.crop_size, "tile": opt.D_tile_size,
                                   "num_downsampling": opt.stylegan2_G_num_downsampling}


def _tapped_channels(opt: Namespace, input_nc: int) -> list[int] | None:
    """Channels of the layers in --nce_layers of a G of the options; no random number is used up.

    None where the options name none, so that F has to wait for the first features.
    """
    if opt.netG not in GENERATORS or "nce_layers" not in opt:
        return None
    with torch.random.fork_rng(devices=[]):
        net = GENERATORS[opt.netG](
            in_channels=input_nc, out_channels=opt.output_nc, width=opt.ngf, norm=opt.normG, dropout=False,
            antialias=not opt.no_antialias, antialias_up=not opt.no_antialias_up, **_sizes(opt))
        layers = net.resolve_layers([int(number) for number in opt.nce_layers.split(",")])
        return net.feature_channels(layers, input_nc)


def get_norm_layer(norm_type: str = "instance") -> Callable[..., nn.Module]:
    """The constructor of a normalisation layer, to be called with its channels."""
    layers = {"batch": functools.partial(BatchNorm, affine=True, track_running_stats=True),
              "instance": functools.partial(nn.InstanceNorm2d, affine=False, track_running_stats=False),
              "none": lambda channels: nn.Identity()}
    if norm_type not in layers:
        raise NetworkError(f"the norm is {norm_type!r}; choose one of {', '.join(layers)}")
    return layers[norm_type]


def get_scheduler(optimizer: torch.optim.Optimizer, opt: Namespace) -> LRScheduler:
    """--lr_policy as an object of torch. The program sets the rates of an epoch by itself, to the same."""
    return LambdaLR(optimizer, lambda past: SCHEDULES[opt.lr_policy](
        past + opt.epoch_count, opt.n_epochs, opt.n_epochs_decay, opt.lr_decay_iters))


# ---- projection heads


class PatchSampleF(PatchSampler):
    """F as the reference calls it: features, number of patches, places -> vectors and places.

    channels: of the tapped layers; None: the MLPs are made when the first features come.
    """

    def __init__(self, use_mlp: bool = False, init_type: str = "normal", init_gain: float = 0.02,
                 nc: int = 256, gpu_ids: Sequence[int] = (), channels: Sequence[int] | None = None):
        super().__init__(channels=channels or (), width=nc, mlp=use_mlp)
        self.use_mlp, self.nc, self.init_type, self.init_gain = use_mlp, nc, init_type, init_gain
        self.channels = list(channels or ())
        init_net(self, init_type, init_gain, gpu_ids)

    def create_mlp(self, feats: Sequence[Tensor]) -> None:
        """MLPs for these features, in place of those that do not fit them."""
        channels = [f.shape[1] for f in feats]
        made = PatchSampleF(True, self.init_type, self.init_gain, self.nc, channels=channels)
        self.mlps, self.channels = made.mlps, made.channels
        for name, mlp in made.to(feats[0].device).named_children():
            self.add_module(name, mlp)

    def forward(self, feats: Sequence[Tensor], num_patches: int = 64,
                patch_ids: Sequence[Any] | None = None) -> tuple[list[Tensor], list[Tensor]]:
        """feats: [B, C_l, H_l, W_l]. patch_ids: [S_l] each; None draws num_patches of them.

        Returns unit vectors [B * S_l, nc], and the places. With num_patches 0 all places: [B, nc, H_l, W_l].
        """
        if self.use_mlp and [f.shape[1] for f in feats] != self.channels:
            self.create_mlp(feats)
        if num_patches == 0:
            every = [torch.arange(f[0, 0].numel(), device=f.device).expand(len(f), -1) for f in feats]
            found = super().forward(feats, every)
            return [x.transpose(1, 2).unflatten(2, f.shape[2:])
                    for x, f in zip(found, feats, strict=True)], []
        if patch_ids is None:
            ids = [places[0] for places in sample_locations(feats, num_patches, shared=True)]
        else:
            ids = [torch.as_tensor(np.asarray(i) if isinstance(i, list) else i, dtype=torch.long,
                                   device=f.device) for i, f in zip(patch_ids, feats, strict=False)]
        found = super().forward(feats, [i.expand(len(f), -1) for i, f in zip(ids, feats, strict=True)])
        return [x.flatten(0, 1) for x in found], ids


class ReshapeF(PooledFeatures):
    """Each layer averaged over 4 x 4 cells, called as PatchSampleF is."""

    def forward(self, feats: Sequence[Tensor], num_patches: int = 64,
                patch_ids: Sequence[Any] | None = None) -> tuple[list[Tensor], list[Tensor]]:
        found = super().forward(feats, [None] * len(feats))
        cells = torch.arange(self.side ** 2, device=feats[0].device)
        return [x.flatten(0, 1) for x in found], [cells] * len(feats)


class Normalize(nn.Module):
    """x divided by its norm along dimension 1."""

    def __init__(self, power: int = 2):
        super().__init__()
        self.power = power

    def forward(self, x: Tensor) -> Tensor:
        return x / (x.norm(p=self.power, dim=1, keepdim=True) + EPSILON)


# ---- losses


class GANLoss(nn.Module):
    """--gan_mode as the reference calls it: scores, whether they should be those of real images -> scalar."""

    def __init__(self, gan_mode: str, target_real_label: float = 1.0, target_fake_label: float = 0.0):
        super().__init__()
        self.gan_mode = gan_mode
        self.register_buffer("real_label", torch.tensor(target_real_label))
        self.register_buffer("fake_label", torch.tensor(target_fake_label))
        if gan_mode not in ("lsgan", "vanilla", "nonsaturating", "wgangp"):
            raise UsageError(f"--gan_mode {gan_mode} needs to know whether D or G learns, which "
                             "networks.GANLoss is not told; use lsgan, vanilla, nonsaturating or wgangp")

    def get_target_tensor(self, prediction: Tensor, target_is_real: bool) -> Tensor:
        return (self.real_label if target_is_real else self.fake_label).expand_as(prediction)

    @in_float32
    def forward(self, prediction: Tensor, target_is_real: bool) -> Tensor:
        target = self.get_target_tensor(prediction, target_is_real)
        if self.gan_mode == "lsgan":
            return F.mse_loss(prediction, target)
        if self.gan_mode == "vanilla":
            return F.binary_cross_entropy_with_logits(prediction, target)
        objective = OBJECTIVES[self.gan_mode]
        return objective.real(prediction) if target_is_real else objective.fake(prediction)


def cal_gradient_penalty(netD: nn.Module, real_data: Tensor, fake_data: Tensor, device: torch.device,
                         type: str = "mixed", constant: float = 1.0,
                         lambda_gp: float = 10.0) -> tuple[Tensor | float, Tensor | None]:
    """lambda_gp * E (|grad D(x)| - constant)^2, and the gradients [B, C * H * W].

    Gulrajani et al. 2017, eq. 3. type: x is `real` or `fake` images, or points between them (`mixed`).
    """
    if lambda_gp <= 0:
        return 0.0, None
    part = {"real": lambda: 1.0, "fake": lambda: 0.0,
            "mixed": lambda: torch.rand(len(real_data), 1, 1, 1, device=device)}[type]()
    between = (part * real_data + (1 - part) * fake_data).detach().requires_grad_()
    gradients, = torch.autograd.grad(netD(between).sum(), between, create_graph=True)
    gradients = gradients.flatten(1)
    return ((gradients + 1e-16).norm(dim=1) - constant).square().mean() * lambda_gp, gradients
