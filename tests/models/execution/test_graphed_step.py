"""--cuda_graph: a step that a graph can stand for, and a training with graphs that is the one without.

Where there is no GPU, tests/recorded_graphs.py stands in for CUDA's graphs.
"""

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor

from models import create_model
from models.base_model import BaseModel
from models.cut_model import CUTModel
from models.execution.graphed_step import MOST_KINDS, WARM_UP, CudaGraphs, GraphedStep
from models.networks.base import Generator
from options.train_options import TrainOptions
from tests.formula import picture
from tests.recorded_graphs import RecordedGraphs, Recording
from util.checkpoints.training_state import TrainingState
from util.runtime.health import LossMonitor
from util.runtime.progress import Progress

# Learning rates that float32 holds exactly, as a graph's are float32: then nothing differs, on a CPU too.
SMALL = ("--netG resnet_4blocks --netD n_layers --n_layers_D 1 --ngf 2 --ndf 2 --crop_size 16 --load_size 16 "
         "--lr 0.00048828125 --pool_size 0")
CUT = f"{SMALL} --netF_nc 8 --num_patches 16"
SINCUT = ("--model sincut --ngf 2 --ndf 2 --netF_nc 8 --crop_size 16 --load_size 32 --batch_size 2 "
          "--lr 0.001953125")
SCHEDULE = "--n_epochs 1 --n_epochs_decay 7"        # factors 1, 7/8, 3/4, ...
AUXILIARY = ("--auxiliary l1=10,pyramid_l1=2,ssim=5,gradient,colour,tv,mask_l1 --dataset_mode aligned "
             "--companions mask=trainA_mask --paired_ratio 0.5")
CASES = {
    "CUT": CUT,
    "CUT, batch norm and dropout": f"{CUT} --normG batch --normD batch --no_dropout false",
    "CUT, wgangp, bf16": f"{CUT} --gan_mode wgangp --precision bf16 --channels_last",
    "CUT, grad_checkpoint": f"{CUT} --grad_checkpoint",
    "CUT, without NCE": f"{CUT} --lambda_NCE 0",
    "CUT, diffaugment, spectral norm, EMA": (
        f"{CUT} --diffaugment color,translation,cutout --spectral_norm --ema 100"),
    "CUT, two rates, hDCE and SRC": f"{CUT} --lr_D 0.0009765625 --recipe hdce_src",
    "CUT, auxiliary losses": f"{CUT} {AUXILIARY}",
    "CUT, plateau": f"{CUT} --lr_policy plateau",
    "FastCUT": f"{CUT} --CUT_mode FastCUT",
    "SinCUT": f"{SINCUT} --R1_every 3",
    "SinCUT, mirrored": f"{SINCUT} --R1_every 2 --flip_equivariance",
    "CycleGAN": f"{SMALL} --model cycle_gan",
    "GcGAN": f"{SMALL} --model gcgan",
    "EnCo": f"{SMALL} --model enco --netF_nc 8 --num_patches 16 --diffaugment color",
    "MUNIT": f"{SMALL} --model munit --crop_size 64 --load_size 64 --lr_halving_steps 5",
    # 5 / 2^13, of which two fifths are exact, too: the rate of its D_content
    "DRIT": (f"{SMALL} --model drit --crop_size 32 --load_size 32 --dis_scale 2 --batch_size 2 "
             "--lr 0.0006103515625"),
    "DCLGAN": f"{SMALL} --model dclgan --netF_nc 8 --num_patches 8 --lr_F 0.0009765625",
    "SimDCL": f"{SMALL} --model dclgan --dcl_mode simdcl --netF_nc 8 --num_patches 8 --precision bf16",
}
STEPS = 12


def build(flags: str, *, graphs: bool = False) -> BaseModel:
    torch.manual_seed(0)
    model = create_model(TrainOptions().parse(f"--dataroot x --gpu_ids -1 {SCHEDULE} {flags}".split()))
    if graphs:
        model.graphed = GraphedStep(model, RecordedGraphs())
    return model


def batch_of(model: BaseModel, step: int, size: int | None = None) -> dict:
    images, size = model.opt.batch_size, size or model.opt.crop_size
    more = {"mask": (picture(images, 1, size, size, 0.3 * step) > 0).float(),
            "paired": torch.full((images, 1, 1, 1), float(step % 2))} if model.opt.auxiliary else {}
    return {**more, "A": picture(images, 3, size, size, 0.1 * step).float(), "A_paths": [str(step)],
            "B": picture(images, 3, size, size, 0.1 * step + 2).flip(2).float(), "B_paths": [str(step)]}


def train(model: BaseModel, steps: range) -> list[dict[str, float]]:
    """Steps, three to an epoch. Returns their losses, read when all are done, as a log may do."""
    shown = []
    for step in steps:
        if step % 3 == 0:
            model.start_epoch(1 + step // 3)
        shown.append(model.train_step(batch_of(model, step)))
        if step % 3 == 2:
            model.end_epoch()
    return [{name: loss.item() for name, loss in losses.items()} for losses in shown]


def tensors(state: object, path: str = "") -> dict[str, object]:
    """The leaves of a state, by their path."""
    if isinstance(state, dict):
        items = state.items()
    elif isinstance(state, (list, tuple)):
        items = enumerate(state)
    else:
        return {path: state}
    return {name: leaf for key, value in items for name, leaf in tensors(value, f"{path}.{key}").items()}


def differing(model: BaseModel, other: BaseModel) -> list[str]:
    """What differs, in any bit or type, between what two models save."""
    a, b = tensors(model.state_dict()), tensors(other.state_dict())
    assert a.keys() == b.keys()
    return [key for key, value in a.items() if type(value) is not type(b[key]) or not (
        torch.equal(value, b[key]) and value.dtype == b[key].dtype if isinstance(value, Tensor)
        else value == b[key])]


@pytest.fixture(autouse=True)
def norms_as_on_a_gpu(monkeypatch):
    """There they do not read whether a channel is constant; no channel here is."""
    monkeypatch.setattr("models.networks.norm.without_remainder", lambda normed, x, rstd: normed)


@pytest.fixture(params=CASES)
def flags(request):
    return CASES[request.param]


# ---- the same training


def test_a_training_with_graphs_is_the_one_without(flags):
    plain, graphed = build(flags), build(flags, graphs=True)
    losses = []
    for model in (plain, graphed):
        torch.manual_seed(1)
        losses.append(train(model, range(24 if "--R1_every 2" in flags else STEPS)))
        torch.rand(3)
        losses[-1].append(torch.get_rng_state().tolist())
    assert losses[0] == losses[1]
    assert differing(plain, graphed) == []
    for label, images in plain.visuals().items():
        assert torch.equal(images, graphed.visuals()[label]), label
    assert graphed.graphed.graphs.replays >= 3


@pytest.mark.parametrize("case", ["CUT", "FastCUT", "SinCUT", "CUT, plateau"])
@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("after", [False, True])
def test_a_run_resumes_with_and_without_graphs(case, before, after, tmp_path):
    whole, first, second = (build(CASES[case], graphs=graphs) for graphs in (False, before, after))
    torch.manual_seed(1)
    train(whole, range(16))
    torch.manual_seed(1)
    train(first, range(8))
    progress = Progress(first_epoch=1, last_epoch=4)
    with TrainingState(tmp_path) as state:
        state.save("latest", first, progress)
    groups = [group for optimizer in torch.load(tmp_path / "latest_state.pth")["model"]["optimizers"].values()
              for group in optimizer["param_groups"]]
    assert all(type(group["lr"]) is float and not group["capturable"] for group in groups)
    torch.manual_seed(5)
    with TrainingState(tmp_path) as state:
        state.restore("latest", second, progress)
    train(second, range(8, 16))
    assert differing(whole, second) == []


def test_going_back_in_the_same_process_uses_no_graph_of_replaced_moments():
    plain, graphed = build(CUT), build(CUT, graphs=True)
    for model in (plain, graphed):
        torch.manual_seed(1)
        train(model, range(6))
        state = copy.deepcopy(model.state_dict())
        train(model, range(6, 9))
        model.load_state_dict(state)
        train(model, range(6, 12))
    assert differing(plain, graphed) == []


def test_a_checkpoint_does_not_change_how_an_optimizer_computes():
    model = build(CUT)
    train(model, range(2))
    state = copy.deepcopy(model.state_dict())
    for optimizer in state["optimizers"].values():
        optimizer["param_groups"][0] |= {"fused": None, "capturable": True, "lr": 0.25}
        for moments in optimizer["state"].values():
            moments["step"] = moments["step"].double()
    other = build(CUT)
    other.load_state_dict(state)
    group = other.optimizers["G"].param_groups[0]
    assert (group["fused"], group["capturable"], group["lr"]) == (True, False, 0.25)
    assert all(moments["step"].dtype == torch.float32 for moments in other.optimizers["G"].state.values())
    train(other, range(2, 3))


@pytest.mark.parametrize("on_nan", ["stop", "skip"])
def test_losses_are_watched_in_every_step(on_nan):
    """The monitor reads each step's losses on the device: it must notice the one broken minibatch."""
    model = build(CUT, graphs=True)
    monitor = LossMonitor(on_nan, model.optimizers.values())
    progress = Progress(first_epoch=1, last_epoch=4)
    for step in range(8):
        batch = batch_of(model, step)
        if step == 6:
            batch["A"] = batch["A"] * float("nan")
        losses = model.train_step(batch)
        progress.advance(images=1)
        monitor.step(progress, losses)
    assert model.graphed.graphs.replays == 5
    assert monitor._first.tolist()[monitor._names.index("G")] == 7
    finite = all(p.isfinite().all() for p in model.networks["G"].parameters())
    assert finite == (on_nan == "skip")


def test_compiled_networks_can_be_captured(monkeypatch):
    compiler = torch.compile
    monkeypatch.setattr(torch, "compile", lambda method: compiler(method, backend="aot_eager"))
    plain, graphed = build(f"{CUT} --nce_idt false"), build(f"{CUT} --nce_idt false --compile", graphs=True)
    shown = []
    for model in (plain, graphed):
        torch.manual_seed(1)
        shown.append(train(model, range(6)))
    assert graphed.graphed.graphs.replays == 3
    for name, value in shown[0][-1].items():
        assert shown[1][-1][name] == pytest.approx(value, rel=1e-3, abs=1e-3), name


# ---- kinds of steps


@pytest.mark.parametrize(("case", "choices"), [
    ("CUT", {(False,)}), ("FastCUT", {(False,), (True,)}), ("SinCUT", {(False, True), (False, False)}),
    ("SinCUT, mirrored", {(a, b) for a in (False, True) for b in (False, True)}), ("CycleGAN", {()}),
])
def test_a_graph_for_each_kind_of_step(case, choices):
    model = build(CASES[case], graphs=True)
    train(model, range(STEPS))
    kinds = model.graphed.kinds
    assert {key[0] for key in kinds} == choices
    assert all(kind.warm_ups <= WARM_UP for kind in kinds.values())
    steps = sum(kind.warm_ups for kind in kinds.values()) + model.graphed.graphs.replays
    assert steps == STEPS


def test_images_of_too_many_sizes_run_eagerly(capsys):
    plain, graphed = build(CUT), build(CUT, graphs=True)
    for model in (plain, graphed):
        torch.manual_seed(1)
        for step in range(2 * (MOST_KINDS + 2)):
            model.train_step(batch_of(model, step, size=16 + 4 * (step % (MOST_KINDS + 2))))
    assert len(graphed.graphed.kinds) == MOST_KINDS
    assert capsys.readouterr().out.count("run without a graph") == 1
    assert differing(plain, graphed) == []


def test_an_image_shown_belongs_to_its_own_step():
    """Kinds take turns: each leaves its own tensors behind."""
    plain, graphed = build(CASES["FastCUT"]), build(CASES["FastCUT"], graphs=True)
    for step in range(STEPS):
        for model in (plain, graphed):
            torch.manual_seed(step)
            model.train_step(batch_of(model, step))
        for label, images in plain.visuals().items():
            assert torch.equal(images, graphed.visuals()[label]), (step, label)
        assert torch.equal(graphed.real_A, batch_of(graphed, step)["A"])


# ---- what a capture needs


def recordings(model: BaseModel, count: int) -> dict[object, list[Recording]]:
    """Records of steps by their kind, but of the first ones; all kept, so that memory is not reused."""
    found: dict[object, list[Recording]] = {}
    seen: dict[object, int] = {}
    batch = batch_of(model, 0)
    for _ in range(100):
        choices = model.draw_choices()
        seen[choices] = seen.get(choices, 0) + 1
        if seen[choices] <= 2:
            model.eager_step(batch)
        else:
            with Recording() as recording:      # raises where the host reads
                losses = model.eager_step(batch)
            assert all(isinstance(x, Tensor) and x.ndim == 0 for x in losses.values())
            found.setdefault(choices, []).append(recording)
        if len(found) == len(seen) and all(len(records) >= count for records in found.values()):
            return found
    raise AssertionError("a kind of step never came up often enough")


def test_all_steps_of_a_kind_are_one_sequence_on_the_same_memory(flags):
    model = build(flags, graphs=True)
    with model.graphed.rates.in_use():
        kinds = recordings(model, 3)
    for records in kinds.values():
        first = records[0].sequence
        assert len(first) > 100
        for other in records[1:]:
            assert len(other.sequence) == len(first)
            for a, b in zip(first, other.sequence, strict=True):
                assert a == b


class Counting(CUTModel):
    """A weight that the host counts: no two steps are alike."""

    def compute_G_loss(self):
        self.count = vars(self).get("count", 0) + 1
        return super().compute_G_loss() * (1 + 0.1 * self.count)


def test_the_sequence_shows_what_the_host_counts():
    counting = Counting(build(CUT).opt)
    queues = build(f"{CUT} --nce_negatives both --nce_queue_size 20")
    for model in (counting, queues):
        records, = recordings(model, 2).values()
        assert records[0].sequence != records[1].sequence


def test_the_host_reading_is_found():
    class Reading(CUTModel):
        def compute_D_loss(self):
            loss = super().compute_D_loss()
            return loss if loss.item() else -loss
    with pytest.raises(RuntimeError, match="the host reads"):
        recordings(Reading(build(CUT).opt), 1)


def test_learning_rates_lie_on_the_device_during_a_step_alone():
    model = build(CUT, graphs=True)
    seen = []
    optimizer = model.optimizers["G"]
    optimizer.register_step_pre_hook(lambda *_: seen.append(dict(optimizer.param_groups[0])))
    train(model, range(7))
    assert len(seen) == WARM_UP + 1        # and no call of Python from then on
    assert all(isinstance(group["lr"], Tensor) and group["capturable"] for group in seen)
    group = optimizer.param_groups[0]
    assert type(group["lr"]) is float and not group["capturable"] and model.learning_rate() == group["lr"]


def test_the_scale_of_fp16_is_updated_within_the_step():
    plain, graphed = (build(f"{CUT} --precision fp16", graphs=on) for on in (False, True))
    for model in (plain, graphed):
        torch.manual_seed(1)
        train(model, range(9))
    assert differing(plain, graphed) == []
    names = [call[0] for call in graphed.graphed.graphs.captures[0].sequence]
    assert names.count("aten._amp_update_scale_.default") == 1


@pytest.mark.parametrize(("more", "needed"), [("", False), ("--no_dropout false", True)])
def test_checkpointing_keeps_random_states_where_a_pass_draws(more, needed, monkeypatch):
    reads = []
    plain = torch.get_rng_state
    monkeypatch.setattr(torch, "get_rng_state", lambda: reads.append(1) or plain())
    model = build(f"{CUT} --grad_checkpoint {more}")
    train(model, range(1))
    assert bool(reads) == needed


@pytest.mark.parametrize(("flags", "needed"), [(SINCUT, True), (f"{SINCUT} --netG resnet_4blocks", False)])
def test_generators_tell_whether_they_draw(flags, needed):
    net = build(flags).networks["G"]
    assert isinstance(net, Generator) and net.draws_random == needed


# ---- where there is none


def test_a_cpu_needs_one_line(capsys):
    model = build(f"{CUT} --cuda_graph")
    assert model.graphed is None
    assert capsys.readouterr().out == "--cuda_graph: the steps run without a graph, the device is cpu\n"


class Silent(CUTModel):
    pass


class Answering(CUTModel):
    def graph_obstacle(self) -> str:
        return super().graph_obstacle()


@pytest.mark.parametrize(("flags", "kind", "words"), [
    (CUT, None, ""), (CUT, Silent, "Silent does not say"), (CUT, Answering, ""), (SINCUT, None, ""),
    (f"{CUT} --nce_negatives both", None, "queues"), (CASES["CycleGAN"], None, ""),
    (f"{CASES['CycleGAN']} --pool_size 5", None, "pools"),
    (f"{SMALL} --model gcgan --pool_size 5", None, "pools"),
    (f"{SMALL} --model distance_gan", None, "earlier steps"),
])
def test_a_model_tells_why_it_runs_without(flags, kind, words, capsys, monkeypatch):
    model = build(flags)
    model = kind(model.opt) if kind else model
    monkeypatch.setattr("models.execution.graphed_step.CudaGraphs", lambda device: RecordedGraphs())
    model.device = torch.device("cuda:0")
    monkeypatch.setattr("models.execution.graphed_step.DeviceRates", lambda *_: None)
    model.use_cuda_graph()
    said = capsys.readouterr().out
    assert (model.graphed is None) == bool(words)
    assert words in said and said.count("\n") == bool(words)


class Failing(RecordedGraphs):
    """The second capture breaks off in the middle of G's update."""

    def __init__(self, model: BaseModel, last: str):
        super().__init__()
        self.model, self.last = model, last

    def capture(self, step):
        if not self.captures:
            return super().capture(step)
        state, rng = copy.deepcopy(self.model.state_dict()), torch.get_rng_state()
        optimizer = self.model.optimizers[self.last]

        def broken(*_):
            raise RuntimeError("operation not permitted when stream is capturing\nand more")
        handle = optimizer.register_step_pre_hook(broken)
        try:
            step()
        finally:            # a real capture carries nothing out
            handle.remove()
            torch.set_rng_state(rng)
            for name, net in self.model.networks.items():
                net.load_state_dict(state["networks"][name])
            for name, each in self.model.optimizers.items():
                for moments, old in zip(each.state.values(), state["optimizers"][name]["state"].values(),
                                        strict=True):
                    for key, value in moments.items():
                        value.copy_(old[key])
            if "latest_R1" in state:
                self.model.latest_R1.copy_(state["latest_R1"])


@pytest.mark.parametrize("flags", [CASES["FastCUT"], f"{CASES['FastCUT']} --precision fp16",
                                   CASES["SinCUT, mirrored"]])
@pytest.mark.parametrize("on_nan", ["stop", "skip"])
def test_a_training_goes_on_where_a_capture_fails(flags, on_nan, capsys):
    plain, graphed = build(flags), build(flags)
    graphed.graphed = GraphedStep(graphed, Failing(graphed, "G"))
    for model in (plain, graphed):
        torch.manual_seed(1)
        LossMonitor(on_nan, model.optimizers.values())
        train(model, range(18))
    assert capsys.readouterr().out == (
        "--cuda_graph: the steps run without a graph from here on, capturing one failed (operation not "
        "permitted when stream is capturing)\n")
    assert differing(plain, graphed) == [] and not graphed.graphed.kinds
    assert not any(hasattr(o, "found_inf") or hasattr(o, "grad_scale") for o in graphed.optimizers.values())


# ---- on a GPU


@pytest.mark.cuda
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("case", ["CUT", "FastCUT", "SinCUT", "CUT, grad_checkpoint", "CUT, wgangp, bf16"])
def test_cuda_graphs_train_like_eager_steps(case, precision):
    flags = f"{CASES[case]} --gpu_ids 0 --precision {precision}"
    models = []
    for more in ("", "", "--cuda_graph"):
        torch.manual_seed(0)
        models.append(create_model(TrainOptions().parse(f"--dataroot x {SCHEDULE} {flags} {more}".split())))
    shown = []
    for model in models:
        torch.manual_seed(1)
        shown.append(train(model, range(20)))
    assert not models[2].graphed.failed and any(kind.launch for kind in models[2].graphed.kinds.values())
    again, graphed = (max(abs(a[name] - b[name]) / (abs(a[name]) + 0.1) for a, b in
                          zip(shown[0], other, strict=True) for name in a) for other in shown[1:])
    # Kernels that add up in any order make two eager trainings differ already.
    assert graphed <= max(10 * again, 1e-3)


@pytest.mark.cuda
@pytest.mark.parametrize("fault", ["read", "draw"])
def test_cuda_training_goes_on_where_a_capture_fails(fault, capsys):
    class Faulty(CUTModel):
        def graph_obstacle(self) -> str:
            return ""

        def compute_D_loss(self):
            loss = super().compute_D_loss()
            return loss * (1 if fault == "draw" and torch.rand(()) < 2 or loss.item() < 1e9 else 2)
    torch.manual_seed(0)
    model = Faulty(TrainOptions().parse(f"--dataroot x --gpu_ids 0 {CUT} --cuda_graph".split()))
    model.use_cuda_graph()
    assert isinstance(model.graphed.graphs, CudaGraphs)
    losses = train(model, range(8))
    assert model.graphed.failed and "capturing one failed" in capsys.readouterr().out
    assert all(value == value for value in losses[-1].values())
    torch.rand(3, device="cuda")        # a broken capture must not keep the generator


def test_the_flag_is_recorded_and_off_by_default(tmp_path: Path):
    parse = TrainOptions().parse
    assert parse(["--gpu_ids", "-1"]).cuda_graph is False
    assert parse(["--gpu_ids", "-1", "--cuda_graph"]).parsed.asked["cuda_graph"] is True
    assert parse(["--gpu_ids", "-1", "--cuda_graph", "false"]).cuda_graph is False
