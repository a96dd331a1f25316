"""A few steps of a tiny model in float64, on one rank or as one of several, whole or in micro-batches.

    python -m tests.models.divided.training RANK RANKS STORE OUT ACCUMULATE...

is one of several ranks: it trains all cases for each --accumulate, and rank 0 writes what came out to OUT.
"""

import sys
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from data.loader import own_places
from models import create_model
from models.base_model import BaseModel
from models.execution.updates import check_agreement
from options.train_options import TrainOptions
from tests.formula import picture
from tests.models.divided.cases import CASES, Case
from util.runtime.seed import seed_everything

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
    model.start_epoch(1)
    for step in range(STEPS):
        losses = model.train_step(batch_of(model, step))
        found["losses"].append(torch.stack(list(losses.values())))
    check_agreement(model.networks)
    averages = model.ema.averages.values() if model.ema else ()
    found["weights"] = [flat(tensor for name, tensor in tensors.items() if not name.endswith("bias"))
                        for tensors in (*(net.state_dict() for net in model.networks.values()), *averages)]
    state = model.state_dict()
    kept = tensors_in({name: state[name] for name in state.keys() - {"networks", "optimizers", "ema"}})
    found["kept"] = [*kept, torch.get_rng_state()]
    return found


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
        content = [value for _, value in sorted(content.items(), key=lambda item: str(item[0]))]
    return [tensor for part in content for tensor in tensors_in(part)] if isinstance(
        content, (list, tuple)) else []


def largest_difference(one: list[Tensor], other: list[Tensor]) -> float:
    """The largest of the differences of corresponding tensors, each relative to its largest number."""
    assert [x.shape for x in one] == [x.shape for x in other]
    return max((((x.double() - y.double()).abs().max() / y.double().abs().max().clamp_min(1e-9)).item()
                for x, y in zip(one, other, strict=True) if x.numel()), default=0.0)


def main(rank: str, count: str, store: str, out: str, *accumulates: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=int(rank), world_size=int(count))
    results = {(name, accumulate): train(case, int(accumulate)) for name, case in CASES.items()
               for accumulate in accumulates if case.micro or accumulate == "1"}
    if int(rank) == 0:
        torch.save(results, out)
    dist.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
