"""The devices that the options name, one for each rank here, and what `auto` stands for on them."""

from argparse import Namespace
from typing import Any, NamedTuple

import torch

from util.distributed import ranks
from util.distributed.place import find_place
from util.errors import UsageError

# Devices besides the CPU and CUDA's: name -> whether torch finds one. No run has used them yet.
OTHER_DEVICES = {"mps": torch.backends.mps.is_available, "xpu": torch.xpu.is_available}


class Auto(NamedTuple):
    """What `auto` stands for on a type of device, and on what grounds."""

    value: Any
    grounds: str


# Grounds. Measured: see docs/performance_notes.md. Computed: from counts of what a step launches and moves,
# without such a device. Untried: what is safe.
MEASURED, COMPUTED, UNTRIED, NOT_THERE = "measured", "computed", "untried", "there is none"
IN_BF16 = "in bf16 alone"
# Type of device -> flag -> choice. On a GPU without fast bf16 the precision is fp32.
AUTO: dict[str, dict[str, Auto]] = {
    "cpu": {"precision": Auto("fp32", MEASURED), "channels_last": Auto(IN_BF16, MEASURED),
            "compile": Auto(False, MEASURED), "cuda_graph": Auto(False, NOT_THERE)},
    "cuda": {"precision": Auto("bf16", COMPUTED), "channels_last": Auto(False, COMPUTED),
             "compile": Auto(False, UNTRIED), "cuda_graph": Auto(True, COMPUTED)},
    "mps": {"precision": Auto("fp32", UNTRIED), "channels_last": Auto(False, UNTRIED),
            "compile": Auto(False, UNTRIED), "cuda_graph": Auto(False, NOT_THERE)},
    "xpu": {"precision": Auto("fp32", UNTRIED), "channels_last": Auto(False, UNTRIED),
            "compile": Auto(False, UNTRIED), "cuda_graph": Auto(False, NOT_THERE)},
}


def resolve_auto(opt: Namespace) -> None:
    """Set `device`, and what the flags that are left to it stand for there.

    A process that starts ranks uses no device itself.
    """
    place, devices = find_place(), devices_of_ranks(opt)
    opt.device = devices[place.local_rank if place else 0]
    if place or opt.world_size == 1:
        use(opt.device)
    opt.precision = resolve_precision(opt.precision, opt.device)
    opt.channels_last = resolve_channels_last(opt.channels_last, opt.precision, opt.device)
    for flag in ("compile", "cuda_graph"):
        if flag in opt and getattr(opt, flag) is None:      # test.py has no graph
            setattr(opt, flag, AUTO[opt.device.type][flag].value)


def count_ranks(opt: Namespace) -> int:
    """How many processes train one model: those that torchrun started, or those that the flags ask for."""
    place, asked = find_place(), vars(opt).get("ranks", 0)
    if place and asked not in (0, place.local_world_size):
        raise UsageError(f"--ranks is {asked}, but {place.local_world_size} processes were started on this "
                         "machine, as by torchrun: leave --ranks out, or start the program without torchrun")
    if place or ranks.active():
        return place.world_size if place else ranks.world_size()
    return max(asked, len(named_devices(opt.gpu_ids)))


def devices_of_ranks(opt: Namespace) -> list[torch.device]:
    """The device of each rank on this machine. Raises UsageError where they do not suffice."""
    place = find_place()
    count = place.local_world_size if place else opt.world_size
    devices, found = named_devices(opt.gpu_ids), torch.cuda.device_count()
    if devices[0].type == "cpu":
        return devices * count
    if opt.gpu_ids == "auto" and found >= count:
        return [torch.device(f"cuda:{number}") for number in range(count)]
    if len(devices) != count:
        named = (f"PyTorch sees {found}" if opt.gpu_ids == "auto"
                 else f"--gpu_ids {opt.gpu_ids} names {len(devices)}")
        raise UsageError(f"ranks need a GPU each, {count} on this machine, but {named}: start as many ranks "
                         "as GPUs, or use --gpu_ids -1 for the CPU")
    return devices


def resolve_device(gpu_ids: str) -> torch.device:
    """The one device that --gpu_ids names, made the current one. Raises UsageError."""
    devices = named_devices(gpu_ids)
    if len(devices) > 1:
        raise UsageError(f"--gpu_ids {gpu_ids}: this program uses one GPU; name one of them")
    return use(devices[0])


def named_devices(gpu_ids: str) -> list[torch.device]:
    """The devices that --gpu_ids names; "auto" is the first GPU. Raises UsageError for what is not there."""
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if gpu_ids == "auto":
        return [torch.device("cuda:0" if found else "cpu")]
    if gpu_ids in OTHER_DEVICES:
        if not OTHER_DEVICES[gpu_ids]():
            raise UsageError(f"--gpu_ids is {gpu_ids}, but PyTorch finds no such device here; use auto, or "
                             "-1 for the CPU")
        return [torch.device(gpu_ids)]
    try:
        numbers = [int(part) for part in gpu_ids.split(",") if part]
    except ValueError:
        raise UsageError(f"--gpu_ids is {gpu_ids!r}; give auto, -1 for the CPU, a GPU's number, mps or "
                         "xpu") from None
    if len(set(numbers)) < len(numbers):
        raise UsageError(f"--gpu_ids is {gpu_ids}, which names a device twice; for several processes on the "
                         "CPU, use --ranks")
    numbers = [n for n in numbers if n >= 0]
    if not numbers:
        return [torch.device("cpu")]
    if max(numbers) >= found:
        raise UsageError(f"--gpu_ids is {gpu_ids}, but PyTorch sees {found} GPU{'s' * (found != 1)} here; "
                         "use auto, or -1 for the CPU")
    return [torch.device(f"cuda:{number}") for number in numbers]


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
        automatic = AUTO[device.type]["precision"].value
        return automatic if automatic == "fp32" or has_fast_bf16(device) else "fp32"
    if name == "tf32" and device.type != "cuda":
        raise UsageError(f"--precision tf32 needs a GPU, but the device is {device}; use fp32 or bf16")
    return name


def resolve_channels_last(chosen: bool | None, precision: str, device: torch.device) -> bool:
    """What --channels_last stands for where it is left to the device; else the value itself."""
    if chosen is not None:
        return chosen
    automatic = AUTO[device.type]["channels_last"].value
    return precision == "bf16" if automatic == IN_BF16 else automatic


def has_fast_bf16(device: torch.device) -> bool:
    """Whether a GPU computes bfloat16 in hardware: from compute capability 8.0 on."""
    return torch.cuda.get_device_capability(device) >= (8, 0)
