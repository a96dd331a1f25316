"""Backward passes in Python beside torch's own, on a CPU with numbers: the same operations and results."""

from collections import Counter

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from models import create_model
from options.train_options import TrainOptions
from tests.dry_run import engine
from tests.dry_run.cases import CASES
from tests.dry_run.pretend import STAND_INS, standing_in
from tests.dry_run.record import Record

IN_PYTHON = [thing for thing in STAND_INS if thing[0] in (torch.autograd, torch._C)]


def stepped(flags: str, in_python: bool) -> tuple[Record, list[Tensor]]:
    """The record of a second step, and all weights after it."""
    torch.manual_seed(0)
    opt = TrainOptions().parse(["--dataroot", "none", "--gpu_ids", "-1", *flags.split()])
    model = create_model(opt)
    batch = {domain: torch.rand(opt.batch_size, 3, opt.crop_size, opt.crop_size) for domain in "AB"}
    with standing_in(IN_PYTHON if in_python else []):
        model.train_step(batch)
        with Record(batch, counts="cpu") as record:
            model.train_step(batch)
    return record, [p for net in model.networks.values() for p in net.parameters()]


def names(record: Record) -> Counter:
    """Operations by name; in place or not is one."""
    return Counter(name.replace("_.", ".") for name, *_ in record.sequence)


@pytest.mark.parametrize("name, precision", [
    ("CUT, grad_checkpoint", "bf16"), ("CUT, wgangp", "fp32"), ("SinCUT", "bf16"), ("CycleGAN", "fp32")])
def test_as_torch_does(name, precision):
    """To the bit, by the same operations.

    torch copies a gradient into .grad while someone looks on, and hands it over else, as here. Products with
    matrices that need no gradient are left out there (R1, of two linear layers) and not here.
    """
    flags = CASES[name].small(precision, "stop")
    (ours, weights), (torchs, expected) = stepped(flags, True), stepped(flags, False)
    assert all(map(torch.equal, weights, expected))
    more, fewer = names(ours) - names(torchs), names(torchs) - names(ours)
    assert more == (Counter({"aten.mm.default": 4}) if name == "SinCUT" else Counter())
    assert set(fewer) == {"aten.copy.default"} and fewer.total() <= len(weights)
    assert ours.flop == torchs.flop and sum(ours.flop.values()) > 0


def test_gradients_of_gradients():
    x = torch.tensor([0.5, -2.0], dtype=torch.float64, requires_grad=True)
    first, = engine.grad(x ** 3, x, torch.ones_like(x), create_graph=True)
    second, = engine.grad(first.sum(), x)
    assert torch.equal(first, 3 * x ** 2) and torch.equal(second, 6 * x)


def test_leaves_add_up_what_arrives():
    x = torch.ones(3, requires_grad=True)
    y = x * 2
    engine.backward((y * y).sum() + x.sum())        # d/dx (4 x^2 + x) = 8 x + 1
    assert x.grad.tolist() == [9, 9, 9]
    engine.backward(x.sum())
    assert x.grad.tolist() == [10, 10, 10]


def test_wanted_leaves_alone_learn():
    x, w = torch.ones(3, requires_grad=True), torch.ones(3, requires_grad=True)
    engine.backward((x * w).sum(), inputs=[w])
    assert x.grad is None and w.grad.tolist() == [1, 1, 1]


def test_unwanted_weights_of_a_convolution_cost_nothing():
    """As in torch: 2 * 25 places * 9 weights for x's gradient, once and not twice."""
    conv = nn.Conv2d(1, 1, 3, padding=1)
    x = torch.rand(1, 1, 5, 5, requires_grad=True)
    y = conv(x).sum()
    with Record(counts="cpu") as record:
        engine.grad(y, x)
    assert record.flop == {torch.float32: 450}


def test_inputs_that_are_not_in_the_graph():
    x, other = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    assert engine.grad(x.sum(), [other], allow_unused=True) == (None,)
    with pytest.raises(RuntimeError, match="allow_unused"):
        engine.grad(x.sum(), [other])


def test_a_checkpointed_layer_runs_twice_and_no_more():
    calls = []

    def layer(x: Tensor) -> Tensor:
        calls.append(1)
        return (x.exp() * x).sin().sum()

    x = torch.ones(3, requires_grad=True)
    y = checkpoint(layer, x, use_reentrant=False)
    with standing_in(IN_PYTHON):
        y.backward()
    assert len(calls) == 2
    mine, x.grad = x.grad, None
    layer(x).backward()
    assert torch.equal(mine, x.grad)
