"""Worker of gpu_report.py: how far a step on the device lies from the same step in float64 on the CPU.

Both steps start from the same weights and images and draw the same random numbers. Compared are the losses,
the gradients of each network, and the change of all weights. Reads its settings as JSON; writes a line of
JSON for each model and number format as soon as it is known.
"""

import contextlib
import io
import json
import random
import sys
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from models import create_model  # noqa: E402
from models.base_model import BaseModel  # noqa: E402
from models.cut_model import CUTModel  # noqa: E402
from options.train_options import TrainOptions  # noqa: E402

SEED = 5
SCALE = 2.0**16     # the first that fp16's losses are multiplied by, as in training
TRIES = 8           # scales of fp16, each a sixteenth of the one before it
SMALLEST = 0.01     # losses below count as this large in a relative difference
# Format -> largest difference that passes, relative: of a loss, of a network's gradients. Wide enough for
# rounding through forty layers (a CPU's bf16 gives 0.4), too narrow for a gradient that is wrong.
LIMITS = {"fp32": (1e-3, 2e-2), "tf32": (1e-2, 0.3), "fp16": (2e-2, 0.5), "bf16": (5e-2, 0.6)}


class Step(NamedTuple):
    """What a step gave: losses, gradients and changes by network, all as float64 on the CPU; fp16's scale."""

    losses: dict[str, float]
    gradients: dict[str, Tensor]    # [number of weights] each
    changes: dict[str, Tensor]
    scale: float


class DrawnOnCPU(TorchFunctionMode):
    """While entered, random tensors come from the CPU's generator in float32, for whatever device."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if function in (torch.rand_like, torch.randn_like):
            like, plain = args[0], torch.rand if function is torch.rand_like else torch.randn
            return plain(like.shape, dtype=torch.float32).to(like)
        if function in (torch.rand, torch.randn):
            dtype = kwargs.pop("dtype", None) or torch.float32
            device = kwargs.pop("device", None) or "cpu"
            return function(*args, **kwargs, dtype=torch.float32).to(device, dtype)
        return function(*args, **kwargs)


def main() -> None:
    settings = json.loads(sys.argv[1])
    for name, flags in settings["models"].items():
        with contextlib.redirect_stdout(io.StringIO()):
            exact = float64_step(flags)
        for precision in settings["precisions"]:
            with contextlib.redirect_stdout(io.StringIO()):
                row = compare(device_step(flags, settings["device"], precision), exact)
            with open(settings["answer"], "a") as stream:
                print(json.dumps({"model": name, "precision": precision, **row,
                                  "agrees": agrees(row, precision)}), file=stream)


def build(flags: str, device: str, precision: str) -> BaseModel:
    """A model of these flags of train.py, with weights that depend on nothing else."""
    torch.manual_seed(SEED)
    place = ["--dataroot", "none", "--name", "none", "--gpu_ids", "0" if device == "cuda" else "-1"]
    model = create_model(TrainOptions().parse([*flags.split(), *place, "--precision", precision]))
    if isinstance(model, CUTModel):
        model.identity_first = False    # the passes of a GPU, and their order, on a CPU as well
    return model


def float64_step(flags: str) -> Step:
    model = build(flags, "cpu", "fp32")
    for net in model.networks.values():
        net.double()
    return train(model, torch.float64)


def device_step(flags: str, device: str, precision: str) -> Step:
    """The step from the CPU's weights; in fp16 with the first scale at which no gradient overflows."""
    weights = {name: net.state_dict() for name, net in build(flags, "cpu", "fp32").networks.items()}
    for attempt in range(TRIES):
        model = build(flags, device, precision)
        for name, net in model.networks.items():
            net.load_state_dict(weights[name])
        if not model.precision.scaler.is_enabled():
            return train(model, torch.float32)
        scale = SCALE / 16**attempt
        model.precision.scaler = torch.amp.GradScaler(device, init_scale=scale)
        step = train(model, torch.float32)
        if model.precision.scaler.get_scale() == scale:
            return step._replace(scale=scale)
    raise RuntimeError(f"{precision}: gradients overflow even at a scale of {scale}")


def train(model: BaseModel, dtype: torch.dtype) -> Step:
    """One step on images of noise, of the sizes that the model's options say."""
    opt, images = model.opt, torch.Generator().manual_seed(SEED)
    shape = opt.batch_size, 3, opt.crop_size, opt.crop_size
    batch = {domain: (torch.rand(shape, generator=images) * 2 - 1).to(dtype) for domain in "AB"}
    before = {name: flat(net.parameters()) for name, net in model.networks.items()}
    torch.manual_seed(SEED)
    random.seed(SEED)
    with DrawnOnCPU():
        losses = {name: float(loss) for name, loss in model.train_step(batch).items()}
    changes = {name: flat(net.parameters()) - before[name] for name, net in model.networks.items()}
    gradients = {name: gradient(optimizer) for name, optimizer in model.optimizers.items()}
    return Step(losses, gradients, changes, scale=1.0)


def flat(tensors: Any) -> Tensor:
    parts = [tensor.detach().to("cpu", torch.float64).flatten() for tensor in tensors]
    return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.float64)


def gradient(optimizer: torch.optim.Optimizer) -> Tensor:
    """The gradients of an optimizer's first step: its mean of them is (1 - beta1) times the first.

    Weights that the step does not use have none, and count as zeros.
    """
    group, = optimizer.param_groups
    moments = [optimizer.state[parameter].get("exp_avg", torch.zeros_like(parameter))
               for parameter in group["params"]]
    return flat(moments) / (1 - group["betas"][0])


def compare(step: Step, exact: Step) -> dict[str, Any]:
    """The largest relative differences with the name of the loss or network, and the changes' correlation.

    The first change that Adam makes is nearly the sign of the gradient, so weights whose gradient is zero but
    for rounding, such as a bias ahead of a norm, go either way in any format.
    """
    losses = {name: abs(step.losses[name] - value) / max(abs(value), SMALLEST)
              for name, value in exact.losses.items()}
    gradients = {name: float((step.gradients[name] - value).norm() / value.norm())
                 for name, value in exact.gradients.items()}
    one, other = flat(step.changes.values()), flat(exact.changes.values())
    worst = [max(values, key=nan_last(values)) for values in (losses, gradients)]
    return {"loss": losses[worst[0]], "of_loss": worst[0], "gradient": gradients[worst[1]],
            "of_network": worst[1], "changes": float(one @ other / one.norm() / other.norm()),
            "scale": step.scale}


def nan_last(values: dict[str, float]) -> Any:
    """A key for max that takes NaN for the largest."""
    return lambda name: values[name] if values[name] == values[name] else float("inf")


def agrees(row: dict[str, Any], precision: str) -> bool:
    loss, gradients = LIMITS[precision]
    return row["loss"] <= loss and row["gradient"] <= gradients


if __name__ == "__main__":
    main()
