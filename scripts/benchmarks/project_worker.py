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
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.profiler import ProfilerActivity

from data import create_loader
from models import create_model
from options.train_options import TrainOptions

Settings = dict[str, Any]           # of cases.settings
READ_EPOCHS = 3                     # of `data`; the first warms up
NOISE_SIZE = 966, 1200              # height and width of SinCUT's image where no --dataroot is given


def main() -> None:
    settings = json.loads(sys.argv[1])
    torch.set_num_threads(settings["threads"])
    timed = {"step": steps, "epoch": epoch, "translate": translation, "data": reading}[settings["command"]]
    with contextlib.redirect_stdout(io.StringIO()):
        answer = timed(settings)
    answer["peak_MB"] = peak_megabytes(settings["device"])
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
    model = create_model(TrainOptions().parse(command_line(settings)))
    shape = settings["batch_size"], 3, settings["size"], settings["size"]

    def step() -> float:
        batch = {domain: torch.rand(shape) * 2 - 1 for domain in "AB"}
        began = now(settings)
        wait_for(model.train_step(batch))
        return now(settings) - began

    seconds = [step() for _ in range(settings["warmup"] + settings["steps"])][settings["warmup"]:]
    answer = {"seconds": seconds, "images": settings["batch_size"]}
    return answer | ({"operations": operations(step, settings["device"])} if settings["profile"] else {})


def wait_for(losses: dict[str, torch.Tensor]) -> None:
    """Read the losses, as printing them does."""
    torch.stack(list(losses.values())).tolist()


def operations(step: Callable[[], Any], device: str) -> list[dict[str, Any]]:
    """Where the time of a step goes: torch's operations without those they call, the longest first."""
    kinds = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device == "cuda" else [])
    with torch.profiler.profile(activities=kinds) as profiler:
        step()
    field = "self_device_time_total" if device == "cuda" else "self_cpu_time_total"
    found = [{"operation": row.key, "calls": row.count, "seconds": getattr(row, field) / 1e6}
             for row in profiler.key_averages()]
    return sorted(found, key=lambda row: -row["seconds"])


def epoch(settings: Settings) -> dict[str, Any]:
    """One epoch on the data set, reading it included; a step before warms up."""
    opt = TrainOptions().parse(command_line(settings))
    loader, model = create_loader(opt), create_model(opt)
    model.train_step(next(iter(loader)))
    loader.set_epoch(2)
    images, began = 0, now(settings)
    for batch in loader:
        losses = model.train_step(batch)
        images += len(batch["A"])
    wait_for(losses)
    return {"seconds": [now(settings) - began], "images": images}


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
    results = Path(settings["folder"], "results")
    command = [sys.executable, str(Path(settings["checkout"], "test.py")),
               *command_line(settings, results_dir=results)]
    began = now(settings)
    subprocess.run(command, check=True, cwd=settings["folder"], stdout=subprocess.DEVNULL)
    return {"seconds": [now(settings) - began], "images": len(list(results.rglob("fake_B/*.png")))}


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
