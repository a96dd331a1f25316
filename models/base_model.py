"""What every model is: named networks, their optimizers and schedules, a training step, a translation."""

import time
from abc import ABC, abstractmethod
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from models.compiled import compile_network
from models.networks.base import Generator, Network
from models.networks.formats import to_channels_last
from models.networks.init import init_weights
from models.precision import Precision
from models.schedules import SCHEDULES
from util.checkpoints import weights as checkpoint
from util.console import say

Batch = Mapping[str, Any]


class BaseModel(ABC):
    """Subclass it in models/<name>_model.py as <Name>Model; `--model <name>` then finds it.

    `networks` maps the names in checkpoint files (G, F, D) to modules, `optimizers` names to optimizers.
    """

    @staticmethod
    def modify_commandline_options(parser: ArgumentParser, is_train: bool) -> ArgumentParser:
        """Add the model's own flags and defaults; parser.parse_known_args() tells what was typed."""
        return parser

    def __init__(self, opt: Namespace):
        self.opt = opt
        self.device: torch.device = opt.device
        self.networks: dict[str, nn.Module] = {}
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        self.plateaus: list[ReduceLROnPlateau] = []
        self.compiling = False    # until the first step is done
        self.precision = Precision(opt.precision, opt.device)
        self.epoch_losses = torch.zeros(2, device=self.device)      # of this epoch: sum of G's loss, steps
        self.input_key, self.target_key = ("A", "B") if opt.direction == "AtoB" else ("B", "A")

    @abstractmethod
    def optimize_parameters(self, batch: Batch) -> dict[str, Tensor]:
        """One update of every network. Returns the losses as scalars on the device, "G" among them."""

    @abstractmethod
    def visuals(self) -> dict[str, Tensor]:
        """Images of the last training step, [B, C, H, W] in [-1, 1], by label."""

    @abstractmethod
    def translator(self) -> nn.Module:
        """The network that translates the input domain to the target's."""

    # ---- building

    def add_network(self, name: str, net: nn.Module) -> nn.Module:
        """Initialise a network by --init_type and --init_gain, put it on the device, keep it as `name`."""
        net = init_weights(net, self.opt.init_type, self.opt.init_gain).to(self.device)
        if self.opt.channels_last:
            for parameter in net.parameters():
                if parameter.ndim == 4:
                    parameter.data = to_channels_last(parameter.data)
        if self.opt.isTrain and self.opt.grad_checkpoint and isinstance(net, Generator):
            net.use_checkpointing()
        self.networks[name] = net
        return net

    def add_optimizer(self, name: str, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Adam as the options say; its learning rate follows --lr_policy."""
        optimizer = torch.optim.Adam(list(parameters), lr=self.opt.lr, betas=(self.opt.beta1, self.opt.beta2),
                                     fused=True)
        self.optimizers[name] = optimizer
        if self.opt.lr_policy == "plateau":
            self.plateaus.append(ReduceLROnPlateau(optimizer, factor=0.2, threshold=0.01, patience=5))
        return optimizer

    def compile(self) -> None:
        """Let torch.compile translate the networks as they are first used."""
        for name, net in self.networks.items():
            compile_network(net, name)
        self.compiling = True

    # ---- training

    def train_step(self, batch: Batch) -> dict[str, Tensor]:
        """One update of every network. Returns the losses as detached scalars on the device."""
        began = time.perf_counter()
        with self.precision.autocast():
            losses = {name: loss.detach() for name, loss in self.optimize_parameters(batch).items()}
        self.precision.end_step()
        if self.compiling:
            self.compiling = False
            float(losses["G"])    # waits for the device
            say(f"--compile: the first step took {time.perf_counter() - began:.0f} s, compiling included")
        if self.plateaus:
            self.epoch_losses += torch.stack([losses["G"], torch.ones_like(losses["G"])])
        return losses

    def start_epoch(self, epoch: int) -> None:
        """Set the learning rate of an epoch (from 1), a function of it; a plateau keeps what it has."""
        if self.plateaus:
            return
        opt = self.opt
        factor = SCHEDULES[opt.lr_policy](epoch, opt.n_epochs, opt.n_epochs_decay, opt.lr_decay_iters)
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = opt.lr * factor

    def end_epoch(self, figures: Sequence[float] | None = None) -> None:
        """Tell the plateau schedule the figures of the epoch's evaluations, lower being better.

        None stands for a training without evaluations: it follows the epoch's mean loss of G.
        """
        if not self.plateaus:
            return
        total, steps = self.epoch_losses.tolist()
        if figures is None:
            figures = [total / steps] if steps else []
        for figure in figures:
            for plateau in self.plateaus:
                plateau.step(figure)
        self.epoch_losses.zero_()

    def learning_rate(self) -> float:
        return next(iter(self.optimizers.values())).param_groups[0]["lr"]

    def train(self, mode: bool) -> None:
        """Batch norm and dropout as in training (true), or by running statistics and without dropout."""
        for net in self.networks.values():
            net.train(mode)

    def describe(self, layers: bool = False) -> str:
        """The networks with their numbers of parameters, with `layers` their modules too."""
        lines = []
        for name, net in self.networks.items():
            lines += [str(net)] if layers else []
            millions = sum(p.numel() for p in net.parameters()) / 1e6
            lines.append(f"[Network {name}] {millions:.3f} M parameters")
        return "\n".join(lines)

    # ---- translation

    def to_device(self, batch: Batch, key: str) -> Tensor:
        images = batch[key].to(self.device, non_blocking=True)
        return to_channels_last(images) if self.opt.channels_last else images

    @torch.inference_mode()
    def test_step(self, batch: Batch) -> dict[str, Tensor]:
        """What `translations` makes of a batch, in the number format of --precision; float32 images."""
        with self.precision.autocast():
            return {label: images.float() for label, images in self.translations(batch).items()}

    @torch.no_grad()
    def translations(self, batch: Batch) -> dict[str, Tensor]:
        """A batch as test.py shows it: real_A, fake_B and, where the batch has a target side, real_B."""
        real = self.to_device(batch, self.input_key)
        images = {"real_A": real, "fake_B": translate(self.translator(), real)}
        if self.target_key in batch:
            images["real_B"] = self.to_device(batch, self.target_key)
        return images

    # ---- checkpoints

    def save_weights(self, folder: Path, label: str) -> None:
        """Write <label>_net_<name>.pth for every network."""
        for name, net in self.networks.items():
            checkpoint.save_file(checkpoint.weights_path(folder, label, name), net.state_dict())

    def load_weights(self, folder: Path, label: str) -> None:
        """Fill every network of this model from <label>_net_<name>.pth; UsageError where one does not fit."""
        for name, net in self.networks.items():
            checkpoint.load_weights(net, checkpoint.weights_path(folder, label, name))

    def state_dict(self) -> dict[str, Any]:
        """Everything that a training needs to go on: weights, optimizers, plateaus."""
        return {"networks": {n: net.state_dict() for n, net in self.networks.items()},
                "optimizers": {n: o.state_dict() for n, o in self.optimizers.items()},
                "plateaus": [p.state_dict() for p in self.plateaus], "epoch_losses": self.epoch_losses,
                "scaler": self.precision.scaler.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raises ValueError where the state is of other networks."""
        for name, net in self.networks.items():
            problem = checkpoint.mismatch(state["networks"].get(name, {}), net.state_dict(), name)
            if problem:
                raise ValueError(f"network {name} does not fit: {problem}")
            net.load_state_dict(state["networks"][name])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        for plateau, saved in zip(self.plateaus, state["plateaus"], strict=True):
            plateau.load_state_dict(saved)
        self.epoch_losses.copy_(state["epoch_losses"])
        self.precision.load_scaler(state.get("scaler"))


def translate(net: nn.Module, images: Tensor) -> Tensor:
    """net(images) at any size: a Network's images are padded to sides that it takes, and cropped back.

    images: [B, C, H, W] in [-1, 1]. Returns [B, C_out, H, W]. Another module gets the images as they are.
    """
    if not isinstance(net, Network):
        return net(images)
    height, width = images.shape[-2:]
    down, right = (max(-side % net.size_multiple, net.smallest_side - side) for side in (height, width))
    if down or right:
        mode = "reflect" if down < height and right < width else "replicate"
        images = F.pad(images, (0, right, 0, down), mode=mode)
    return net(images)[..., :height, :width]
