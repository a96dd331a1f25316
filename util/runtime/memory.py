"""Memory of the process: keep what is freed, and explain in one line when there is too little."""

import ctypes
import platform
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from util.errors import RunError

# Messages of errors for which torch has no class of its own: on the CPU, and from CUDA's libraries.
SIGNS = ("can't allocate memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED",
         "CUDNN_STATUS_ALLOC_FAILED")
SIZES = ("crop_size", "load_size", "batch_size", "ngf", "ndf", "netG", "num_patches")
LESS = ("a smaller --batch_size, --crop_size, --ngf or --ndf", "--netG resnet_6blocks", "fewer --num_patches")
MEMINFO, CGROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3    # of mallopt, <malloc.h>


def keep_freed_memory() -> bool:
    """Tell the C library to keep freed memory for reuse. Returns False where that is not possible.

    glibc returns blocks of 32 MB and more to the system at once, and then gets new pages, which must be
    zeroed, one fault for each 4 kB: at 256 pixels that is a tenth to a fifth of a training step on a CPU. The
    process grows to the most it ever needed, as it does anyway.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = ((M_MMAP_THRESHOLD, 2**30), (M_TRIM_THRESHOLD, -1), (M_TOP_PAD, 2**26))
    return all([mallopt(*setting) == 1 for setting in settings])


@contextmanager
def explained_out_of_memory(opt: Namespace) -> Iterator[None]:
    """Turn an out-of-memory error within the block into a RunError that names sizes and flags that help."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        sizes = " ".join(f"--{name} {getattr(opt, name)}" for name in SIZES if hasattr(opt, name))
        remedies = ", ".join([*LESS, *_unused_savers(opt)])
        raise RunError(f"out of memory on {opt.device} with {sizes}; what helps: {remedies}") from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch or Python means that there is too little memory."""
    return (isinstance(error, (torch.OutOfMemoryError, MemoryError))
            or any(sign in str(error) for sign in SIGNS))


def free_bytes(device: torch.device) -> int | None:
    """Memory that the process can still get on a device, in bytes; None where the system does not tell.

    On the CPU the smaller of what Linux calls available and what is left of the control group's limit.
    """
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    if device.type != "cpu" or not MEMINFO.exists():
        return None
    lines = dict(line.split(":") for line in MEMINFO.read_text().splitlines())
    free = int(lines["MemAvailable"].split()[0]) * 1024
    limit = CGROUP / "memory.max"
    if limit.exists() and (text := limit.read_text().strip()) != "max":
        used = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
        free = min(free, int(text) - int(used["anon"]))
    return free


def _unused_savers(opt: Namespace) -> list[str]:
    """Flags of this program that trade speed or precision for memory and are not in use."""
    return (["--grad_checkpoint"] if getattr(opt, "grad_checkpoint", True) is False else []) + (
        ["--precision bf16"] if getattr(opt, "precision", "bf16") not in ("bf16", "fp16") else [])
