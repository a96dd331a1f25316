"""The base class of models: named networks with their optimizers, a training step, a translation."""

import inspect
from abc import ABC, abstractmethod
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models import ema
from models.auxiliary import AuxiliaryLosses, create_auxiliary
from models.execution.compiled import announce_first_step, compile_network
from models.execution.graphed_step import Batch, GraphedStep, graph_for
from models.execution.micro_batches import MicroBatches, remembered
from models.execution.over_ranks import check_agreement, over_ranks
from models.networks.base import Generator, described, translate
from models.networks.init import init_weights
from models.optimizers import load_optimizer
from models.precision import Precision, gives_one_size, to_channels_last, weights_to_channels_last
from models.schedules import LearningRate
from models.tiling import Tiling
from util.checkpoints import weights as checkpoint
from util.distributed import ranks


class BaseModel(ABC):
    """Subclass it in models/<name>_model.py as <Name>Model; `--model <name>` then finds it.

    networks: names in checkpoint files -> modules. Generators' names begin with G, discriminators' with D.
    optimizers: the same names -> optimizers. ema: averages of the generators' weights (--ema), or None.
    batch, losses: of the step under way, the minibatch, and what it shows (name -> scalar on the device).
    loss_names: the order in which losses are shown; others follow behind.
    gan_weight: the weight that the loss G_GAN carries. groups: of images that a step makes of a minibatch.
    tiles: whether its translations go through `translate`, so that --tile works.
    """

    loss_names: tuple[str, ...] = ()
    gan_weight: float = 1.0
    groups: int = 1
    tiles: bool = True

    @staticmethod
    def modify_commandline_options(parser: ArgumentParser, is_train: bool) -> ArgumentParser:
        """Add the model's own flags and defaults; parser.parse_known_args() tells what was typed."""
        return parser

    def __init__(self, opt: Namespace):
        self.opt = opt
        self.device: torch.device = opt.device
        self.networks: dict[str, nn.Module] = {}
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        self.losses: dict[str, Tensor] = {}
        self.ema: ema.EMA | None = None
        self.graphed: GraphedStep | None = None
        self.micro_batches: MicroBatches | None = None
        self.over_ranks = over_ranks(self)
        self.auxiliary: AuxiliaryLosses | None = create_auxiliary(opt) if opt.isTrain else None
        self.precision = Precision(opt.precision, opt.device,
                                   fixed_sizes=opt.isTrain and gives_one_size(opt.preprocess))
        self.tiling = None if opt.isTrain else Tiling(opt.tile, opt.tile_overlap, opt.tile_statistics,
                                                      number_bytes=self.precision.number_bytes)
        if opt.isTrain:
            self.schedule = LearningRate(
                opt.lr_policy, self.first_rate, self.optimizers, n_epochs=opt.n_epochs, device=self.device,
                n_epochs_decay=opt.n_epochs_decay, decay_iters=opt.lr_decay_iters, warmup=opt.warmup_epochs)
        self.input_key, self.target_key = ("A", "B") if opt.direction == "AtoB" else ("B", "A")

    @abstractmethod
    def optimize_parameters(self) -> None:
        """One update of every network on what `set_input` took. What is shown goes into `losses`, G among it.

        A model may declare it with a parameter `batch`, and return the losses."""

    @abstractmethod
    def visuals(self) -> dict[str, Tensor]:
        """Images of the last step, [B, C, H, W] in [-1, 1], by label; the next step may overwrite them."""

    @abstractmethod
    def translator(self) -> nn.Module:
        """The network that translates the input domain to the target's."""

    # ---- building

    def add_network(self, name: str, net: nn.Module) -> nn.Module:
        """Initialise a network by --init_type and --init_gain, put it on the device, keep it as `name`."""
        net = init_weights(net, self.opt.init_type, self.opt.init_gain).to(self.device)
        if self.opt.channels_last:
            weights_to_channels_last(net)
        if self.opt.isTrain and self.opt.grad_checkpoint and isinstance(net, Generator):
            net.use_checkpointing()
        self.networks[name] = net
        return net

    def add_optimizer(self, name: str, parameters: Iterable[nn.Parameter],
                      weight_decay: float = 0.0) -> torch.optim.Optimizer:
        """Adam as the options say; its learning rate, by the network's name, follows --lr_policy."""
        optimizer = torch.optim.Adam(list(parameters), lr=self.first_rate(name), fused=True,
                                     betas=(self.opt.beta1, self.opt.beta2), weight_decay=weight_decay)
        self.optimizers[name] = optimizer
        if self.over_ranks:
            self.over_ranks.watch(optimizer)
        self.schedule.add_plateau(optimizer)
        return optimizer

    def first_rate(self, name: str) -> float:
        """The learning rate at the beginning for the optimizer of that name: --lr_G, --lr_D, or else --lr."""
        return {"G": self.opt.lr_G, "D": self.opt.lr_D}.get(name[0]) or self.opt.lr

    def compile(self) -> None:
        """Let torch.compile translate the networks as they are first used."""
        for name, net in self.networks.items():
            compile_network(net, name)
        announce_first_step(self)

    def use_cuda_graph(self) -> None:
        """Let a step be launched as one CUDA graph; where that cannot be, say why in one line."""
        self.graphed = graph_for(self)

    def graph_obstacle(self) -> str:
        """Why no CUDA graph can stand for a step, in words; "" where one can.

        One can where all steps of equal `draw_choices` run the same operations on the same memory, with no
        number that the host counts. A class answers for itself alone: its subclass answers anew."""
        return ""

    def remember(self) -> list[Callable[[], None]]:
        """Functions that bring back what a step changes in place, beside weights, moments and random numbers:
        --accumulate computes it several times from one beginning. A class answers for itself alone."""
        return [remembered(buffer) for net in self.networks.values() for buffer in net.buffers()]

    # ---- training

    def data_dependent_initialize(self, sample: Callable[[], Batch]) -> None:  # noqa: B027
        """Called once before training, with a function that reads a minibatch: for what depends on one."""

    def train_step(self, batch: Batch) -> dict[str, Tensor]:
        """Take a minibatch and update every network. Returns the losses, detached scalars on the device."""
        choices, step = self.draw_choices(), self.over_ranks or self.eager_step
        self.losses = self.graphed(batch, choices) if self.graphed else step(batch)
        if self.schedule.plateaus:
            self.schedule.add_loss(self.losses["G"])
        if self.ema:
            self.ema.update(images=len(batch[self.input_key]) * ranks.world_size())
        return self.losses

    def draw_choices(self) -> tuple[Any, ...]:
        """What the host chooses for a step, at random or by counting; kept as attributes for the step."""
        return ()

    def eager_step(self, batch: Batch) -> dict[str, Tensor]:
        """All that the device does in a step. Returns the losses in the order in which they are shown."""
        self.losses, self.batch = {}, batch
        (self.micro_batches or self.run_step)(batch)
        self.precision.end_step()
        if self.auxiliary:
            self.auxiliary.check_step(self.losses, self.opt.model)
        order = [name for name in self.loss_names if name in self.losses]
        return {name: self.losses[name].detach() for name in (*order, *self.losses)}

    def run_step(self, batch: Batch) -> None:
        """Take a minibatch, or a part of one, and update every network."""
        with self.precision.autocast():
            self.set_input(batch)
            if "batch" in inspect.signature(self.optimize_parameters).parameters:
                self.losses |= self.optimize_parameters(batch) or {}
            else:
                self.optimize_parameters()

    def set_input(self, batch: Batch) -> None:
        """Put the minibatch on the device: real_A of the input domain, real_B of the target, [B, C, H, W]."""
        self.real_A = self.to_device(batch, self.input_key)
        if self.target_key in batch:        # a model of one domain has no other
            self.real_B = self.to_device(batch, self.target_key)

    def update(self, *names: str, loss: Tensor, largest_norm: float | None = None) -> None:
        """Backward into the networks of these names alone (D learns nothing from G's loss), then step them.

        largest_norm: each network's gradient is shortened to it. The sum of what generators minimise (names
        that begin with G), the losses of --auxiliary among it, is shown as the loss G. A network without an
        optimizer has nothing to learn and is passed over.
        """
        if any(name.startswith("G") for name in names):
            if self.auxiliary and "G" not in self.losses:
                loss = self.auxiliary.add_to(loss, self)
            self.losses["G"] = self.losses["G"] + loss if "G" in self.losses else loss
        if self.micro_batches:
            self.micro_batches.update(names, loss, largest_norm)
        else:
            self.precision.backward(loss, self.parameters_of(*names))
            self.step(*names, largest_norm=largest_norm)

    def step(self, *names: str, largest_norm: float | None = None) -> None:
        """Step the networks of these names on the mean over the ranks of their gradients."""
        optimizers = [self.optimizers[name] for name in names if name in self.optimizers]
        if self.over_ranks:
            self.over_ranks.average(optimizers)
        self.precision.step_all(optimizers, largest_norm)

    def output(self) -> Tensor:
        """What G makes of real_A's first images, pixel by pixel at its place: what --auxiliary looks at."""
        return self.fake_B

    def parameters_of(self, *names: str) -> list[nn.Parameter]:
        """What the optimizers of the networks of these names change."""
        return [parameter for name in names if name in self.optimizers
                for group in self.optimizers[name].param_groups for parameter in group["params"]]

    def start_epoch(self, epoch: int) -> None:
        """Set the learning rate of an epoch (from 1)."""
        self.schedule.start_epoch(epoch)

    def end_epoch(self, scores: Sequence[float] | None = None) -> None:
        """Tell --lr_policy plateau the scores of the epoch's evaluations: see LearningRate.end_epoch."""
        self.schedule.end_epoch(scores)

    def learning_rate(self) -> float:
        return self.schedule.rate

    def train(self, mode: bool) -> None:
        """Batch norm and dropout as in training (true), or by running statistics and without dropout."""
        for net in self.networks.values():
            net.train(mode)

    def describe(self, layers: bool = False) -> str:
        """The networks with their numbers of parameters, with `layers` their modules too."""
        return "\n".join(described(name, net, layers) for name, net in self.networks.items())

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
        """A batch as test.py shows it: real_A, fake_B and, where the batch has the target domain, real_B."""
        real = self.to_device(batch, self.input_key)
        images = {"real_A": real, "fake_B": self.translate(self.translator(), real)}
        if self.target_key in batch:
            images["real_B"] = self.to_device(batch, self.target_key)
        return images

    def translate(self, net: nn.Module, images: Tensor) -> Tensor:
        """net(images) at any size, in tiles where --tile says so or the images do not fit into memory."""
        return self.tiling(net, images) if self.tiling else translate(net, images)

    def weight_sets(self) -> dict[str, AbstractContextManager[None]]:
        """The weights that can translate, by what stands behind the names of their scores; to be entered."""
        return {"": nullcontext()} | ({ema.SUFFIX: self.ema.applied()} if self.ema else {})

    # ---- checkpoints

    def save_weights(self, folder: Path, label: str) -> None:
        """Write <label>_net_<name>.pth for every network, and <label>_net_<name>_ema.pth with --ema."""
        for name, net in self.networks.items():
            path = checkpoint.weights_path(folder, label, name)
            checkpoint.save_file(path, net.state_dict())
            ema.save_averages(path, self.ema and self.ema.averages.get(name))

    def load_weights(self, folder: Path, label: str) -> None:
        """Fill every network of this model from <label>_net_<name>.pth; UsageError where one does not fit.

        With --use_ema the generators are filled with their averages.
        """
        for name, net in self.networks.items():
            path = checkpoint.weights_path(folder, label, name)
            averaged = not self.opt.isTrain and self.opt.use_ema and name.startswith("G")
            checkpoint.load_weights(net, ema.existing_averages(path) if averaged else path)
        if self.ema:
            self.ema.restart()

    def state_dict(self) -> dict[str, Any]:
        """All that a run needs to go on: weights, moments, schedules, ... All ranks call it together."""
        check_agreement(self.networks)
        return {"networks": {n: net.state_dict() for n, net in self.networks.items()},
                "optimizers": {n: o.state_dict() for n, o in self.optimizers.items()},
                **self.schedule.state_dict(), "scaler": self.precision.scaler.state_dict(),
                **({"ema": self.ema.state_dict()} if self.ema else {})}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raises ValueError where the state is of other networks."""
        for name, net in self.networks.items():
            checkpoint.fill(net, state["networks"].get(name, {}), name)
        for name, optimizer in self.optimizers.items():
            load_optimizer(optimizer, state["optimizers"][name])
        self.schedule.load_state_dict(state)
        self.precision.load_scaler(state.get("scaler"))
        ema.resume(self.ema, state.get("ema"))
        if self.graphed:
            self.graphed.forget()
