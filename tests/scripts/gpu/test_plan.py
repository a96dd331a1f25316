"""The plan of a report: what is timed on a GPU, in which order, and within which time."""

from argparse import Namespace

from options.train_options import TrainOptions
from scripts.benchmarks.cases import MODELS
from scripts.gpu.plan import PARTS, changed_flags, gpu_plan, rehearsal_plan

GPU = Namespace(precision="bf16", channels_last=False, compile=False, cuda_graph=False)
FORMATS = ("fp32", "tf32", "bf16", "fp16")


def names(auto: Namespace = GPU, reference: bool = False) -> list[str]:
    return [timing.name for timing in gpu_plan(10, auto, FORMATS, reference).timings]


def test_the_most_important_come_first_and_nothing_twice():
    found = names()
    assert found[:3] == [f"CUT auto{flags}, batch 1" for flags in ("", " --cuda_graph", " --channels_last")]
    assert len(found) == len(set(found))
    assert {f"CUT {name}, batch 1" for name in ("fp32", "tf32", "fp16")} <= set(found)
    for batch in (1, 4, 16):
        assert {f"CUT auto{flags}, batch {batch}" for flags in (
            "", " --cuda_graph", " --channels_last", " --compile", " --compile --cuda_graph")} <= set(found)
        assert {f"epoch CUT auto, batch {batch}", f"translate CUT auto, batch {batch}"} <= set(found)
    assert {"FastCUT auto, batch 1", "SinCUT auto, batch 16", "CycleGAN auto, batch 1"} <= set(found)
    assert not any("reference" in name for name in found)


def test_the_reference_is_timed_at_every_batch():
    found = names(reference=True)
    assert found[1] == "CUT reference, batch 1"
    assert {"CUT reference, batch 4", "CUT reference, batch 16", "epoch CUT reference, batch 1"} <= set(found)


def test_choices_are_turned_round_and_unknown_flags_left_out():
    without = Namespace(precision="fp32", channels_last=True, compile=False)
    assert changed_flags(without) == ["--channels_last false", "--compile"]
    assert changed_flags(GPU) == ["--cuda_graph", "--channels_last", "--compile"]
    assert not any("graph" in name for name in names(without))


def test_what_auto_turned_on_is_timed_without_it():
    auto = Namespace(precision="bf16", channels_last=False, compile=False, cuda_graph=True)
    found = names(auto)
    assert found[1] == "CUT auto --cuda_graph false, batch 1"
    assert "CUT auto --compile --cuda_graph false, batch 1" in found


def test_parts_end_in_their_order_and_within_the_time():
    for plan in (gpu_plan(10, GPU, FORMATS, False), rehearsal_plan(10)):
        ends = [plan.until[part] for part in PARTS]
        assert ends == sorted(ends) and ends[-1] < 1
    shares = gpu_plan(10, GPU, FORMATS, False).until
    assert 60 * 10 * (shares["training"] - shares["speed"]) > 270       # about five minutes


def test_every_flag_of_the_plans_is_one_of_train_py():
    """Read by the parser itself, on the CPU: a plan with a flag that is none would fail on the GPU alone."""
    place = ["--dataroot", "none", "--gpu_ids", "-1"]
    for plan in (gpu_plan(10, GPU, FORMATS, False), rehearsal_plan(10)):
        for flags in [*plan.agreement.values(), *plan.memory, plan.train_flags]:
            TrainOptions().parse([*flags.split(), *place])
        known = {"--cuda_graph"} - {f"--{name}" for name in vars(TrainOptions().parse(place))}
        for timing in plan.timings:
            if not known & set(timing.flags.split()):
                TrainOptions().parse([*MODELS[timing.model].split(), *timing.flags.split(), *place])
