"""Drives a model that is written against the reference's interface, as the program drives its own models."""

import copy
import inspect
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models import ema
from models.adversarial import check_crop, equip_discriminator
from models.base_model import BaseModel, Batch
from models.networks.base import Discriminator, Generator, Network, NetworkError
from models.precision import weights_to_channels_last
from models.reference_api import base_model
from models.reference_api.kept import Kept
from util.checkpoints import weights as checkpoint
from util.errors import UsageError
from util.reference_files import in_one_line
from util.reference_options import OfFile, ReferenceBatch, reference_options
from util.runtime.health import skip_broken_updates
from util.runtime.seed import random_state, set_random_state


class ReferenceModel(OfFile, BaseModel):
    """A model of ours around an object of a file's class. The subclass of a file names the class.

    inner: that object. Its networks, optimizers, losses and images are read from it by the reference's names;
    loading and saving, the number format, learning rates, devices and the loop stay the program's.
    """

    package, tiles = "models", False
    written: type[base_model.BaseModel]

    def __init__(self, opt: Namespace):
        super().__init__(opt)
        if opt.isTrain and (opt.lr_G or opt.lr_D):
            raise UsageError(f"--lr_G and --lr_D do not reach {self.file()}, which makes its own optimizers: "
                             "use --lr, or set the rates there")
        with in_one_line(self.file(), NetworkError):
            self.inner = self.written(reference_options(opt))
            self._made = [name for name in vars(self.inner) if name not in BASE_NAMES]
            self.collect()
        self.gan_weight = vars(opt).get("lambda_GAN", 1.0)
        self.kept = Kept(self.inner, self._kept_names())

    # ---- what the file made

    def collect(self) -> None:
        """Take over the networks in model_names and the optimizers, which are both more with time."""
        for name in self.inner.model_names:
            net = getattr(self.inner, f"net{name}")
            if self.networks.get(name) is not net:
                self._take_network(name, net)
        for number, optimizer in enumerate(self.inner.optimizers):
            if not any(optimizer is known for known in self.optimizers.values()):
                self._take_optimizer(self._optimizer_name(number, optimizer), optimizer)

    def _take_network(self, name: str, net: nn.Module) -> None:
        self.networks[name] = net.to(self.device)
        if self.opt.channels_last:
            weights_to_channels_last(net)
        if not self.opt.isTrain:
            return
        if isinstance(net, (Generator, Discriminator)):
            flag = "netG" if isinstance(net, Generator) else "netD"
            check_crop(self.opt, net, f"--{flag} {vars(self.opt)[flag]}")
        if self.opt.grad_checkpoint and isinstance(net, Generator):
            net.use_checkpointing()
        if name.startswith("D"):
            equip_discriminator(self.opt, net)

    def _take_optimizer(self, name: str, optimizer: torch.optim.Optimizer) -> None:
        """Let it compute as ours do, and its rates start from what they are."""
        if type(optimizer) in (torch.optim.Adam, torch.optim.AdamW):
            for settings in (optimizer.defaults, *optimizer.param_groups):
                settings |= {"fused": True, "foreach": False}
            optimizer._step_supports_amp_scaling = True
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        if self.over_ranks:
            self.over_ranks.watch(optimizer)
        if self.precision.name == "fp16":
            optimizer.register_step_pre_hook(lambda optimizer, *_: self.precision.unscale(optimizer))
            skip_broken_updates(optimizer)
        self.optimizers[name] = optimizer
        self.schedule.add_plateau(optimizer)

    def _optimizer_name(self, number: int, optimizer: torch.optim.Optimizer) -> str:
        """As in optimizer_<name>, or else its number."""
        names = [name for name, value in vars(self.inner).items() if value is optimizer]
        return names[0].removeprefix("optimizer_") if names else str(number)

    def _kept_names(self) -> list[str]:
        taken = {f"net{name}" for name in self.networks} | set(self.inner.visual_names)
        return [name for name in self._made if name not in taken and not name.startswith("loss_") and not any(
            vars(self.inner)[name] is optimizer for optimizer in self.optimizers.values())]

    # ---- training

    def data_dependent_initialize(self, sample: Callable[[], Batch]) -> None:
        """Rehearse a step on a copy, so that what cannot work ends the program now; then the file's own."""
        state, batch = random_state(), ReferenceBatch(sample())
        with in_one_line(self.file()):
            if not self.opt.compile:        # a copy would be compiled once more
                self._rehearse(batch)
            self._initialize(self.inner, batch)
            self.collect()
        self.kept = Kept(self.inner, self._kept_names())
        set_random_state(state)

    def _rehearse(self, batch: Batch) -> None:
        try:
            inner = copy.deepcopy(self.inner)
        except Exception:       # it holds what cannot be copied, such as a connection; then the run shows it
            return
        self._initialize(inner, batch)
        self._update(inner, batch)
        inner.compute_visuals()
        inner.get_current_visuals()
        self.precision.forget_step()

    def _initialize(self, inner: base_model.BaseModel, batch: Batch) -> None:
        """What the file does with a first minibatch, given or not."""
        with self.own_backward(), self.precision.autocast():
            takes = inspect.signature(inner.data_dependent_initialize).parameters
            inner.data_dependent_initialize(*[batch] * min(1, len(takes)))
            inner.setup(inner.opt)

    def _update(self, inner: base_model.BaseModel, batch: Batch) -> None:
        with self.own_backward(), self.precision.autocast():
            inner.set_input(batch)
            inner.optimize_parameters()

    @contextmanager
    def own_backward(self) -> Iterator[None]:
        """Within it `loss.backward()` is what Precision.backward is: without autocast, and scaled in fp16."""
        plain, precision = Tensor.backward, self.precision

        def backward(loss: Tensor, *args: Any, **settings: Any) -> None:
            with torch.autocast(precision.device.type, enabled=False):
                plain(precision.scaler.scale(loss), *args, **settings)

        Tensor.backward = backward
        try:
            yield
        finally:
            Tensor.backward = plain

    def eager_step(self, batch: Batch) -> dict[str, Tensor]:
        self._update(self.inner, ReferenceBatch(batch))
        self.precision.end_step()
        return self._shown_losses()

    def _shown_losses(self) -> dict[str, Tensor]:
        """loss_<name> of every name in loss_names, and G: what generators minimise."""
        found = {name.removeprefix("loss_"): value for name, value in vars(self.inner).items()
                 if name.startswith("loss_") and name != "loss_names"}
        losses = {name: torch.as_tensor(found[name], device=self.device).detach().float().mean()
                  for name in self.inner.loss_names if name in found}
        if "G" not in losses:
            parts = [loss for name, loss in losses.items() if name.startswith("G")] or list(losses.values())
            losses["G"] = (torch.as_tensor(found["G"], device=self.device).detach().float().mean()
                           if "G" in found else sum(parts, torch.zeros((), device=self.device)))
        return losses

    def optimize_parameters(self) -> None:
        raise AssertionError("eager_step calls the file's own")

    def graph_obstacle(self) -> str:
        return f"{self.file()} is written for the reference, and may do anything in a step"

    def train(self, mode: bool) -> None:
        super().train(mode)
        if not mode:
            self.inner.eval()

    # ---- images

    @torch.no_grad()
    def visuals(self) -> dict[str, Tensor]:
        self.inner.compute_visuals()
        return shown(self.inner.get_current_visuals())

    def translator(self) -> nn.Module:
        """The first network whose name begins with G."""
        return next(net for name, net in self.networks.items() if name.startswith("G"))

    @torch.no_grad()
    def translations(self, batch: Batch) -> dict[str, Tensor]:
        """The file's images of a batch. Without the target domain, for which the input stands in: real_A and
        fake_B. The object's attributes are afterwards as before, so that a training shows its own images.
        """
        before = dict(vars(self.inner))
        try:
            return self._translate(batch)
        finally:
            vars(self.inner).clear()
            vars(self.inner).update(before)

    def _translate(self, batch: Batch) -> dict[str, Tensor]:
        batch, size = self._padded(batch)
        alone = self.target_key not in batch
        if alone:
            batch |= {self.target_key: batch[self.input_key],
                      f"{self.target_key}_paths": batch[f"{self.input_key}_paths"]}
        self.inner.set_input(batch)
        self.inner.test()
        images = shown(self.inner.get_current_visuals())
        if "fake_B" not in images:
            images["fake_B"] = images[self._made_label(images, batch)]
        return {label: image[..., :size[0], :size[1]] for label, image in images.items()
                if not alone or label in ("real_A", "fake_B")}

    def _made_label(self, images: Mapping[str, Tensor], batch: Batch) -> str:
        """The first image that is not of the minibatch: G's output in a file that calls it otherwise."""
        given = [value.to(self.device) for value in batch.values() if isinstance(value, Tensor)]
        for label, image in images.items():
            if not any(image.shape == one.shape and torch.equal(image, one.float()) for one in given):
                return label
        raise UsageError(f"{self.file()} shows no image that it makes, so that there is nothing to score or "
                         "write: add G's output to its visual_names")

    def _padded(self, batch: Batch) -> tuple[ReferenceBatch, tuple[int, int]]:
        """The images with sides that the networks take, and the input's own height and width."""
        height, width = batch[self.input_key].shape[-2:]
        nets = [net for net in self.networks.values() if isinstance(net, Network)]
        multiple = max((net.size_multiple for net in nets), default=1)
        down, right = -height % multiple, -width % multiple
        padded = ReferenceBatch(batch)
        for key, value in batch.items() if down or right else ():
            if isinstance(value, Tensor) and value.shape[-2:] == (height, width):
                padded[key] = F.pad(value, (0, right, 0, down), mode="replicate")
        return padded, (height, width)

    # ---- checkpoints

    def save_weights(self, folder: Path, label: str) -> None:
        """The networks in model_names, and then whatever a save_networks of the file's own does."""
        super().save_weights(folder, label)
        if self.written.save_networks is not base_model.BaseModel.save_networks:
            self.inner.save_networks(label)

    def load_weights(self, folder: Path, label: str) -> None:
        """By the file's load_networks, whose folder is the same; then averages with --use_ema."""
        self.inner.load_networks(label)
        for name, net in self.networks.items():
            if not self.opt.isTrain and self.opt.use_ema and name.startswith("G"):
                path = checkpoint.weights_path(folder, label, name)
                checkpoint.load_weights(net, ema.existing_averages(path))
        if self.ema:
            self.ema.restart()

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"kept": self.kept.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self.kept.load_state_dict(state["kept"], self.device)


BASE_NAMES = {"opt", "gpu_ids", "isTrain", "device", "save_dir", "loss_names", "model_names", "visual_names",
              "optimizers", "image_paths", "metric"}


def shown(visuals: Mapping[str, Any]) -> dict[str, Tensor]:
    """Those that are images, [B, C, H, W], as gray or colour: of two channels the first, of more than three
    the first three.
    """
    images = {label: image.detach().float() for label, image in visuals.items()
              if isinstance(image, Tensor) and image.ndim == 4}
    return {label: image if image.shape[1] in (1, 3) else image[:, :3 if image.shape[1] > 3 else 1]
            for label, image in images.items()}


def adapted(written: type[base_model.BaseModel]) -> type[ReferenceModel]:
    """The model of ours that drives objects of a file's class."""
    return type(written.__name__, (ReferenceModel,), {"written": written, "__doc__": written.__doc__})
