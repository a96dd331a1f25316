"""One case of benchmark.py with a checkout of the reference implementation, driven from outside.

Run in the checkout by its interpreter, which imports that program's `models` and `options`, not ours. On a
CPU `Tensor.cuda` is made to do nothing, without which it does not run there.
"""

import contextlib
import io
import json
import os
import resource
import subprocess
import sys
import time
import warnings

warnings.simplefilter("ignore")


def main() -> None:
    told = json.loads(sys.argv[1])
    sys.path.insert(0, told["checkout"])
    import torch

    torch.set_num_threads(told["threads"])
    if told["device"] == "cpu":
        torch.Tensor.cuda = lambda self, *args, **kwargs: self
    timed = {"step": steps, "epoch": epoch, "translate": translation}[told["what"]]
    with contextlib.redirect_stdout(io.StringIO()):
        seconds, images = timed(told)
    usage = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    peak = torch.cuda.max_memory_allocated() / 2**20 if told["device"] == "cuda" else usage / 1024
    with open(told["answer"], "w") as stream:
        json.dump({"seconds": seconds, "images": images, "peak_MB": peak}, stream)


def flags(told: dict) -> list:
    found = [*told["model_flags"], "--dataroot", told["dataroot"] or "none", "--name", "benchmark",
             "--crop_size", str(told["size"]), "--batch_size", str(told["batch_size"]), "--num_threads",
             str(told["num_threads"]), "--gpu_ids", "0" if told["device"] == "cuda" else "-1",
             "--checkpoints_dir", told["folder"]]
    if told["max_dataset_size"]:
        found += ["--max_dataset_size", str(told["max_dataset_size"])]
    return found


def build(told: dict, batch: dict | None):
    """Its options, and its model made ready on a first batch."""
    from models import create_model
    from options.train_options import TrainOptions

    sys.argv = ["train.py", *flags(told), "--display_id", "0"]
    opt = TrainOptions().parse()
    model = create_model(opt)
    model.data_dependent_initialize(batch or random_batch(told))
    model.setup(opt)
    return opt, model


def random_batch(told: dict) -> dict:
    import torch

    shape = told["batch_size"], 3, told["size"], told["size"]
    return {"A": torch.rand(shape) * 2 - 1, "B": torch.rand(shape) * 2 - 1, "A_paths": [], "B_paths": []}


def wait(told: dict) -> float:
    import torch

    if told["device"] == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() if told["clock"] == "wall" else sum(os.times()[:4])


def step(model, batch: dict) -> None:
    model.set_input(batch)
    model.optimize_parameters()


def steps(told: dict) -> tuple:
    """Training steps on random images that lie in memory."""
    _, model = build(told, None)
    seconds = []
    for number in range(told["warmup"] + told["steps"]):
        batch = random_batch(told)
        began = wait(told)
        step(model, batch)
        model.get_current_losses()
        if number >= told["warmup"]:
            seconds.append(wait(told) - began)
    return seconds, told["batch_size"]


def epoch(told: dict) -> tuple:
    """One epoch on the data set, reading it included; a step before warms up."""
    from data import create_dataset

    opt, model = build(told, None)
    loader = create_dataset(opt)
    loader.set_epoch(1)
    step(model, next(iter(loader)))
    began = wait(told)
    images = 0
    for batch in loader:
        step(model, batch)
        images += batch["A"].size(0)
    model.get_current_losses()
    return [wait(told) - began], images


def translation(told: dict) -> tuple:
    """Its test.py from start to end, on weights that it saved itself."""
    _, model = build(told, None)
    model.save_networks("latest")
    images = len(os.listdir(os.path.join(told["dataroot"], "testA")))
    images = min(images, told["max_dataset_size"] or images)
    code = ("import runpy, sys, torch, warnings; warnings.simplefilter('ignore'); sys.path.insert(0, '.'); "
            f"torch.set_num_threads({told['threads']}); "
            + ("torch.Tensor.cuda = lambda self, *a, **k: self; " if told["device"] == "cpu" else "")
            + "runpy.run_path('test.py', run_name='__main__')")
    command = [sys.executable, "-c", code, *flags(told), "--num_test", str(images), "--results_dir",
               told["folder"]]
    began = wait(told)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return [wait(told) - began], images


if __name__ == "__main__":
    main()
