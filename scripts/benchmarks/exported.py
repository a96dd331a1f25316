"""Time exported generators beside the run's own on the CPU: `scripts/benchmark.py exported`."""

import statistics
import time
from argparse import Namespace
from collections.abc import Callable, Mapping

import torch

from models.exported_model import OfFile, load_generator
from models.translator import Translator
from scripts.exporting.generator import choose
from scripts.exporting.parity import image_batch

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def compare_files(args: Namespace) -> str:
    """A table: PyTorch and each file, seconds for one image, and how many times PyTorch's that is."""
    torch.set_num_threads(args.threads)
    chosen = choose(Translator.load(args.run, device="cpu", precision="fp32").model, None)
    image = image_batch(1, chosen.in_channels, args.size, args.size, torch.Generator().manual_seed(0))
    networks = {"PyTorch": chosen.net}
    networks |= {path.name: OfFile(load_generator(path, torch.device("cpu"))) for path in args.files}
    seconds = time_by_turns({name: lambda net=net: net(image) for name, net in networks.items()}, args.rounds,
                            CLOCKS[args.clock])
    head = (f"{chosen.name} of {args.run}, one image of {args.size}x{args.size}, {args.threads} threads, "
            f"{args.clock} clock, {args.rounds} rounds")
    return "\n".join([head, *rows(seconds)])


@torch.inference_mode()
def time_by_turns(calls: Mapping[str, Callable[[], object]], rounds: int,
                  clock: Callable[[], float]) -> dict[str, list[float]]:
    """Seconds of each call, by name, `rounds` of them; one call of each goes ahead and does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds + 1):
        for name, call in calls.items():
            start = clock()
            call()
            seconds[name].append(clock() - start)
    return {name: times[1:] for name, times in seconds.items()}


def rows(seconds: Mapping[str, list[float]]) -> list[str]:
    """A line each: median seconds; median, smallest and largest ratio to the first of the same round."""
    first, *_ = seconds.values()
    lines = []
    for name, times in seconds.items():
        ratios = [one / other for one, other in zip(times, first, strict=True)]
        lines.append(f"{name:<28} {statistics.median(times):8.3f} s   x {statistics.median(ratios):.2f} "
                     f"({min(ratios):.2f} to {max(ratios):.2f})")
    return lines
