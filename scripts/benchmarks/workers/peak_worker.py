"""Worker of benchmark.py that measures the device's peak: matrix product, convolution and copying.

fp32 is what float32 reaches without TF32, which torch uses for a GPU's convolutions unless it is told not to.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

WIDTH = {"cpu": 2048, "cuda": 8192}    # of the square matrices
IN_A_ROW = {"cpu": 1, "cuda": 20}      # calls between two synchronisations
# name -> the tensors' dtype, and whether float32 may be rounded to TF32
FORMATS = {"cpu": {"fp32": (torch.float32, False), "bf16": (torch.bfloat16, False)},
           "cuda": {"fp32": (torch.float32, False), "tf32": (torch.float32, True),
                    "bf16": (torch.bfloat16, False), "fp16": (torch.float16, False)}}
COPY_BYTES = 2**28


def main() -> None:
    settings = json.loads(sys.argv[1])
    torch.set_num_threads(settings["threads"])
    device, width = settings["device"], WIDTH[settings["device"]]
    found = {}
    for name, (dtype, tf32) in FORMATS[device].items():
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
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
    """Seconds of a call, in the fastest of `repeats` rows of calls; a row before them warms up a GPU."""
    clock = time.perf_counter if settings["clock"] == "wall" else time.process_time
    calls, on_gpu = IN_A_ROW[settings["device"]], settings["device"] == "cuda"
    found = []
    for _ in range(repeats + on_gpu):
        began = clock()
        for _ in range(calls):
            function()
        if on_gpu:
            torch.cuda.synchronize()
        found.append((clock() - began) / calls)
    return min(found[on_gpu:])


if __name__ == "__main__":
    main()
