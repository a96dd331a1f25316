"""The reference's BaseModel by its names: what a model file written for it inherits.

models/reference_api/adapter.py drives such a model. The schedule, the checkpoints, the number format and the
device are the program's, so that some methods have nothing left to do.
"""

import os
from abc import ABC, abstractmethod
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from util.checkpoints import weights as checkpoint


class BaseModel(ABC):
    """loss_names: of the attributes loss_<name> that are shown. model_names: of the networks net<name> that
    are saved. visual_names: of the attributes that are shown as images. optimizers: those whose learning rate
    follows --lr_policy.
    """

    @staticmethod
    def modify_commandline_options(parser: ArgumentParser, is_train: bool) -> ArgumentParser:
        return parser

    def __init__(self, opt: Namespace):
        self.opt = opt
        self.gpu_ids: list[int] = opt.gpu_ids
        self.isTrain: bool = opt.isTrain
        self.device: torch.device = opt.device
        self.save_dir = os.path.join(opt.checkpoints_dir, opt.name)
        self.loss_names: list[str] = []
        self.model_names: list[str] = []
        self.visual_names: list[str] = []
        self.optimizers: list[torch.optim.Optimizer] = []
        self.image_paths: list[str] = []
        self.metric = 0

    @abstractmethod
    def set_input(self, input: Mapping[str, Any]) -> None:
        """Take what the model needs from a minibatch."""

    @abstractmethod
    def forward(self) -> None:
        """Translate what set_input took."""

    @abstractmethod
    def optimize_parameters(self) -> None:
        """One update of every network."""

    def data_dependent_initialize(self, data: Mapping[str, Any]) -> None:
        """Called once before training, with a minibatch."""
        return None

    def setup(self, opt: Namespace) -> None:
        """Called behind data_dependent_initialize; loading and schedules are the program's."""
        return None

    def parallelize(self) -> None:
        """Devices are the program's."""
        return None

    def update_learning_rate(self) -> None:
        """The program sets the rates of an epoch."""
        return None

    def eval(self) -> None:
        for net in self._networks().values():
            net.eval()

    @torch.no_grad()
    def test(self) -> None:
        """Translate, without gradients."""
        self.forward()
        self.compute_visuals()

    def compute_visuals(self) -> None:
        """Called before the images are shown."""
        return None

    def get_image_paths(self) -> list[str]:
        return self.image_paths

    def get_current_visuals(self) -> dict[str, Tensor]:
        return {name: getattr(self, name) for name in self.visual_names if name in dir(self)}

    def get_current_losses(self) -> dict[str, float]:
        """The losses as numbers; this waits for the device."""
        return {name: float(getattr(self, f"loss_{name}")) for name in self.loss_names}

    def generate_visuals_for_evaluation(self, data: Mapping[str, Any], mode: str) -> dict[str, Tensor]:
        return {}

    def save_networks(self, epoch: int | str) -> None:
        """Write <epoch>_net_<name>.pth of every network into save_dir."""
        for name, net in self._networks().items():
            path = checkpoint.weights_path(Path(self.save_dir), str(epoch), name)
            checkpoint.save_file(path, net.state_dict())

    def load_networks(self, epoch: int | str) -> None:
        """Fill every network from <epoch>_net_<name>.pth of this run, or of --pretrained_name's."""
        folder = Path(self.save_dir)
        if self.isTrain and self.opt.pretrained_name is not None:
            folder = Path(self.opt.checkpoints_dir) / self.opt.pretrained_name
        for name, net in self._networks().items():
            checkpoint.load_weights(net, checkpoint.weights_path(folder, str(epoch), name))

    def print_networks(self, verbose: bool) -> None:
        """The program prints them."""
        return None

    def set_requires_grad(self, nets: nn.Module | list[nn.Module | None],
                          requires_grad: bool = False) -> None:
        """Let parameters have gradients, or none."""
        for net in nets if isinstance(nets, list) else [nets]:
            if net is not None:
                net.requires_grad_(requires_grad)

    def _networks(self) -> dict[str, nn.Module]:
        return {name: getattr(self, f"net{name}") for name in self.model_names}
