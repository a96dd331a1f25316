"""Memory of a training step, counted without a GPU: how large a minibatch, or an image, fits on which GPU.

Counts the bytes of all tensors that are alive at a time within a training step, at two sizes on the CPU, in
the way that a GPU computes it; the peak grows linearly with the number of pixels. Buffers of cuDNN and the
allocator's gaps are not seen: of each GPU, a tenth and 600 MiB are set aside for them.
"""

import contextlib
import io
import tempfile
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from models import create_model
from models.base_model import BaseModel
from models.cut_model import CUTModel
from options.train_options import TrainOptions

CASES = ("--precision fp32", "--precision bf16", "--precision bf16 --grad_checkpoint",
         "--precision bf16 --CUT_mode FastCUT", "--precision bf16 --model cycle_gan")
GPUS = (8, 12, 16, 24, 48, 80)      # GiB
IMAGE = 256**2                      # pixels of the unit in the table
SIZES = (128, 256)                  # width and height in pixels, at which is measured


class LiveBytes(TorchDispatchMode):
    """While entered, `peak` is the most bytes of tensors that existed at a time, `before` among them."""

    def __init__(self, before: Iterable[Tensor]):
        super().__init__()
        self.sizes: dict[StorageWeakRef, int] = {}
        self.peak = 0
        self._count(before)

    def _count(self, tensors: Iterable[Any]) -> None:
        for storage in (t.untyped_storage() for t in tensors if isinstance(t, Tensor)):
            self.sizes.setdefault(StorageWeakRef(storage), storage.nbytes())
        self.sizes = {ref: size for ref, size in self.sizes.items() if not ref.expired()}
        self.peak = max(self.peak, sum(self.sizes.values()))

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        self._count(tree_leaves(result))
        return result


def build(flags: str, size: int, folder: str, *, identity_first: bool) -> BaseModel:
    """A model for size x size pixels; its identity loss comes first and alone, or in one pass as on a GPU."""
    arguments = ["--dataroot", "none", "--name", "none", "--checkpoints_dir", folder, "--gpu_ids", "-1",
                 "--load_size", str(size), "--crop_size", str(size), "--channels_last", "false"]
    with contextlib.redirect_stdout(io.StringIO()):
        model = create_model(TrainOptions().parse([*flags.split(), *arguments]))
    if isinstance(model, CUTModel):
        model.identity_first = identity_first
    return model


def peak_bytes(flags: str, size: int, batch: int = 1, *, identity_first: bool = False) -> int:
    """Of any step but the first, which makes the optimizers' state; FastCUT mirrors half of them."""
    with tempfile.TemporaryDirectory() as folder:
        model = build(flags, size, folder, identity_first=identity_first)
    weights = [t for net in model.networks.values() for t in (*net.parameters(), *net.buffers())]
    with LiveBytes(weights) as live:
        images = {domain: torch.rand(batch, 3, size, size) * 2 - 1 for domain in "AB"}
        model.train_step(images)
        live.peak = 0
        for flipped in (False, True):
            model.draw_flip = lambda flipped=flipped: flipped
            model.train_step(images)
    return live.peak


def line(flags: str, sizes: tuple[int, int] = SIZES) -> tuple[float, float]:
    """Bytes that training takes without an image, and for each pixel of a minibatch."""
    small, large = (peak_bytes(flags, size) for size in sizes)
    slope = (large - small) / (sizes[1]**2 - sizes[0]**2)
    return small - slope * sizes[0]**2, slope


def limits(base: float, slope: float, gib: int) -> tuple[int, int]:
    """The largest minibatch at 256 pixels, and the largest side of a single square, in steps of 32."""
    pixels = (0.9 * gib * 2**30 - 600 * 2**20 - base) / slope
    return int(pixels / IMAGE), int(pixels**0.5) // 32 * 32


def memory_table(cases: Sequence[str] = CASES) -> str:
    """A Markdown table of the limits, with a row for the flags of each case."""
    rows = [["flags", "MiB", "MiB an image of 256", *(f"{gib} GiB" for gib in GPUS)],
            ["---", "---:", "---:", *["---:"] * len(GPUS)]]
    for flags in cases:
        base, slope = line(flags)
        found = [limits(base, slope, gib) for gib in GPUS]
        rows.append([f"`{flags}`", f"{base / 2**20:.0f}", f"{slope * IMAGE / 2**20:.0f}",
                     *(f"{batch} / {side}" for batch, side in found)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
