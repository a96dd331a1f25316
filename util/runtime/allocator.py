"""The C library's allocator, told to keep what is freed."""

import ctypes
import platform

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3    # of mallopt, <malloc.h>


def keep_freed_memory() -> bool:
    """Let large blocks be used again within the process, not returned. False where that is unknown.

    glibc gives blocks of 32 MB and more back at once, and the system then hands out zeroed pages again, one
    fault for each 4 kB: at 256 pixels that is a tenth to a fifth of a training step on a CPU. The process
    grows to the most it ever needed, as it does anyway.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = ((M_MMAP_THRESHOLD, 2**30), (M_TRIM_THRESHOLD, -1), (M_TOP_PAD, 2**26))
    return all([mallopt(*setting) == 1 for setting in settings])
