"""The losses that --auxiliary adds to what the generator minimises."""

import importlib
import importlib.util
from argparse import Namespace
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

import models.networks.parts as parts
from models.losses.auxiliary import FEATURES, LOSSES, PAIRS, Auxiliary, with_channels
from models.precision import in_float32
from util.errors import UsageError
from util.metrics.exported import ExportedNetwork, load_exported

OWN = "models.losses.my_losses"     # a user's file with a table LOSSES of their own


class Translating(Protocol):
    """What the losses need of a model; models.base_model.BaseModel is one."""

    real_A: Tensor
    real_B: Tensor
    losses: dict[str, Tensor]
    batch: Mapping[str, Any]

    def output(self) -> Tensor: ...
    def to_device(self, batch: Mapping[str, Any], key: str) -> Tensor: ...


class AuxiliaryLosses:
    """The losses of --auxiliary with their weights."""

    def __init__(self, weights: Mapping[str, float], features: "Features | None"):
        table = available()
        self.weights, self.features = weights, features
        self.losses = {name: table[name]._replace(loss=in_float32(table[name].loss)) for name in weights}

    def add_to(self, loss: Tensor, model: Translating) -> Tensor:
        """loss, the first that the model's generators minimise in a step, plus these; each is shown.

        Where a step translates the first images of a minibatch alone, they are compared with these.
        """
        fake = model.output()
        count = len(fake)
        target = vars(model).get("real_B")      # a model of one domain has no other
        target = None if target is None else target[:count]
        for name, entry in self.losses.items():
            wanted = self.pairs_alone(target, fake, model) if PAIRS in entry.needs else target
            batch = self.batch_for(entry, model, count)
            compared = self.compared(entry, model.real_A[:count], fake, wanted, batch)
            value = self.weights[name] * entry.loss(*compared)
            model.losses[name] = value
            loss = loss + value
        return loss

    def batch_for(self, entry: Auxiliary, model: Translating, count: int) -> dict[str, Any]:
        """The minibatch, with what the loss needs of it on the device, for its first `count` images.

        Raises UsageError for what it lacks.
        """
        keys = [need for need in entry.needs if need not in (PAIRS, FEATURES)]
        if missing := [key for key in keys if key not in model.batch]:
            raise UsageError(f"--auxiliary needs {missing[0]!r} in each minibatch, but the data set's items "
                             "have no such key: see BaseDataset.gives")
        return {**model.batch, FEATURES: self.features,
                **{key: model.to_device(model.batch, key)[:count] for key in keys}}

    @staticmethod
    def compared(entry: Auxiliary, real_A: Tensor, fake: Tensor, target: Tensor | None,
                 batch: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor | None, dict[str, Any]]:
        """What the loss is computed on: these, or those of all parts of the minibatch, where it takes its
        images together.
        """
        if not entry.together:
            return real_A, fake, target, batch
        keys = [need for need in entry.needs if need not in (PAIRS, FEATURES)]
        given = (real_A, fake, *([] if target is None else [target]))
        together = parts.whole(*given, *(batch[key] for key in keys))
        target = None if target is None else together[2]
        return *together[:2], target, batch | dict(zip(keys, together[len(given):], strict=True))

    @staticmethod
    def pairs_alone(target: Tensor, fake: Tensor, model: Translating) -> Tensor:
        """real_B; for images without a partner (--paired_ratio) their own output, so that nothing differs."""
        if "paired" not in model.batch:
            return target
        paired = model.to_device(model.batch, "paired")[:len(fake)] > 0
        return torch.where(paired, target, fake.detach().to(target.dtype))

    def check_step(self, shown: Collection[str], model: str) -> None:
        """Raise UsageError where a step has passed these losses by."""
        if not set(self.losses) <= set(shown):
            raise UsageError(f"--auxiliary has no effect on --model {model}, whose step does not call "
                             "BaseModel.update for a generator: leave it out")


class Features:
    """The network of --auxiliary_features on images [B, C, H, W] in [-1, 1]; gradients reach the images."""

    def __init__(self, network: ExportedNetwork):
        self.network = network

    def __call__(self, images: Tensor) -> Tensor:
        network = self.network
        images = with_channels(images, network.channels) / 2 + 0.5
        size = (network.height or images.shape[2], network.width or images.shape[3])
        if images.shape[2:] != size:
            images = F.interpolate(images, size, mode="bilinear", antialias=True)
        return network.differentiable(images)


# ---- from the flags


def available() -> dict[str, Auxiliary]:
    """All losses by name: those of the table and a user's own. Raises UsageError for a name that two have."""
    if importlib.util.find_spec(OWN) is None:
        return LOSSES
    own = vars(importlib.import_module(OWN)).get("LOSSES")
    if not isinstance(own, dict) or not all(isinstance(entry, Auxiliary) for entry in own.values()):
        raise UsageError("models/losses/my_losses.py needs a table LOSSES = {\"name\": Auxiliary(function)}: "
                         "see docs/plugins.md")
    if twice := LOSSES.keys() & own.keys():
        raise UsageError(f"models/losses/my_losses.py has a loss {min(twice)!r}, and so has --auxiliary "
                         "already: give it another name")
    return LOSSES | own


def describe_losses() -> str:
    """The names, with what they need, for --help."""
    return ", ".join(name + (f" (needs {' and '.join(entry.needs)})" if entry.needs else "")
                     for name, entry in available().items())


def auxiliary_weights(text: str) -> dict[str, float]:
    """{"ssim": 5.0, "l1": 10.0} from "ssim=5,l1=10"; a name alone weighs 1. Raises UsageError."""
    weights = {}
    for part in text.split(",") if text else ():
        name, given, weight = part.partition("=")
        if name not in available():
            raise UsageError(f"--auxiliary is {text!r}, but {name!r} is none of {', '.join(available())}; "
                             "write name=weight, joined by commas")
        try:
            weights[name] = float(weight) if given else 1.0
        except ValueError:
            weights[name] = -1.0
        if not 0 < weights[name] < float("inf"):
            raise UsageError(f"--auxiliary is {text!r}, but {weight!r} is no weight of {name}: give a number "
                             "above 0")
    return weights


def auxiliary(text: str) -> str:
    """The type of --auxiliary."""
    auxiliary_weights(text)
    return text


def check_auxiliary(opt: Namespace, gives: Collection[str]) -> None:
    """Raise UsageError for losses that lack what they need.

    gives: what the data set's items hold beside real_A and real_B: see BaseDataset.gives.
    """
    for name in auxiliary_weights(opt.auxiliary):
        entry = available()[name]
        for need in entry.needs:
            if need == FEATURES and not opt.auxiliary_features:
                raise UsageError(f"--auxiliary {name} needs a network: give --auxiliary_features FILE "
                                 "(scripts/export_features.py makes one)")
            if need == PAIRS and PAIRS not in gives:
                raise UsageError(f"--auxiliary {name} needs pairs, which --dataset_mode {opt.dataset_mode} "
                                 "does not give: use --dataset_mode aligned")
            if need not in (FEATURES, PAIRS) and need not in gives:
                raise UsageError(f"--auxiliary {name} needs {need!r} with each image of the input domain: "
                                 f"name its folder, as in --companions {need}={opt.phase}"
                                 f"{opt.direction[0]}_{need}")
        if opt.crop_size < entry.smallest_side and "crop" in opt.preprocess:
            raise UsageError(f"--auxiliary {name} needs images of {entry.smallest_side} pixels or more, but "
                             f"--crop_size is {opt.crop_size}: raise it")
        if opt.input_nc != opt.output_nc and not {opt.input_nc, opt.output_nc} <= {1, 3}:
            raise UsageError(f"--auxiliary {name} cannot compare --input_nc {opt.input_nc} with --output_nc "
                             f"{opt.output_nc}: only 1 and 3 channels can be brought to each other")


def create_auxiliary(opt: Namespace) -> AuxiliaryLosses | None:
    """What --auxiliary asks for; None without it. Raises UsageError for a network that cannot be used."""
    weights = auxiliary_weights(opt.auxiliary)
    if not weights:
        return None
    needed = any(FEATURES in available()[name].needs for name in weights)
    if not needed:
        return AuxiliaryLosses(weights, None)
    network = load_exported(Path(opt.auxiliary_features), opt.device)
    if network.batch not in (None, opt.batch_size):
        raise UsageError(f"--auxiliary_features {network.path} takes {network.batch} images at a time, but "
                         f"--batch_size is {opt.batch_size}: export it for any number")
    if opt.output_nc not in (1, 3):
        raise UsageError(f"--auxiliary_features {network.path} sees grey or colour, but --output_nc is "
                         f"{opt.output_nc}")
    return AuxiliaryLosses(weights, Features(network))
