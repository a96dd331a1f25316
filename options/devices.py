"""The device that the options name, and what `auto` stands for on it."""

from argparse import Namespace

import torch

from util.errors import UsageError


def resolve_auto(opt: Namespace) -> None:
    """Set `device`, and what an automatic --precision and --channels_last stand for on it."""
    opt.device = resolve_device(opt.gpu_ids)
    opt.precision = resolve_precision(opt.precision, opt.device)
    opt.channels_last = resolve_channels_last(opt.channels_last, opt.precision, opt.device)


def resolve_device(gpu_ids: str) -> torch.device:
    """The device that --gpu_ids names. Raises UsageError for a GPU that is not there."""
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if gpu_ids == "auto":
        return torch.device("cuda:0" if found else "cpu")
    try:
        numbers = [int(part) for part in gpu_ids.split(",") if part]
    except ValueError:
        raise UsageError(f"--gpu_ids is {gpu_ids!r}; give auto, -1 for the CPU, or a GPU's number") from None
    numbers = [n for n in numbers if n >= 0]
    if not numbers:
        return torch.device("cpu")
    if len(numbers) > 1:
        raise UsageError(f"--gpu_ids {gpu_ids}: training on several GPUs is not there yet; name one of them")
    if numbers[0] >= found:
        raise UsageError(f"--gpu_ids is {gpu_ids}, but PyTorch sees {found} GPU{'s' * (found != 1)} here; "
                         "use auto, or -1 for the CPU")
    return torch.device(f"cuda:{numbers[0]}")


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
