"""Time SinCUT: crops per second of the loader in one process, seconds and memory of a training step.

    python scripts/benchmark_singleimage.py
    python scripts/benchmark_singleimage.py --dataroot ./datasets/single_image_monet_etretat --batch_size 8

Flags of train.py --model sincut are understood. Without --dataroot two images of noise of 1200x966 pixels
serve, since only their size matters. OMP_NUM_THREADS chooses the number of threads of a step on a CPU.
"""

import argparse
import resource
import statistics
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from data import create_loader  # noqa: E402
from models import create_model  # noqa: E402
from options.train_options import TrainOptions  # noqa: E402
from util.errors import run_command  # noqa: E402
from util.runtime.seed import seed_everything  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=1600, help="crops (of both sides) loaded a run")
    parser.add_argument("--runs", type=int, default=5, help="runs of the loader")
    parser.add_argument("--steps", type=int, default=5, help="training steps timed, after a first; 0: none")
    known, flags = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        if "--dataroot" not in flags:
            flags += ["--dataroot", folder]
            paint_noise(Path(folder))
        opt = TrainOptions().parse(["--model", "sincut", *flags, "--num_threads", "0"])
        seed_everything(opt.seed)
        report(f"loader, {known.items} items a run", [1 / t for t in time_loader(opt, known)], "items/s")
        if known.steps:
            threads = f"{torch.get_num_threads()} threads" if opt.device.type == "cpu" else str(opt.device)
            report(f"step, batch {opt.batch_size}, {threads}", time_steps(opt, known.steps), "s")
            print(f"memory: {peak_memory(opt.device) / 2**30:.2f} GiB at its peak")


def paint_noise(folder: Path) -> None:
    for number, side in enumerate("AB"):
        (folder / f"train{side}").mkdir()
        pixels = np.random.default_rng(number).integers(0, 256, (966, 1200, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"train{side}" / "noise.png", compress_level=1)


def time_loader(opt: Namespace, known: Namespace) -> list[float]:
    """Seconds an item of each run, in one thread."""
    loader, threads = create_loader(opt), torch.get_num_threads()
    torch.set_num_threads(1)
    batches = -(-known.items // opt.batch_size)

    def load(run: int) -> None:
        loader.set_epoch(run + 1)
        for _ in islice(loader, batches):
            pass

    load(0)
    seconds = [timed(lambda run=run: load(run)) / (batches * opt.batch_size) for run in range(known.runs)]
    torch.set_num_threads(threads)
    return seconds


def time_steps(opt: Namespace, steps: int) -> list[float]:
    """Seconds of each step."""
    model, batch = create_model(opt), next(iter(create_loader(opt)))

    def step() -> None:
        losses = model.train_step(batch)
        losses["G"].item()  # waits for the device

    step()
    return [timed(step) for _ in range(steps)]


def timed(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def peak_memory(device: torch.device) -> int:
    """Bytes: of the device where it is a GPU, otherwise of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def report(what: str, values: list[float], unit: str) -> None:
    print(f"{what}: {statistics.median(values):.4g} {unit} (median of {len(values)}; "
          f"{min(values):.4g} to {max(values):.4g})", flush=True)


if __name__ == "__main__":
    run_command(main)
