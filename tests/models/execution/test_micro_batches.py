"""--accumulate: what is refused, how often a step is run, in which memory, and what it leaves behind."""

import gc

import pytest
import torch
from torch import nn

from models import create_model
from models.base_model import BaseModel
from models.cut_model import CUTModel
from models.execution import micro_batches
from models.execution.graphed_step import graph_for
from models.execution.micro_batches import BrokenOff, split
from options.train_options import TrainOptions
from scripts.benchmarks.memory import peak_bytes
from tests.adversarial import batch_of
from tests.models.divided.cases import CASES
from util.distributed import ranks
from util.errors import UsageError

SMALL = ("--dataroot x --gpu_ids -1 --netG resnet_4blocks --netD n_layers --n_layers_D 1 --ngf 2 --ndf 2 "
         "--crop_size 16 --load_size 16 --netF_nc 8 --num_patches 8 --batch_size 4 --init_gain 0.3")


def build(flags: str) -> BaseModel:
    torch.manual_seed(0)
    return create_model(TrainOptions().parse(f"{SMALL} {flags}".split()))


@pytest.mark.parametrize("flags, named", [
    ("--normG batch", "network G"), ("--normD batch", "network D"), ("--model enco", "network F")])
def test_batch_norms_are_refused(flags, named):
    flags = flags if "enco" not in flags else "--model enco --nce_sampling random"
    with pytest.raises(UsageError, match=f"--accumulate 2 .*{named} takes statistics"):
        build(f"{flags} --accumulate 2")


def test_a_minibatch_that_cannot_be_divided_is_refused():
    with pytest.raises(UsageError, match="--batch_size 4 .* --accumulate 3 cannot divide .* multiple of 3"):
        build("--accumulate 3")


def test_drit_halves_each_part():
    with pytest.raises(UsageError, match="--batch_size 4 is of 4 parts .* multiple of 8"):
        create_model(TrainOptions().parse("--dataroot x --gpu_ids -1 --model drit --crop_size 36 "
                                          "--dis_scale 1 --batch_size 4 --accumulate 4".split()))


def test_a_model_that_does_not_say_what_it_keeps_is_refused():
    class Other(CUTModel):
        pass

    opt = TrainOptions().parse(f"{SMALL} --accumulate 2".split())
    with pytest.raises(UsageError, match="--accumulate 2 runs parts of a step again, but Other does not say"):
        micro_batches.check_accumulate(opt, Other(opt))


@pytest.mark.parametrize("count, runs", [(2, 3), (4, 7)])
def test_a_step_of_cut_is_run_for_each_update_but_once_by_the_last(count, runs, monkeypatch):
    model = build(f"--accumulate {count}")
    sizes = []
    plain = model.run_step
    monkeypatch.setattr(model, "run_step", lambda batch: (sizes.append(len(batch["A"])), plain(batch)))
    model.train_step(batch_of(4))
    assert sizes == [4 // count] * runs


def test_a_step_holds_the_activations_of_one_micro_batch(monkeypatch):
    """When G begins, nothing of an earlier pass is left that has a graph."""
    model = build("--accumulate 2")
    left = []

    def count_graphs(*_):
        gc.collect()
        left.append(sum(type(x) is torch.Tensor and x.ndim == 4 and x.grad_fn is not None
                        for x in gc.get_objects()))

    model.train_step(batch_of(4))
    before = len(left)
    plain = model.netG.forward_with_features
    monkeypatch.setattr(model.netG, "forward_with_features", lambda *args: (count_graphs(), plain(*args))[1])
    model.train_step(batch_of(4, step=1))
    assert before == 0 and len(left) == 3 and max(left[1:]) <= left[0], left


@pytest.mark.parametrize("name, events", [
    ("FastCUT", 2), ("CUT, queue alone", 3), ("CycleGAN", 2), ("CycleGAN, pools", 3),
    ("SelfDistance", 3), ("DistanceGAN, pool", 4), ("DRIT", 2)])
def test_passes_of_a_step(name, events, monkeypatch):
    """As docs/distributed.md lists them: each micro-batch for each need of all, but the last goes on."""
    case = CASES[name]
    model = create_model(TrainOptions().parse(
        f"--dataroot x --gpu_ids -1 --batch_size {case.batch} --accumulate 2 {case.flags}".split()))
    runs, plain = [], model.run_step
    monkeypatch.setattr(model, "run_step", lambda batch: (runs.append(1), plain(batch)))
    model.train_step(batch_of(case.batch, side=model.opt.crop_size))
    assert len(runs) == events + 1
    if name == "DRIT":      # a whole step is the second of two
        model.train_step(batch_of(case.batch, side=model.opt.crop_size))
        assert len(runs) == events + 1 + 7 + 1


def test_a_step_takes_the_memory_of_one_micro_batch():
    """Counted bytes: of one image, of four in four micro-batches, and of four at once."""
    flags = "--netG resnet_4blocks --ngf 4 --ndf 4 --netF_nc 8 --num_patches 16 --nce_layers 0,4,8"
    one, parts, four = (peak_bytes(f"{flags} {more}", 64, batch) for more, batch in (
        ("", 1), ("--batch_size 4 --accumulate 4", 4), ("--batch_size 4", 4)))
    assert parts < 1.25 * one and four > 3.5 * one


@pytest.mark.parametrize("ranks_there, micro, reason", [
    (2, None, "several ranks share their gradients"), (1, object(), "--accumulate breaks a step off")])
def test_no_graph_stands_for_a_divided_step(ranks_there, micro, reason, monkeypatch, capsys):
    class OnAGPU:
        device, micro_batches = torch.device("cuda", 0), micro

        def graph_obstacle(self) -> str:
            return ""

    monkeypatch.setattr(ranks, "world_size", lambda: ranks_there)
    assert graph_for(OnAGPU()) is None
    assert f"--cuda_graph: the steps run without a graph, {reason}" in capsys.readouterr().out


def test_attributes_are_those_of_the_last_run_and_losses_are_means():
    model, whole = build("--accumulate 2"), build("")
    torch.manual_seed(1)
    losses = model.train_step(batch_of(4))
    torch.manual_seed(1)
    right = whole.train_step(batch_of(4))
    assert list(losses) == list(right) and len(model.batch["A"]) == 4
    for name in right:
        torch.testing.assert_close(losses[name], right[name], rtol=1e-4, atol=1e-6)
    assert all(p.grad is None for net in model.networks.values() for p in net.parameters())


def test_fp16_scales_and_skips_as_on_the_whole_minibatch():
    """The scale at the start overflows fp16: both leave the update out, and halve it."""
    model, whole = build("--accumulate 2 --precision fp16"), build("--precision fp16")
    for one in (model, whole):
        one.precision.scaler.load_state_dict({**one.precision.scaler.state_dict(), "scale": 2.0 ** 60})
        before = {name: net.state_dict() for name, net in one.networks.items()}
        before = {name: {k: v.clone() for k, v in state.items()} for name, state in before.items()}
        one.train_step(batch_of(4))
        assert all(torch.equal(v, before[name][k]) for name, net in one.networks.items()
                   for k, v in net.state_dict().items())
    assert model.precision.scaler.get_scale() == whole.precision.scaler.get_scale() < 2.0 ** 60


def test_a_minibatch_is_split_with_its_paths_and_companions():
    batch = {"A": torch.arange(4), "A_paths": list("abcd"), "mask": torch.ones(4, 1), "epoch": 3}
    first, second = split(batch, 2, 4)
    assert first["A_paths"] == ["a", "b"] and second["A"].tolist() == [2, 3]
    assert second["mask"].shape == (2, 1)
    assert first["epoch"] == second["epoch"] == 3


def test_no_handler_of_errors_takes_a_broken_off_run_for_one():
    assert not issubclass(BrokenOff, Exception)


def test_weights_that_a_graph_still_needs_are_noticed():
    """As in a plain step, a loss through the old G raises after its update."""
    class Stale(CUTModel):
        def remember(self):
            return super().remember()

        def optimize_parameters(self):
            self.forward()
            self.update("G", loss=self.fake_B.mean())
            self.update("F", loss=nn.functional.mse_loss(self.netG(self.fake_B), self.real_A))
            self.update("G", loss=self.fake_B.square().mean())

    opt = TrainOptions().parse(f"{SMALL} --accumulate 2".split())
    model = Stale(opt)
    model.micro_batches = micro_batches.MicroBatches(model, 2)
    with pytest.raises(RuntimeError):
        model.train_step(batch_of(4))
