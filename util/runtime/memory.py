"""Running out of memory, said in one line."""

from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from util.errors import RunError

# What torch says where it has no class for it: on the CPU, and when a library of CUDA's runs out.
SIGNS = ("can't allocate memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED",
         "CUDNN_STATUS_ALLOC_FAILED")
SIZES = ("crop_size", "load_size", "batch_size", "ngf", "ndf", "netG", "num_patches")
LESS = ("a smaller --batch_size, --crop_size, --ngf or --ndf", "--netG resnet_6blocks", "fewer --num_patches")


@contextmanager
def explained_out_of_memory(opt: Namespace) -> Iterator[None]:
    """Turns a lack of memory within the block into a RunError that names sizes and the flags that help."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not _is_lack_of_memory(error):
            raise
        sizes = " ".join(f"--{name} {getattr(opt, name)}" for name in SIZES if hasattr(opt, name))
        remedies = ", ".join([*LESS, *_unused_savers(opt)])
        raise RunError(f"out of memory on {opt.device} with {sizes}; what helps: {remedies}") from error


def _is_lack_of_memory(error: BaseException) -> bool:
    return (isinstance(error, (torch.OutOfMemoryError, MemoryError))
            or any(sign in str(error) for sign in SIGNS))


def _unused_savers(opt: Namespace) -> list[str]:
    """Flags of this program that trade time or digits for memory and are not in use."""
    return (["--grad_checkpoint"] if getattr(opt, "grad_checkpoint", True) is False else []) + (
        ["--precision bf16"] if getattr(opt, "precision", "bf16") not in ("bf16", "fp16") else [])
