"""Number formats of the networks (--precision): what suits a device, autocast, fp16's loss scaling."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from util.errors import UsageError

PRECISIONS = ("auto", "fp32", "tf32", "bf16", "fp16")
AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def resolve_precision(name: str, device: torch.device) -> str:
    """What "auto" stands for on a device; any other name as it is. Raises UsageError where it cannot work.

    auto is bf16 on GPUs that have it in hardware (compute capability 8.0 and up), else fp32: on a CPU the
    numbers of old command lines stay what they were, and bf16 is there for the asking.
    """
    if name == "auto":
        return "bf16" if device.type == "cuda" and has_fast_bf16(device) else "fp32"
    if name == "tf32" and device.type != "cuda":
        raise UsageError(f"--precision tf32 needs a GPU, but the device is {device}; use fp32 or bf16")
    return name


def resolve_channels_last(chosen: bool | None, precision: str, device: torch.device) -> bool:
    """What no --channels_last stands for: True where it was measured to be faster (docs/performance.md)."""
    return precision == "bf16" and device.type == "cpu" if chosen is None else chosen


def has_fast_bf16(device: torch.device) -> bool:
    """Whether bfloat16 runs in hardware: a GPU from capability 8.0, a CPU with AVX512-BF16 or AMX."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return device.type == "cpu" and any(getattr(torch.cpu, check, bool)() for check in checks)


class Precision:
    """How a model's networks compute. Weights, optimizers and losses are float32 in any case.

    name: one of PRECISIONS, not auto. TF32 is a switch of the process, set here: matrix products and
    convolutions of float32 on a GPU round their factors to 10 bits.
    """

    def __init__(self, name: str, device: torch.device):
        self.name, self.device = name, device
        self.scaler = torch.amp.GradScaler(device.type, enabled=name == "fp16")
        self._stepped = False
        if device.type == "cuda":
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = name == "tf32"

    def autocast(self) -> AbstractContextManager:
        """For forward passes. Casts of weights are not kept: an optimizer may step within."""
        if self.name not in AUTOCAST:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=AUTOCAST[self.name], cache_enabled=False)

    def backward(self, loss: Tensor, inputs: Sequence[nn.Parameter]) -> None:
        """Gradients of a loss into these parameters alone, each operation in the format of its forward."""
        with torch.autocast(self.device.type, enabled=False):
            self.scaler.scale(loss).backward(inputs=inputs)

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """optimizer.step() on gradients of `backward`; left out where one of fp16's overflowed."""
        self.scaler.step(optimizer)
        self._stepped = True

    def end_step(self) -> None:
        """To be called once after all updates of a training step: fp16 then chooses its next scale."""
        if self._stepped:
            self.scaler.update()
            self._stepped = False

    def load_scaler(self, state: dict[str, Any] | None) -> None:
        """Go on with the scale of an earlier fp16 run; any other run has none."""
        if state and self.scaler.is_enabled():
            self.scaler.load_state_dict(state)
