"""Worker of gpu_report.py: the memory that training takes of a GPU, beside what docs/performance.md computes.

Reads its settings as JSON; writes a line of JSON for each set of flags and minibatch as soon as it is known.
"""

import contextlib
import io
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from models import create_model  # noqa: E402
from options.train_options import TrainOptions  # noqa: E402
from scripts.benchmarks.memory import line  # noqa: E402

GPU = "0"       # of --gpu_ids
STEPS = 4       # after the first; FastCUT mirrors half of them
MIB = 2**20


def main() -> None:
    settings = json.loads(sys.argv[1])
    small, large = settings["sizes"]
    for flags in settings["flags"]:
        base, slope = line(flags, (small, large))
        for batch in settings["batches"]:
            row = {"flags": flags, "batch": batch, "computed": (base + slope * batch * large**2) / MIB}
            if settings["device"] == "cuda":
                row |= measured(flags, large, batch)
            with open(settings["answer"], "a") as stream:
                print(json.dumps(row), file=stream)


def measured(flags: str, size: int, batch: int) -> dict[str, Any]:
    """MiB: in any step but the first, in all of them, and what the allocator took from the GPU."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        place = ["--dataroot", "none", "--name", "none", "--checkpoints_dir", folder, "--gpu_ids", GPU,
                 "--load_size", str(size), "--crop_size", str(size), "--batch_size", str(batch)]
        try:
            model = create_model(TrainOptions().parse([*flags.split(), *place]))
            images = {domain: torch.rand(batch, 3, size, size) * 2 - 1 for domain in "AB"}
            model.train_step(images)
            first = torch.cuda.max_memory_allocated()
            torch.cuda.reset_peak_memory_stats()
            for _ in range(STEPS):
                model.train_step(images)
        except torch.OutOfMemoryError:
            return {"note": "out of memory"}
    later = torch.cuda.max_memory_allocated()
    return {"later": later / MIB, "all": max(first, later) / MIB,
            "reserved": torch.cuda.max_memory_reserved() / MIB}


if __name__ == "__main__":
    main()
