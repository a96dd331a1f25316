"""Say how much disk space a run's checkpoints take, and warn when there is too little."""

import shutil
from pathlib import Path
from typing import Any

from util.checkpoints.tensors import size_in_bytes

MOMENTS = 2     # numbers that Adam keeps for each weight


def free_bytes(folder: Path) -> int:
    """Free on the disk of a folder that need not exist yet."""
    whole = folder.absolute()
    return shutil.disk_usage(next(f for f in (whole, *whole.parents) if f.exists())).free


def describe_space(folder: Path, state: dict[str, Any], numbered: int) -> str:
    """One line: what the checkpoints of a run will take at most, and what is free.

    state: of the model, with its "networks" and, if it keeps averages, "ema". numbered: how many checkpoints
    stay beside the latest.
    """
    learnt, averages = size_in_bytes(state["networks"]), size_in_bytes(state.get("ema"))
    weights, whole = learnt + averages, learnt * (1 + MOMENTS) + averages
    needed = 3 * whole + (numbered + 1) * weights       # latest, previous, and the next while it is written
    there = sum(path.stat().st_size for path in folder.glob("*.pth"))
    free = free_bytes(folder)
    line = (f"checkpoints take up to {_size(needed)} in {folder} (states of {_size(whole)}, {numbered + 1} "
            f"times weights of {_size(weights)}); {_size(free)} are free")
    if needed > free + there:
        line += ("\nwarning: that is too little room; use --keep_last, raise --save_epoch_freq, or choose "
                 "another --checkpoints_dir")
    return line


def _size(number: int) -> str:
    return f"{number / 1e9:,.1f} GB" if number >= 1e9 else f"{number / 1e6:,.1f} MB"
