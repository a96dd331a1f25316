"""One case of benchmark.py with this program: reads what to time as JSON, writes the seconds as JSON."""

import contextlib
import io
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from torch.profiler import ProfilerActivity  # noqa: E402

from data import create_loader  # noqa: E402
from data.image_folder import find_images  # noqa: E402
from models import create_model  # noqa: E402
from options.train_options import TrainOptions  # noqa: E402


def main() -> None:
    told = json.loads(sys.argv[1])
    torch.set_num_threads(told["threads"])
    timed = {"step": steps, "epoch": epoch, "translate": translation, "data": data}[told["what"]]
    with contextlib.redirect_stdout(io.StringIO()):
        answer = dict(zip(("seconds", "images", "operations"), timed(told), strict=False))
    answer["peak_MB"] = peak_megabytes(told["device"])
    Path(told["answer"]).write_text(json.dumps(answer))


def options(told: dict[str, Any], **more: Any) -> list[str]:
    """The command line."""
    flags = {"dataroot": told["dataroot"] or "none", "precision": told["precision"],
             "crop_size": told["size"], "batch_size": told["batch_size"], "num_threads": told["num_threads"],
             "name": "benchmark",
             "gpu_ids": "0" if told["device"] == "cuda" else "-1", "checkpoints_dir": told["folder"]} | more
    if told["max_dataset_size"]:
        flags["max_dataset_size"] = told["max_dataset_size"]
    pairs = [str(part) for name, value in flags.items() for part in (f"--{name}", value)]
    return [*told["model_flags"], *pairs, *told["flags"].split()]


def wait(told: dict[str, Any]) -> float:
    """Seconds when the device is done: the wall's, or of this process and its ended children."""
    if told["device"] == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() if told["clock"] == "wall" else sum(os.times()[:4])


def steps(told: dict[str, Any]) -> tuple:
    """Training steps on random images that lie in memory; with `profile` the operations of one more."""
    torch.manual_seed(0)
    model = create_model(TrainOptions().parse(options(told)))
    shape = told["batch_size"], 3, told["size"], told["size"]

    def step() -> float:
        batch = {side: torch.rand(shape) * 2 - 1 for side in "AB"}
        began = wait(told)
        losses = model.train_step(batch)
        torch.stack(list(losses.values())).tolist()
        return wait(told) - began

    seconds = [step() for _ in range(told["warmup"] + told["steps"])][told["warmup"]:]
    return (seconds, told["batch_size"], *([operations(step, told["device"])] if told["profile"] else []))


def operations(step: Callable[[], Any], device: str) -> list[dict[str, Any]]:
    """Where the time of a step goes: torch's operations without those they call, the longest first."""
    kinds = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device == "cuda" else [])
    with torch.profiler.profile(activities=kinds) as profiler:
        step()
    field = "self_device_time_total" if device == "cuda" else "self_cpu_time_total"
    found = [{"operation": row.key, "calls": row.count, "seconds": getattr(row, field) / 1e6}
             for row in profiler.key_averages()]
    return sorted(found, key=lambda row: -row["seconds"])


def epoch(told: dict[str, Any]) -> tuple[list[float], int]:
    """One epoch on the data set, reading it included; a step before warms up."""
    opt = TrainOptions().parse(options(told))
    loader, model = create_loader(opt), create_model(opt)
    model.train_step(next(iter(loader)))
    loader.set_epoch(2)
    began = wait(told)
    for batch in loader:
        losses = model.train_step(batch)
    torch.stack(list(losses.values())).tolist()
    return [wait(told) - began], loader.images_per_epoch


def data(told: dict[str, Any]) -> tuple[list[float], int]:
    """Reading epochs of the data set and nothing else: the second and those behind it, seconds each."""
    loader = create_loader(TrainOptions().parse(options(told)))
    seconds = []
    for number in range(1, 3 + 1):
        loader.set_epoch(number)
        began = wait(told)
        for _ in loader:
            pass
        seconds.append(wait(told) - began)
    return seconds[1:], loader.images_per_epoch


def translation(told: dict[str, Any]) -> tuple[list[float], int]:
    """test.py as a user runs it, from its start to its end; the weights are random."""
    opt = TrainOptions().parse(options(told))
    create_model(opt).save_weights(Path(opt.checkpoints_dir) / opt.name, "latest")
    command = [sys.executable, str(ROOT / "test.py"), *options(told, results_dir=told["folder"])]
    images = min(len(find_images(f"{told['dataroot']}/testA")), told["max_dataset_size"] or 10**9)
    began = wait(told)
    subprocess.run(command, check=True, cwd=told["folder"], stdout=subprocess.DEVNULL)
    return [wait(told) - began], images


def peak_megabytes(device: str) -> float:
    """The most memory at a time: what CUDA had allocated, or was resident of this process or a child."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    processes = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    return max(resource.getrusage(who).ru_maxrss for who in processes) / 1024


if __name__ == "__main__":
    main()
