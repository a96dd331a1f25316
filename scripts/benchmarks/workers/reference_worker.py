"""Worker of benchmark.py that times one case with a checkout of the reference implementation.

Runs in the checkout by an interpreter of its own, and imports that program's `models` and `options`, nothing
of this project. Reads its settings as JSON, writes what it measured as JSON. On a CPU `Tensor.cuda` is made
to do nothing, because the reference does not run there otherwise.
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

IN_A_ROW = 10       # steps of a GPU between two synchronisations
WARM_UP = {"cpu": 1, "cuda": 20}    # steps before an epoch


def main() -> None:
    settings = json.loads(sys.argv[1])
    sys.path.insert(0, settings["checkout"])
    import torch

    torch.set_num_threads(settings["threads"])
    if settings["device"] == "cpu":
        torch.Tensor.cuda = lambda self, *args, **kwargs: self
    timed = {"step": steps, "epoch": epoch, "translate": translation}[settings["command"]]
    with contextlib.redirect_stdout(io.StringIO()):
        seconds, images, *peak = timed(settings)
    usage = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    on_gpu = settings["device"] == "cuda"
    if not peak:
        peak = [torch.cuda.max_memory_allocated() / 2**20 if on_gpu else usage / 1024]
    # On a GPU it leaves torch's default, which rounds the factors of convolutions to TF32.
    with open(settings["answer"], "w") as stream:
        json.dump({"seconds": seconds, "images": images, "peak_MB": peak[0],
                   "precision": "tf32" if on_gpu else "fp32"}, stream)


def flags(settings: dict) -> list:
    """The flags of its train.py and test.py."""
    found = [*settings["model_flags"], "--dataroot", settings["dataroot"] or "none", "--name", "benchmark",
             "--crop_size", str(settings["size"]), "--batch_size", str(settings["batch_size"]),
             "--num_threads", str(settings["num_threads"]),
             "--gpu_ids", "0" if settings["device"] == "cuda" else "-1",
             "--checkpoints_dir", settings["folder"]]
    if settings["max_dataset_size"]:
        found += ["--max_dataset_size", str(settings["max_dataset_size"])]
    return found


def build(settings: dict, batch: dict | None):
    """Its options, and its model made ready on a first batch."""
    from models import create_model
    from options.train_options import TrainOptions

    sys.argv = ["train.py", *flags(settings), "--display_id", "0"]
    opt = TrainOptions().parse()
    model = create_model(opt)
    model.data_dependent_initialize(batch or random_batch(settings))
    model.setup(opt)
    return opt, model


def random_batch(settings: dict) -> dict:
    import torch

    shape = settings["batch_size"], 3, settings["size"], settings["size"]
    return {"A": torch.rand(shape) * 2 - 1, "B": torch.rand(shape) * 2 - 1, "A_paths": [], "B_paths": []}


def now(settings: dict) -> float:
    """Seconds when the device is done: the wall's, or of this process and its ended children."""
    import torch

    if settings["device"] == "cuda":
        torch.cuda.synchronize()
    if settings["clock"] == "wall":
        return time.perf_counter()
    spent = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return sum(usage.ru_utime + usage.ru_stime for usage in spent)


def step(model, batch: dict) -> None:
    """One training step, by the reference's own methods."""
    model.set_input(batch)
    model.optimize_parameters()


def steps(settings: dict) -> tuple:
    """Training steps on random images that lie in memory."""
    _, model = build(settings, None)
    if settings["device"] == "cuda":
        return throughput(model, settings), settings["batch_size"]
    seconds = []
    for number in range(settings["warmup"] + settings["steps"]):
        batch = random_batch(settings)
        began = now(settings)
        step(model, batch)
        model.get_current_losses()
        if number >= settings["warmup"]:
            seconds.append(now(settings) - began)
    return seconds, settings["batch_size"]


def throughput(model, settings: dict) -> list:
    """Seconds a step on a GPU, each the mean of a row of steps between two synchronisations.

    Minibatches come from pageable memory, as those of its loader do.
    """
    batches = [random_batch(settings) for _ in range(4)]
    seconds = []
    for steps in [settings["warmup"]] * bool(settings["warmup"]) + [IN_A_ROW] * settings["steps"]:
        began = now(settings)
        for number in range(steps):
            step(model, batches[number % len(batches)])
        model.get_current_losses()
        seconds.append((now(settings) - began) / steps)
    return seconds[-settings["steps"]:]


def epoch(settings: dict) -> tuple:
    """One epoch on the data set, reading it included; steps before warm up."""
    from data import create_dataset

    opt, model = build(settings, None)
    loader = create_dataset(opt)
    loader.set_epoch(1)
    first = next(iter(loader))
    for _ in range(WARM_UP[settings["device"]]):
        step(model, first)
    began = now(settings)
    images = 0
    for batch in loader:
        step(model, batch)
        images += batch["A"].size(0)
    model.get_current_losses()
    return [now(settings) - began], images


def translation(settings: dict) -> tuple:
    """Its test.py from start to end, on random weights that it saved itself."""
    _, model = build(settings, None)
    model.save_networks("latest")
    images = len(os.listdir(os.path.join(settings["dataroot"], "testA")))
    images = min(images, settings["max_dataset_size"] or images)
    peak = os.path.join(settings["folder"], "peak")
    code = ("import runpy, sys, torch, warnings; warnings.simplefilter('ignore'); sys.path.insert(0, '.'); "
            f"torch.set_num_threads({settings['threads']}); "
            + ("torch.Tensor.cuda = lambda self, *a, **k: self; " if settings["device"] == "cpu" else "")
            + "runpy.run_path('test.py', run_name='__main__'); "
            + f"open({peak!r}, 'w').write(str(torch.cuda.max_memory_allocated() / 2**20))")
    command = [sys.executable, "-c", code, *flags(settings), "--num_test", str(images), "--results_dir",
               settings["folder"]]
    began = now(settings)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seconds = [now(settings) - began]
    if settings["device"] == "cpu":
        return seconds, images
    with open(peak) as stream:
        return seconds, images, float(stream.read())


if __name__ == "__main__":
    main()
