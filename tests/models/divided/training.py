"""A few steps of a tiny model in float64, on one rank or as one of several, whole or in micro-batches.

    python -m tests.models.divided.training

prints a table: every case's largest relative difference from one rank that takes the whole minibatch.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from data.loader import own_places
from models import create_model
from models.base_model import BaseModel
from models.cut_model import CUTModel
from options.train_options import TrainOptions
from tests.formula import picture
from tests.models.divided.cases import CASES, Case
from util.runtime.seed import seed_everything

ROOT = Path(__file__).parents[3]
STEPS = 3


def train(case: Case, accumulate: int = 1) -> dict[str, list[Tensor]]:
    """What came out on all ranks alike: "gradients" of each update, "losses" of each step, "weights" of each
    network with its buffers and averages at the end, and "kept", the other tensors that the run would save.

    Biases are left out: before a norm their gradients are zero but for rounding, which Adam makes large.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        return _train(case, accumulate)
    finally:
        torch.set_default_dtype(before)


def _train(case: Case, accumulate: int) -> dict[str, list[Tensor]]:
    flags = f"--dataroot x --gpu_ids -1 --lr 0.01 --batch_size {case.batch} --accumulate {accumulate}"
    opt = TrainOptions().parse(f"{flags} {case.flags}".split())
    seed_everything(1)
    model = create_model(opt)
    found: dict[str, list[Tensor]] = {"gradients": [], "losses": []}
    for optimizer in model.optimizers.values():
        optimizer.register_step_pre_hook(
            lambda optimizer, *_: found["gradients"].append(gradient_of(optimizer)))
    draw_biases(model)
    model.start_epoch(1)
    for step in range(STEPS):
        losses = model.train_step(batch_of(model, step))
        found["losses"].append(torch.stack(list(losses.values())))
    averages = model.ema.averages.values() if model.ema else ()
    found["weights"] = [flat(tensor for name, tensor in tensors.items() if not name.endswith("bias"))
                        for tensors in (*(net.state_dict() for net in model.networks.values()), *averages)]
    state = model.state_dict()
    kept = tensors_in({name: state[name] for name in state.keys() - {"networks", "optimizers", "ema"}})
    found["kept"] = [*kept, torch.get_rng_state()]
    return found


@torch.no_grad()
def draw_biases(model: BaseModel) -> None:
    """Biases that are not 0, as after some training: else vectors of length 0 would be normalised."""
    for name, parameter in ((n, p) for net in model.networks.values() for n, p in net.named_parameters()):
        if name.endswith("bias"):
            parameter.copy_(0.1 * torch.randn_like(parameter))
    if isinstance(model, CUTModel) and model.queue:
        model.queue.momentum_update(model.netG, model.netF, momentum=0.0)
    if model.ema:
        model.ema.restart()


def batch_of(model: BaseModel, step: int) -> dict[str, Any]:
    """What the rank's loader would give: its part of the whole minibatch."""
    images, side = model.opt.batch_size, model.opt.crop_size
    whole: dict[str, Any] = {"A": picture(images, 3, side, side, 0.1 * step),
                             "B": picture(images, 3, side, side, 0.1 * step + 2).flip(2)}
    if model.opt.auxiliary:
        # more of the mask in some images than in others
        whole["mask"] = (picture(images, 1, side, side, 0.3 * step) > torch.linspace(
            -0.5, 0.5, images)[:, None, None, None]).double()
    own = own_places(images, model.opt.accumulate)
    paths = [f"{step}_{place}.png" for place in own]
    return {name: value[own] for name, value in whole.items()} | {"A_paths": paths, "B_paths": paths}


def gradient_of(optimizer: torch.optim.Optimizer) -> Tensor:
    return flat(p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None)


def flat(tensors: Any) -> Tensor:
    return torch.cat([torch.zeros(1), *(tensor.detach().double().flatten() for tensor in tensors)])


def tensors_in(content: Any) -> list[Tensor]:
    """All tensors in containers, by their place."""
    if isinstance(content, Tensor):
        return [content.clone()]
    if isinstance(content, dict):
        content = [value for name, value in sorted(content.items(), key=lambda item: str(item[0]))
                   if not str(name).endswith("bias")]
    return [tensor for part in content for tensor in tensors_in(part)] if isinstance(
        content, (list, tuple)) else []


def largest_difference(one: list[Tensor], other: list[Tensor]) -> float:
    """The largest of the differences of corresponding tensors, each relative to its largest number."""
    assert [x.shape for x in one] == [x.shape for x in other]
    return max((((x.double() - y.double()).abs().max() / y.double().abs().max().clamp_min(1e-9)).item()
                for x, y in zip(one, other, strict=True) if x.numel()), default=0.0)


# ---- several ranks

class Ranks:
    """Processes that train cases together; each case with an --accumulate."""

    def __init__(self, count: int, plan: Sequence[tuple[str, int]], folder: Path):
        self._out = folder / f"{count}.pt"
        command = [sys.executable, "-m", "tests.models.divided.training", str(folder / f"{count}.store"),
                   str(self._out), str(count), json.dumps(plan)]
        self._processes = [subprocess.Popen([*command, str(rank)], cwd=ROOT) for rank in range(count)]

    def results(self) -> dict[tuple[str, int], dict[str, list[Tensor]]]:
        """What rank 0 found: see `train`."""
        assert [process.wait() for process in self._processes] == [0] * len(self._processes)
        return torch.load(self._out)


def as_rank(store: str, out: str, count: str, plan: str, rank: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=int(rank), world_size=int(count))
    results = {(name, accumulate): train(CASES[name], accumulate) for name, accumulate in json.loads(plan)}
    if int(rank) == 0:
        torch.save(results, out)
    dist.destroy_process_group()


def print_table() -> None:
    """Gradients of three steps, relative to their network's largest. Columns: ranks x --accumulate."""
    torch.set_num_threads(1)
    columns = [(1, 2), (1, 4), (2, 1), (2, 2), (4, 1)]
    with tempfile.TemporaryDirectory() as folder:
        found = {}
        for count in (2, 4):
            plan = [(name, n) for name, case in CASES.items() for ranks, n in columns
                    if ranks == count and (case.micro or n == 1)]
            found |= {(count, *key): of for key, of in Ranks(count, plan, Path(folder)).results().items()}
    print("| model and switches |", " | ".join(f"{ranks} x {n}" for ranks, n in columns), "|")
    print("|---|" + "---|" * len(columns))
    for name, case in CASES.items():
        right, cells = train(case), []
        for ranks, n in columns:
            one = (found[ranks, name, n] if ranks > 1 else train(case, n)) if case.micro or n == 1 else None
            difference = largest_difference(one["gradients"], right["gradients"]) if one else None
            cells.append("refused" if difference is None else f"{difference:.0e}")
        print(f"| {name} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    as_rank(*sys.argv[1:]) if len(sys.argv) > 1 else print_table()
