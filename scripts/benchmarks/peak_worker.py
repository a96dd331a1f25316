"""Worker of benchmark.py that measures the device's peak: matrix product, convolution and copying."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

WIDTH = {"cpu": 2048, "cuda": 8192}    # of the square matrices
COPY_BYTES = 2**28


def main() -> None:
    settings = json.loads(sys.argv[1])
    torch.set_num_threads(settings["threads"])
    device, width = settings["device"], WIDTH[settings["device"]]
    found = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        a = torch.randn(width, width, device=device, dtype=dtype)
        product = 2 * width**3 / fastest(lambda a=a: a @ a, settings) / 1e9
        # Convolution has a library of its own, which on some processors is faster than the matrix product.
        x = torch.randn(2, 256, 66, 66, device=device, dtype=dtype)
        w = torch.randn(256, 256, 3, 3, device=device, dtype=dtype)
        seconds = fastest(lambda x=x, w=w: torch.nn.functional.conv2d(x, w), settings)
        convolution = 2 * 2 * 64 * 64 * 256 * 256 * 9 / seconds / 1e9
        found[f"{name}_GFLOP/s"] = round(max(product, convolution), 1)
    block = torch.empty(COPY_BYTES, dtype=torch.uint8, device=device)
    target = torch.empty_like(block)
    found["copy_GB/s"] = round(2 * COPY_BYTES / fastest(lambda: target.copy_(block), settings) / 1e9, 1)
    Path(settings["answer"]).write_text(json.dumps(found))


def fastest(function: Callable[[], Any], settings: dict[str, str], repeats: int = 10) -> float:
    """Seconds of the fastest call."""
    clock = time.perf_counter if settings["clock"] == "wall" else time.process_time
    best = float("inf")
    for _ in range(repeats):
        began = clock()
        function()
        if settings["device"] == "cuda":
            torch.cuda.synchronize()
        best = min(best, clock() - began)
    return best


if __name__ == "__main__":
    main()
