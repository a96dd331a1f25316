"""The device that the options name, and what `auto` stands for on it."""

from argparse import Namespace
from typing import NamedTuple

import torch

from util.errors import UsageError

# Devices besides the CPU and CUDA's: name -> whether torch finds one. No run has used them yet.
OTHER_DEVICES = {"mps": torch.backends.mps.is_available, "xpu": torch.xpu.is_available}


class Auto(NamedTuple):
    """What is chosen on a type of device for the flags that leave it open, and on what grounds."""

    precision: str
    channels_last: bool | None      # None: in bf16 alone
    grounds: str


# Type of device -> choices. measured: see docs/performance_notes.md; computed: from counts, without such a
# device; untried: the safe choice.
AUTO = {
    "cpu": Auto("fp32", None, "measured"),
    "cuda": Auto("bf16", False, "computed"),    # fp32 where there is no fast bf16
    "mps": Auto("fp32", False, "untried"),
    "xpu": Auto("fp32", False, "untried"),
}


def resolve_auto(opt: Namespace) -> None:
    """Set `device`, and what an automatic --precision and --channels_last stand for on it."""
    opt.device = resolve_device(opt.gpu_ids)
    opt.precision = resolve_precision(opt.precision, opt.device)
    opt.channels_last = resolve_channels_last(opt.channels_last, opt.precision, opt.device)


def resolve_device(gpu_ids: str) -> torch.device:
    """The device that --gpu_ids names, made the current one. Raises UsageError for one that is not there."""
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if gpu_ids == "auto":
        return use(torch.device("cuda:0" if found else "cpu"))
    if gpu_ids in OTHER_DEVICES:
        if not OTHER_DEVICES[gpu_ids]():
            raise UsageError(f"--gpu_ids is {gpu_ids}, but PyTorch finds no such device here; use auto, or "
                             "-1 for the CPU")
        return torch.device(gpu_ids)
    try:
        numbers = [int(part) for part in gpu_ids.split(",") if part]
    except ValueError:
        raise UsageError(f"--gpu_ids is {gpu_ids!r}; give auto, -1 for the CPU, a GPU's number, mps or "
                         "xpu") from None
    numbers = [n for n in numbers if n >= 0]
    if not numbers:
        return torch.device("cpu")
    if len(numbers) > 1:
        raise UsageError(f"--gpu_ids {gpu_ids}: training on several GPUs is not there yet; name one of them")
    if numbers[0] >= found:
        raise UsageError(f"--gpu_ids is {gpu_ids}, but PyTorch sees {found} GPU{'s' * (found != 1)} here; "
                         "use auto, or -1 for the CPU")
    return use(torch.device(f"cuda:{numbers[0]}"))


def use(device: torch.device) -> torch.device:
    """The device, made the current GPU: the thread that pins memory, and Inception, use that one."""
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return device


def resolve_precision(name: str, device: torch.device) -> str:
    """What "auto" stands for on a device; any other name as it is. Raises UsageError where it cannot work.

    On a CPU auto is fp32, so that the numbers of old command lines stay what they were; bf16 is faster, and
    there for the asking.
    """
    if name == "auto":
        automatic = AUTO[device.type].precision
        return automatic if automatic == "fp32" or has_fast_bf16(device) else "fp32"
    if name == "tf32" and device.type != "cuda":
        raise UsageError(f"--precision tf32 needs a GPU, but the device is {device}; use fp32 or bf16")
    return name


def resolve_channels_last(chosen: bool | None, precision: str, device: torch.device) -> bool:
    """What --channels_last stands for where it is left to the device; else the value itself."""
    if chosen is not None:
        return chosen
    automatic = AUTO[device.type].channels_last
    return precision == "bf16" if automatic is None else automatic


def has_fast_bf16(device: torch.device) -> bool:
    """Whether a GPU computes bfloat16 in hardware: from compute capability 8.0 on."""
    return torch.cuda.get_device_capability(device) >= (8, 0)
