"""What gpu_report.py runs: at the sizes of a training on a GPU, or at small ones as a rehearsal on a CPU."""

from argparse import Namespace
from dataclasses import dataclass
from typing import NamedTuple

from scripts.benchmarks.memory import CASES

# Small networks that a CPU's core trains in a moment.
TINY = "--netG resnet_4blocks --ngf 8 --ndf 8"
TINY_CUT = f"{TINY} --netF_nc 32 --nce_layers 0,4,8 --num_patches 16"
TINY_SINCUT = "--netG smallstylegan2 --ngf 2 --ndf 2 --netF_nc 32"


class Timing(NamedTuple):
    """A case of scripts/benchmark.py. what: step, epoch or translate; flags: more of train.py's."""

    what: str
    model: str
    batch: int
    precision: str = "auto"
    flags: str = ""

    @property
    def name(self) -> str:
        shown = f"{self.model} {self.precision} {self.flags}".strip()
        return f"{'' if self.what == 'step' else self.what + ' '}{shown}, batch {self.batch}"


@dataclass(frozen=True)
class Plan:
    """Every size of a report. until: part -> by which share of all the time it has to end."""

    device: str
    minutes: float
    precisions: tuple[str, ...]                 # compared with float64
    agreement: dict[str, str]                   # model -> flags
    timings: list[Timing]                       # the most important first
    timing_flags: dict[str, str]                # model -> flags in all its timings
    timing_size: int | None                     # pixels; None: the model's own
    steps: int                                  # timed in each case; on a GPU ten times as many
    epoch_images: int                           # that an epoch and a translation read
    memory: tuple[str, ...]                     # flags
    memory_sizes: tuple[int, int]
    memory_batches: tuple[int, ...]
    train_flags: str
    made: tuple[int, int]                       # number and size of made images
    until: dict[str, float]
    rows: float = float("inf")                  # of stats.jsonl, after which the training has shown enough


LEFT_TO_AUTO = "--cuda_graph auto"      # what train.py does not leave to `auto` by itself
PARTS = ("tests", "agreement", "memory", "speed", "training")
# Half of the time is the training's; what a part does not use is left to those behind it.
ON_A_GPU = dict(zip(PARTS, (0.09, 0.18, 0.24, 0.5, 0.97), strict=True))
REHEARSED = dict.fromkeys(PARTS, 0.97)      # bounded by its sizes: how busy a machine is, nobody knows

def gpu_plan(minutes: float, auto: Namespace, precisions: tuple[str, ...], reference: bool) -> Plan:
    """auto: options of train.py on this GPU, with what `auto` stands for filled in. precisions: the GPU's."""
    side = "--crop_size 128 --load_size 128"
    return Plan(
        device="cuda", minutes=minutes, precisions=precisions,
        agreement={"CUT": side, "FastCUT": f"--CUT_mode FastCUT {side}",
                   "SinCUT": "--model sincut --batch_size 4", "CycleGAN": f"--model cycle_gan {side}"},
        timings=gpu_timings(auto, precisions, reference), timing_flags={}, timing_size=None, steps=5,
        epoch_images=200, memory=CASES, memory_sizes=(128, 256), memory_batches=(1, 4),
        train_flags=f"--save_latest_freq 500 --evaluation_freq 0 --display_id 0 {LEFT_TO_AUTO}",
        made=(200, 256), until=ON_A_GPU)


def gpu_timings(auto: Namespace, precisions: tuple[str, ...], reference: bool) -> list[Timing]:
    """CUT as `auto` runs it, then one choice changed at a time, then larger minibatches and other models."""
    changes = changed_flags(auto)
    quick = [flags for flags in changes if "--compile" not in flags]
    slow = [flags for flags in changes if "--compile" in flags]
    slow += [f"{compiled} {graph}" for compiled in slow for graph in quick if "--cuda_graph" in graph]
    cut = [Timing("step", "CUT", 1), *([Timing("step", "CUT", 1, "reference")] if reference else []),
           *(Timing("step", "CUT", 1, flags=flags) for flags in quick),
           *(Timing("step", "CUT", 1, name) for name in precisions if name != auto.precision),
           Timing("epoch", "CUT", 1), Timing("translate", "CUT", 1), Timing("step", "CUT", 4)]
    cut += [Timing("step", "CUT", 1, flags=flags) for flags in slow]
    for batch in (4, 16):
        cut += [Timing("step", "CUT", batch, flags=flags) for flags in ("", *quick)]
    cut += [Timing("step", "FastCUT", 1), Timing("step", "SinCUT", 16), Timing("step", "CycleGAN", 1)]
    for batch in (4, 16):
        cut += [Timing("step", "CUT", batch, flags=flags) for flags in slow]
        cut += [Timing("step", "CUT", batch, "reference")] * reference
        cut += [Timing("epoch", "CUT", batch), Timing("translate", "CUT", batch)]
    if reference:
        cut += [Timing(what, "CUT", 1, "reference") for what in ("epoch", "translate")]
    return list(dict.fromkeys(cut))


def changed_flags(auto: Namespace) -> list[str]:
    """Each choice of `auto` the other way round, as flags; --cuda_graph only where train.py knows it."""
    known = vars(auto)
    names = [name for name in ("cuda_graph", "channels_last", "compile") if name in known]
    return [f"--{name} false" if known[name] else f"--{name}" for name in names]


def rehearsal_plan(minutes: float) -> Plan:
    side = "--crop_size 32 --load_size 32"
    return Plan(
        device="cpu", minutes=minutes, precisions=("fp32", "bf16"),
        agreement={"CUT": f"{TINY_CUT} {side}", "FastCUT": f"--CUT_mode FastCUT {TINY_CUT} {side}",
                   "SinCUT": f"--model sincut {TINY_SINCUT} --crop_size 16 --load_size 32 --batch_size 2",
                   "CycleGAN": f"--model cycle_gan {TINY} {side}"},
        timings=[Timing("step", "CUT", 1), Timing("step", "CUT", 1, "bf16"),
                 Timing("step", "CUT", 4, flags="--channels_last"), Timing("epoch", "CUT", 1),
                 Timing("translate", "CUT", 1)],
        timing_flags={"CUT": f"{TINY_CUT} --load_size 36"}, timing_size=32, steps=5, epoch_images=4,
        memory=(f"--precision fp32 {TINY_CUT}",), memory_sizes=(32, 64), memory_batches=(1, 4),
        train_flags=(f"{TINY_CUT} --crop_size 32 --load_size 36 --num_threads 0 --print_freq 1 "
                     "--save_latest_freq 4 --evaluation_freq 0 --display_id 0"),
        made=(8, 40), until=REHEARSED, rows=40)
