"""A generator in a file of scripts/export.py, in the place of a run: test.py --exported FILE."""

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.base_model import BaseModel
from models.networks.base import Network
from util.errors import UsageError
from util.metrics.exported import ANY_CHANNELS, ExportedNetwork, load_exported

# Flags of test.py whose values the file tells, and how each is read.
RECORDED = {"input_nc": int, "output_nc": int, "crop_size": int, "epoch": str, "value_range": str,
            "direction": str, "use_ema": lambda text: text == "true"}


class ExportedModel(BaseModel):
    """The generator of a file; it translates, and cannot be trained. The run's folder is not needed."""

    @staticmethod
    def modify_commandline_options(parser: ArgumentParser, is_train: bool) -> ArgumentParser:
        if is_train:
            raise UsageError("--model exported translates alone: train another model, and give test.py "
                             "--exported FILE")
        return parser

    def __init__(self, opt: Namespace):
        super().__init__(opt)
        if opt.exported is None:
            raise UsageError("--model exported needs its file: --exported FILE")
        self.network = load_generator(Path(opt.exported), opt.device)
        for flag in ("input_nc", "output_nc"):
            typed, held = getattr(opt, flag), RECORDED[flag](self.network.metadata[flag])
            if typed != held:
                raise UsageError(f"--{flag} is {typed}, but --exported {opt.exported} holds a network of "
                                 f"{held}; leave --{flag} out")

    def optimize_parameters(self) -> None:
        raise NotImplementedError("a file cannot be trained")

    def visuals(self) -> dict[str, Tensor]:
        raise NotImplementedError("a file cannot be trained")

    def translator(self) -> nn.Module:
        return OfFile(self.network)

    def load_weights(self, folder: Path, label: str) -> None:
        """They came with the file."""

    def describe(self, layers: bool = False) -> str:
        known = self.network.metadata
        return f"[Network {known['network']}] of {known['run']}, epoch {known['epoch']}: {self.network.path}"


class OfFile(Network):
    """An exported network as one that can be called with images on any device, of the sides that it takes."""

    def __init__(self, network: ExportedNetwork):
        super().__init__()
        self.network = network
        self.size_multiple, self.smallest_side = (int(network.metadata[name])
                                                  for name in ("size_multiple", "smallest_side"))

    def forward(self, images: Tensor) -> Tensor:
        """images: [B, C, H, W] in [-1, 1]. Returns [B, C_out, H, W]."""
        return self.network(images).to(images.device)


def load_generator(path: Path, device: torch.device) -> ExportedNetwork:
    """The network in a file of scripts/export.py. Raises UsageError for another file."""
    network = load_exported(path, device, ANY_CHANNELS)
    missing = {"size_multiple", "smallest_side", "network", "run", *RECORDED} - network.metadata.keys()
    if missing:
        raise UsageError(f"--exported {path} does not tell its {', '.join(sorted(missing))}; write it with "
                         "scripts/export.py")
    return network


def recorded_flags(metadata: Mapping[str, str]) -> dict[str, Any]:
    """The flags of test.py with the values that a file tells."""
    try:
        return {name: read(metadata[name]) for name, read in RECORDED.items()}
    except ValueError as error:
        raise UsageError(f"--exported: the file tells what cannot be ({error}); write it with "
                         "scripts/export.py") from error
