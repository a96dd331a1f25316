"""Worker of benchmark.py that times one case with this project, or with an older checkout of it.

The checkout is on PYTHONPATH. This file uses only what every version has: TrainOptions, create_model,
create_loader and train_step. Reads its settings as JSON, writes what it measured as JSON.
"""

import contextlib
import io
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity

from data import create_loader
from models import create_model
from options.train_options import TrainOptions

Settings = dict[str, Any]           # of cases.settings
READ_EPOCHS = 3                     # of `data`; the first warms up
NOISE_SIZE = 966, 1200              # height and width of SinCUT's image where no --dataroot is given
IN_A_ROW = 10                       # steps of a GPU between two synchronisations
WARM_UP = {"cpu": 1, "cuda": 20}    # steps before an epoch
# How lines begin that tell what became of a flag: whether it came to nothing, how long it took.
FLAGS_THAT_SAY = ("--compile: ", "--cuda_graph: ")
MINIBATCHES = 4                     # that a GPU's steps take by turns
# Runs test.py, whose command line follows the file's name; writes the most that CUDA had allocated for it.
TEST = """
import pathlib, runpy, sys
peak, sys.argv = sys.argv[1], sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
import torch
pathlib.Path(peak).write_text(str(torch.cuda.max_memory_allocated() / 2**20))
"""


def main() -> None:
    settings = json.loads(sys.argv[1])
    torch.set_num_threads(settings["threads"])
    timed = {"step": steps, "epoch": epoch, "translate": translation, "data": reading}[settings["command"]]
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        answer = timed(settings)
    answer["said"] = [line for line in output.getvalue().splitlines() if line.startswith(FLAGS_THAT_SAY)]
    answer.setdefault("peak_MB", peak_megabytes(settings["device"]))
    Path(settings["answer"]).write_text(json.dumps(answer))


def command_line(settings: Settings, **more: Any) -> list[str]:
    flags = {"dataroot": settings["dataroot"] or "none", "precision": settings["precision"],
             "crop_size": settings["size"], "batch_size": settings["batch_size"],
             "num_threads": settings["num_threads"], "name": "benchmark",
             "gpu_ids": "0" if settings["device"] == "cuda" else "-1",
             "checkpoints_dir": settings["folder"]} | more
    if settings["max_dataset_size"]:
        flags["max_dataset_size"] = settings["max_dataset_size"]
    pairs = [str(part) for name, value in flags.items() for part in (f"--{name}", value)]
    return [*settings["model_flags"], *pairs, *settings["flags"].split()]


def now(settings: Settings) -> float:
    """Seconds when the device is done: the wall's, or of this process and its ended children."""
    if settings["device"] == "cuda":
        torch.cuda.synchronize()
    if settings["clock"] == "wall":
        return time.perf_counter()
    spent = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return sum(usage.ru_utime + usage.ru_stime for usage in spent)


def steps(settings: Settings) -> dict[str, Any]:
    """Training steps on random images that lie in memory; with `profile` the operations of one more."""
    torch.manual_seed(0)
    opt = TrainOptions().parse(command_line(settings))
    model = create_model(opt)
    timed = throughput if settings["device"] == "cuda" else latency
    answer = {"seconds": timed(model, settings), "images": settings["batch_size"], "precision": opt.precision}
    if settings["profile"]:
        batch = random_batch(settings)
        answer["operations"] = operations(lambda: wait_for(model.train_step(batch)), settings["device"])
    return answer


def random_batch(settings: Settings) -> dict[str, torch.Tensor]:
    shape = settings["batch_size"], 3, settings["size"], settings["size"]
    return {domain: torch.rand(shape) * 2 - 1 for domain in "AB"}


def latency(model: Any, settings: Settings) -> list[float]:
    """Seconds of each step, from the minibatch to the losses."""
    def step() -> float:
        batch = random_batch(settings)
        began = now(settings)
        wait_for(model.train_step(batch))
        return now(settings) - began

    return [step() for _ in range(settings["warmup"] + settings["steps"])][settings["warmup"]:]


def throughput(model: Any, settings: Settings) -> list[float]:
    """Seconds a step on a GPU, each the mean of a row of steps between two synchronisations.

    As in training, the host runs ahead of the GPU, minibatches come from pinned memory, and losses are read
    once in a while.
    """
    batches = cycle([{domain: images.pin_memory() for domain, images in random_batch(settings).items()}
                     for _ in range(MINIBATCHES)])

    def row(steps: int) -> float:
        began = now(settings)
        for _ in range(steps):
            losses = model.train_step(next(batches))
        wait_for(losses)
        return (now(settings) - began) / steps

    if settings["warmup"]:
        row(settings["warmup"])
    return [row(IN_A_ROW) for _ in range(settings["steps"])]


def wait_for(losses: dict[str, torch.Tensor]) -> None:
    """Read the losses, as printing them does."""
    torch.stack(list(losses.values())).tolist()


def operations(step: Callable[[], Any], device: str) -> list[dict[str, Any]]:
    """Where the time of a step goes: torch's operations without those they call, the longest first.

    On a GPU the profiler lists every kernel twice, by itself and as the time of the operation that started
    it: operations are taken, or kernels where no operation started them, as in the replay of a CUDA graph.
    """
    kinds = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device == "cuda" else [])
    with torch.profiler.profile(activities=kinds) as profiler:
        step()
    return longest_first(profiler.key_averages(), device)


def longest_first(rows: Iterable[Any], device: str) -> list[dict[str, Any]]:
    """The profiler's rows, each second once."""
    field = "self_device_time_total" if device == "cuda" else "self_cpu_time_total"
    started, kernels = [], []
    for row in rows:
        one = {"operation": row.key, "calls": row.count, "seconds": getattr(row, field) / 1e6}
        if row.device_type == DeviceType.CPU:
            started.append(one)
        elif not row.is_user_annotation:    # a named range, which lasts as long as its kernels
            kernels.append(one)
    totals = [sum(one["seconds"] for one in each) for each in (started, kernels)]
    return sorted(kernels if totals[0] < totals[1] / 2 else started, key=lambda one: -one["seconds"])


def epoch(settings: Settings) -> dict[str, Any]:
    """One epoch on the data set, reading it included; steps before warm up."""
    opt = TrainOptions().parse(command_line(settings))
    loader, model = create_loader(opt), create_model(opt)
    first = next(iter(loader))
    for _ in range(WARM_UP[settings["device"]]):
        model.train_step(first)
    loader.set_epoch(2)
    images, began = 0, now(settings)
    for batch in loader:
        losses = model.train_step(batch)
        images += len(batch["A"])
    wait_for(losses)
    return {"seconds": [now(settings) - began], "images": images, "precision": opt.precision}


def reading(settings: Settings) -> dict[str, Any]:
    """Reading `items` of every epoch and nothing else: the second epoch and those behind it, seconds each.

    SinCUT without a data set reads crops of noise, since only the image's size matters.
    """
    if settings["dataroot"] is None:
        settings = settings | {"dataroot": paint_noise(Path(settings["folder"], "noise"))}
    loader = create_loader(TrainOptions().parse(command_line(settings)))
    batches = settings["items"] and -(-settings["items"] // settings["batch_size"])
    seconds = []
    for number in range(1, READ_EPOCHS + 1):
        loader.set_epoch(number)
        began = now(settings)
        images = sum(len(batch["A"]) for batch in islice(loader, batches))
        seconds.append(now(settings) - began)
    return {"seconds": seconds[1:], "images": images}


def paint_noise(folder: Path) -> str:
    """Make a data set of one image of noise for each domain; returns its folder."""
    for number, domain in enumerate("AB"):
        (folder / f"train{domain}").mkdir(parents=True)
        pixels = np.random.default_rng(number).integers(0, 256, (*NOISE_SIZE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"train{domain}" / "noise.png", compress_level=1)
    return str(folder)


def translation(settings: Settings) -> dict[str, Any]:
    """test.py as a user runs it, from its start to its end; the weights are random."""
    opt = TrainOptions().parse(command_line(settings))
    create_model(opt).save_weights(Path(opt.checkpoints_dir) / opt.name, "latest")
    results, peak = Path(settings["folder"], "results"), Path(settings["folder"], "peak")
    on_gpu = settings["device"] == "cuda"
    command = [sys.executable, *(["-c", TEST, str(peak)] if on_gpu else []),
               str(Path(settings["checkout"], "test.py")), *command_line(settings, results_dir=results)]
    began = now(settings)
    subprocess.run(command, check=True, cwd=settings["folder"], stdout=subprocess.DEVNULL)
    answer = {"seconds": [now(settings) - began], "images": len(list(results.rglob("fake_B/*.png"))),
              "precision": opt.precision}
    return answer | ({"peak_MB": float(peak.read_text())} if on_gpu else {})


def peak_megabytes(device: str) -> float:
    """The most memory at a time: what CUDA had allocated, or was resident of this process or a child."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    processes = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    # In bytes on macOS, in KiB elsewhere.
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return max(resource.getrusage(who).ru_maxrss for who in processes) / unit


if __name__ == "__main__":
    main()
