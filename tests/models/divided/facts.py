"""What two ranks find when they do small things together; `python -m` this module is one of them.

Each function's result, which JSON can hold, is written by rank 0; it gets this rank's number.
"""

import json
import sys
from argparse import Namespace
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

import models.networks.parts as parts
from models import create_model
from models.base_model import BaseModel
from models.cut_model import CUTModel
from models.execution.over_ranks import check_agreement, gather, total
from models.networks.norm import BatchNorm
from models.networks.parts import Division
from options.train_options import TrainOptions
from tests.adversarial import batch_of
from tests.reference_files import dropped_in
from util.distributed import ranks
from util.errors import RunError

SMALL = ("--dataroot x --gpu_ids -1 --netG resnet_4blocks --netD n_layers --n_layers_D 1 --ngf 2 --ndf 2 "
         "--crop_size 16 --load_size 16 --batch_size 2")
CUT = f"{SMALL} --netF_nc 8 --num_patches 8"


def parse(flags: str) -> Namespace:
    torch.manual_seed(0)
    return TrainOptions().parse(flags.split())


def step(model: BaseModel, rank: int) -> dict[str, float]:
    """A training step on images of the rank's own."""
    batch = batch_of(1, step=rank) | {"A_paths": ["a.png"], "B_paths": ["b.png"]}
    return {name: loss.item() for name, loss in model.train_step(batch).items()}


def said(model: BaseModel) -> str:
    """How the ranks' networks agree, in words."""
    try:
        check_agreement(model.networks)
    except RunError as error:
        return str(error)
    return "agree"


class Stepping(CUTModel):
    """Goes backward and steps by itself, past BaseModel.update."""

    def optimize_parameters(self) -> None:
        self.forward()
        self.losses["G"] = self.compute_G_loss()
        self.precision.backward(self.losses["G"], self.parameters_of("G", "F"))
        for name in ("G", "F"):
            self.precision.step(self.optimizers[name])
            self.optimizers[name].zero_grad(set_to_none=True)


class Forgetting(CUTModel):
    """Updates G by an optimizer that nobody knows of."""

    def __init__(self, opt: Namespace):
        super().__init__(opt)
        self.own = torch.optim.SGD(self.netG.parameters(), lr=0.1)

    def optimize_parameters(self) -> None:
        self.forward()
        self.losses["G"] = (self.fake_B - self.real_B).square().mean()
        self.losses["G"].backward()
        self.own.step()


def a_model_that_updates(rank: int) -> str:
    model = CUTModel(parse(CUT))
    step(model, rank)
    return said(model)


def a_model_that_steps_by_itself(rank: int) -> str:
    model = Stepping(parse(CUT))
    step(model, rank)
    return said(model)


def a_model_that_forgets(rank: int) -> list[str]:
    """What is said when its state is asked for, on rank 0 and on rank 1."""
    model = Forgetting(parse(CUT))
    step(model, rank)
    try:
        model.state_dict()
        mine = 0
    except RunError as error:
        mine = 1 if "network G are not the same on all ranks" in str(error) else 0
    return [f"ranks that say so: {int(ranks.gather(torch.tensor([mine])).sum())}", said(model)]


def a_model_of_the_reference_form(rank: int) -> str:
    with dropped_in():
        model = create_model(parse(f"{SMALL} --model plain --pool_size 0"))
        model.data_dependent_initialize(lambda: batch_of(1) | {"A_paths": ["a.png"], "B_paths": ["b.png"]})
        for _ in range(2):
            step(model, rank)
        return said(model)


def one_bit(rank: int) -> list[str]:
    """Weights that differ in the last bit of one number, or in the order of two, on one rank."""
    last, order = nn.Linear(3, 3), nn.Linear(3, 3)
    for parameter in (*last.parameters(), *order.parameters()):
        nn.init.constant_(parameter, 0.5)
    with torch.no_grad():
        if rank == 1:
            last.weight[1, 1] = torch.nextafter(torch.tensor(0.5), torch.tensor(1.0))
        order.weight[0, rank] = 2.0
    found = []
    for net in (last, order):
        try:
            check_agreement({"equal": nn.Identity(), "G": net})
            found.append("agree")
        except RunError as error:
            found.append(str(error))
    return found


def losses_are_means(rank: int) -> list[list[float]]:
    """G's loss as shown on each rank, and what each rank's images alone give."""
    model, alone = (CUTModel(parse(f"{CUT} --lambda_NCE 0 --nce_idt false --init_gain 1")) for _ in range(2))
    shown = step(model, rank)["G_GAN"]
    alone.set_input(batch_of(1, step=rank))
    alone.losses = {}
    alone.forward()
    alone.update("D", loss=alone.compute_D_loss())
    mine = alone.compute_G_loss().item()
    return [ranks.gather(torch.tensor([number])).tolist() for number in (shown, mine)]


def an_overflow_on_one_rank(rank: int) -> list[float]:
    """In fp16, infinite images on rank 1 alone: the scale after the step, and whether all weights stayed."""
    model = CUTModel(parse(f"{CUT} --precision fp16"))
    before = [p.detach().clone() for net in model.networks.values() for p in net.parameters()]
    batch = batch_of(1)
    model.train_step({name: images * (1 if rank == 0 else float("inf")) for name, images in batch.items()})
    stayed = all(torch.equal(p, b) for p, b in zip(
        (p for net in model.networks.values() for p in net.parameters()), before, strict=True))
    scale = model.precision.scaler.get_scale()
    return [scale, ranks.highest(scale), float(stayed), ranks.highest(1 - float(stayed))]


def batch_norm(rank: int) -> list[float]:
    """Largest differences from torch's on the whole: output, statistics, first and second gradients."""
    torch.manual_seed(2)
    images = torch.randn(4, 3, 2, 2, dtype=torch.float64)
    weights = torch.randn(4, 3, 2, 2, dtype=torch.float64)
    ours, theirs = BatchNorm(3).double(), nn.BatchNorm2d(3).double()
    share = ranks.share(4)
    found = []
    for norm, part in ((ours, share), (theirs, slice(None))):
        x = images[part].clone().requires_grad_()
        with parts.divided(Division(2, rank, 2, gather, total)) if norm is ours else nullcontext():
            y = norm(x)
            loss = (y.square() * weights[part]).mean()
            gradient, = torch.autograd.grad(loss, x, create_graph=True)
            scale = 1 if norm is theirs else 0.5        # of one rank's part in the mean over all images
            second, = torch.autograd.grad((gradient * scale).square().sum(), x)
        own = share if norm is theirs else slice(None)
        found.append([y.detach()[own], norm.running_mean, norm.running_var, gradient.detach()[own] * scale,
                      second[own]])
    return [float((a - b).abs().max()) for a, b in zip(*found, strict=True)]


FACTS = (a_model_that_updates, a_model_that_steps_by_itself, a_model_that_forgets,
         a_model_of_the_reference_form, one_bit, losses_are_means, an_overflow_on_one_rank, batch_norm)


def threads() -> list[str]:
    """The names of this process's threads, where the system tells them."""
    return [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]


def main(store: str, out: str, rank: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=int(rank), world_size=2)
    found: dict[str, Any] = {"threads_of_the_group": [name for name in threads() if "gloo" in name]}
    found |= {fact.__name__: fact(int(rank)) for fact in FACTS}
    dist.destroy_process_group()
    found["threads_left"] = [name for name in threads() if "gloo" in name]
    if int(rank) == 0:
        Path(out).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
