"""--compile: the same numbers and checkpoint keys, and a training that goes on where compiling fails."""

import pytest
import torch
from functorch.compile import make_boxed_func
from torch import nn
from torch._dynamo.backends.common import aot_autograd

from models import create_model
from models.execution.compiled import Compiled, compile_network
from options.train_options import TrainOptions

SMALL = "--dataroot x --gpu_ids -1 --netG resnet_4blocks --ngf 4 --ndf 4 --crop_size 24 --load_size 24"


def model(flags: str = ""):
    torch.manual_seed(0)
    return create_model(TrainOptions().parse([*SMALL.split(), *flags.split()]))


@pytest.fixture
def eager_backend(monkeypatch):
    """torch.compile that traces but leaves out the slow compiler behind it."""
    compiler = torch.compile
    monkeypatch.setattr(torch, "compile", lambda method: compiler(method, backend="aot_eager"))


@pytest.mark.parametrize("flags", ["", "--channels_last", "--normG batch --normD batch"])
def test_every_pass_is_one_graph(flags):
    nets = model(flags).networks
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    for method, *inputs in ((nets["G"].forward_with_features, (0, 4, 8)), (nets["G"].encode, (0, 4, 8)),
                            (nets["D"].forward,)):
        torch._dynamo.reset()
        torch.compile(method, backend=backend)(torch.rand(2, 3, 24, 24), *inputs)
        assert len(graphs) == 1
        graphs.clear()


@pytest.mark.parametrize("flags", ["", "--gan_mode wgangp", "--grad_checkpoint --precision bf16"])
def test_same_losses_and_keys(eager_backend, capsys, flags):
    images = torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(1)) * 2 - 1
    plain, compiled = model(flags), model(f"{flags} --compile")
    assert {name: list(net.state_dict()) for name, net in plain.networks.items()} == {
        name: list(net.state_dict()) for name, net in compiled.networks.items()}
    losses = []
    for net in (plain, compiled):
        torch.manual_seed(0)
        losses.append(net.train_step({"A": images, "B": images.flip(2)}))
    for name, value in losses[0].items():
        assert float(losses[1][name]) == pytest.approx(float(value), rel=1e-3, abs=1e-3), name
    said = capsys.readouterr().out
    assert "--compile: the first step took" in said and "failed" not in said


def test_failing_compiler_costs_one_line(monkeypatch, capsys):
    def fails(method):
        def compiled(*args):
            raise RuntimeError("no compiler here\nand more")
        return compiled
    monkeypatch.setattr(torch, "compile", fails)
    double = Compiled(lambda x: 2 * x, "netG")
    assert [double(3), double(4)] == [6, 8]
    line = "--compile: netG runs uncompiled, torch.compile failed (no compiler here)\n"
    assert capsys.readouterr().out == line


def test_a_backward_that_cannot_be_compiled_costs_one_line(monkeypatch, capsys):
    """torch compiles a backward when it first runs, in the middle of a step, unless told otherwise."""
    def fails(module, inputs):
        raise RuntimeError("no backward here")

    backend = aot_autograd(fw_compiler=lambda module, inputs: make_boxed_func(module.forward),
                           bw_compiler=fails)
    compiler = torch.compile
    monkeypatch.setattr(torch, "compile", lambda method: compiler(method, backend=backend))
    net = nn.Linear(2, 1)
    compile_network(net, "F")
    net(torch.tensor([[3.0, 4.0]])).sum().backward()
    assert net.weight.grad.tolist() == [[3, 4]]
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and "netF runs uncompiled" in said and "no backward here" in said


def test_too_little_memory_is_no_failure_to_compile(monkeypatch, capsys):
    def compiled(*args):
        raise torch.OutOfMemoryError("CUDA out of memory")
    monkeypatch.setattr(torch, "compile", lambda method: compiled)
    double = Compiled(lambda x: 2 * x, "netG")
    with pytest.raises(torch.OutOfMemoryError):
        double(3)
    assert "uncompiled" not in capsys.readouterr().out


def test_an_error_of_the_network_itself_comes_through(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda method: method)
    with pytest.raises(RuntimeError):
        Compiled(nn.Linear(2, 2), "netF")(torch.zeros(1, 3))


@pytest.mark.cuda
@pytest.mark.parametrize("flags", ["", "--model cycle_gan", "--gan_mode wgangp", "--channels_last"])
def test_compiles_on_a_gpu(flags, capsys):
    net = create_model(TrainOptions().parse([*SMALL.replace("-1", "0").split(), *flags.split(), "--compile"]))
    for _ in range(3):
        losses = net.train_step({side: torch.rand(1, 3, 24, 24) * 2 - 1 for side in "AB"})
    assert all(torch.isfinite(value) for value in losses.values())
    assert "failed" not in capsys.readouterr().out
