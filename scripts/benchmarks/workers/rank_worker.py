"""Worker of benchmark.py scaling: one rank, or a process by itself, that times steps on random images."""

import json
import sys
import time
from pathlib import Path

import torch

from models import create_model
from options.train_options import TrainOptions
from util.distributed import ranks
from util.distributed.together import together
from util.errors import run_command
from util.runtime.seed import seed_everything


def main() -> None:
    settings = json.loads(sys.argv[1])
    words = ["--dataroot", "none", "--name", "benchmark", "--checkpoints_dir", settings["folder"],
             "--crop_size", str(settings["size"]), "--load_size", str(settings["size"]),
             "--batch_size", str(settings["batch_size"] * settings["ranks"]),
             "--gpu_ids", "auto" if settings["device"] == "cuda" else "-1", *settings["flags"].split()]
    with together() as others:
        opt = TrainOptions().parse(words)
        if others:
            others.join(opt)
        seed_everything(opt.seed)
        model = create_model(opt)
        batch = {domain: torch.rand(settings["batch_size"], 3, settings["size"], settings["size"]) * 2 - 1
                 for domain in "AB"}
        seconds = []
        for _ in range(settings["warmup"] + settings["steps"]):
            began = time.perf_counter()
            for loss in model.train_step(batch).values():
                float(loss)                 # waits for the device
            seconds.append(time.perf_counter() - began)
        if ranks.is_main():
            Path(settings["answer"]).write_text(json.dumps(seconds[settings["warmup"]:]))


if __name__ == "__main__":
    run_command(main)
