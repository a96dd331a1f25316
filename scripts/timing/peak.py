"""What the device can do at most: a large matrix product, and copying a large block."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

SIDE = {"cpu": 2048, "cuda": 8192}
COPY_BYTES = 2**28


def main() -> None:
    told = json.loads(sys.argv[1])
    torch.set_num_threads(told["threads"])
    device, side = told["device"], SIDE[told["device"]]
    found = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        a = torch.randn(side, side, device=device, dtype=dtype)
        product = 2 * side**3 / fastest(lambda a=a: a @ a, told) / 1e9
        # Convolution has a library of its own, which on some processors is faster than the matrix product.
        x = torch.randn(2, 256, 66, 66, device=device, dtype=dtype)
        w = torch.randn(256, 256, 3, 3, device=device, dtype=dtype)
        seconds = fastest(lambda x=x, w=w: torch.nn.functional.conv2d(x, w), told)
        convolution = 2 * 2 * 64 * 64 * 256 * 256 * 9 / seconds / 1e9
        found[f"{name}_GFLOP/s"] = round(max(product, convolution), 1)
    block = torch.empty(COPY_BYTES, dtype=torch.uint8, device=device)
    target = torch.empty_like(block)
    found["copy_GB/s"] = round(2 * COPY_BYTES / fastest(lambda: target.copy_(block), told) / 1e9, 1)
    Path(told["answer"]).write_text(json.dumps(found))


def fastest(function: Callable[[], Any], told: dict[str, str], repeats: int = 10) -> float:
    """Seconds of the fastest call."""
    clock = time.perf_counter if told["clock"] == "wall" else time.process_time
    best = float("inf")
    for _ in range(repeats):
        began = clock()
        function()
        if told["device"] == "cuda":
            torch.cuda.synchronize()
        best = min(best, clock() - began)
    return best


if __name__ == "__main__":
    main()
