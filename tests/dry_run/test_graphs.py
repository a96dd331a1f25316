"""--cuda_graph on a GPU that is not there: steps of one kind are one sequence, all on the GPU."""

from unittest.mock import patch

import pytest
import torch
from torch import Tensor

from models.execution import graphed_step
from tests.dry_run.cases import CASES
from tests.dry_run.pretend import CUDA, NEEDS, possible
from tests.dry_run.training import batch_of, check_values, training
from tests.recorded_graphs import RecordedGraphs, Recording

pytestmark = [pytest.mark.skipif(not possible(), reason=NEEDS),
              pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")]
TRAININGS = [
    ("CUT", "bf16", "stop"), ("CUT", "fp16", "skip"), ("CUT, grad_checkpoint", "bf16", "stop"),
    ("CUT, wgangp", "tf32", "stop"), ("CUT, hDCE and SRC", "bf16", "stop"), ("CUT, QS-Attn", "bf16", "stop"),
    ("CUT, queue of negatives", "bf16", "stop"), ("FastCUT", "bf16", "skip"),
    ("SinCUT, R1 every second step", "bf16", "stop"), ("CycleGAN", "fp32", "stop"),
    ("CycleGAN, pool", "fp32", "stop"), ("GcGAN, two generators", "fp16", "stop"),
    ("DistanceGAN", "bf16", "stop"), ("DRIT", "fp16", "skip"), ("DCLGAN", "bf16", "stop"),
    ("SimDCL", "fp16", "stop"),
]
plain_adam = torch._fused_adam_


def adam_with_a_rate_on_the_device(*args, lr: Tensor | float, **settings) -> None:
    """In place of torch._fused_adam_, which no tensor without numbers can go through with such a rate."""
    if isinstance(lr, Tensor):
        assert lr.device == CUDA and lr.dtype == torch.float32      # what the kernel reads
        lr.mul(1)       # the record shows where it is read
        lr = 1.0
    plain_adam(*args, lr=lr, **settings)


@pytest.fixture(autouse=True)
def adam(monkeypatch):
    monkeypatch.setattr(torch, "_fused_adam_", adam_with_a_rate_on_the_device)


@pytest.mark.parametrize("name, precision, on_nan", TRAININGS)
def test_a_step_fits_a_graph(name, precision, on_nan, capsys):
    """Every kind is captured and launched; another step of it, at another rate, has the same operations."""
    case = CASES[name]
    with patch.object(graphed_step, "CudaGraphs", lambda device: RecordedGraphs()), \
            training(f"{case.small(precision, on_nan)} --cuda_graph") as run:
        graphed = run.model.graphed
        if graphed is None:
            assert "--cuda_graph: the steps run without a graph, " in capsys.readouterr().out
            return
        assert not case.unlike
        for _ in range(5 * case.period):
            batch = batch_of(run.opt.batch_size, run.opt.crop_size, run.opt.crop_size)
            with run.gpu.reading_nothing():
                losses = run.model.train_step(batch)
                run.progress.advance(images=len(batch["A"]))
                run.watch.step(run.progress, losses)
            check_values(run.model, losses)
        assert not graphed.failed, capsys.readouterr().out
        kinds = list(graphed.kinds.values())
        assert len(kinds) == case.period and all(kind.launch for kind in kinds)
        recordings = [(kind, []) for kind in kinds]
        run.model.start_epoch(300)
        graphed.rates.fill()
        for _ in range(2 * case.period):
            choices = run.model.draw_choices()
            kind = next(kind for key, kind in graphed.kinds.items() if key[0] == choices)
            with graphed.rates.in_use(), run.gpu.reading_nothing(), Recording() as recording:
                run.model.eager_step(kind.batch)
            next(found for each, found in recordings if each is kind).append(recording)
        captured = graphed.graphs.captures
        for _, found in recordings:
            assert len(found) == 2 and found[0].sequence == found[1].sequence
            places = [x for operation in found[0].sequence for x in operation if isinstance(x, tuple)]
            assert {device for _, _, device, *_ in places} == {CUDA}
            assert any(found[0].sequence == capture.sequence[:len(found[0].sequence)] for capture in captured)


@pytest.mark.parametrize("name, precision", [("CUT", "bf16"), ("FastCUT", "fp16")])
def test_resumed_without_a_graph_and_with_one_again(name, precision):
    """Weights, moments and rates come back as an eager step, and as a capture, takes them."""
    case = CASES[name]
    with patch.object(graphed_step, "CudaGraphs", lambda device: RecordedGraphs()), \
            training(f"{case.small(precision, 'stop')} --cuda_graph") as run:
        def steps(run) -> None:
            for _ in range(5 * case.period):
                batch = batch_of(run.opt.batch_size, run.opt.crop_size, run.opt.crop_size)
                with run.gpu.reading_nothing():
                    losses = run.model.train_step(batch)
                check_values(run.model, losses)

        def has_graphs(run) -> bool:
            return bool(run.model.graphed) and all(k.launch for k in run.model.graphed.kinds.values())

        steps(run)
        eager = run.resume("--cuda_graph false")
        steps(eager)
        graphed = eager.resume("--cuda_graph auto")
        steps(graphed)
        assert [has_graphs(each) for each in (run, eager, graphed)] == [True, False, True]
        for each in (run, eager, graphed):
            groups = [group for o in each.model.optimizers.values() for group in o.param_groups]
            assert all(type(group["lr"]) is float and not group["capturable"] for group in groups)
