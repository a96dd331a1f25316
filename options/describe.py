"""Print the options, and keep them beside the checkpoints: <phase>_opt.txt to read, opt.json to read back."""

from argparse import Namespace
from pathlib import Path

import torch

from util.atomic import write_text
from util.checkpoints.run_record import write_run_record


def describe(opt: Namespace) -> str:
    """All options by name, those that differ from their default marked, as the reference prints them.

    What was chosen automatically is shown beside what it became here: "precision: auto -> fp32".
    """
    lines = ["----------------- Options ---------------"]
    chosen = resolved(opt)
    for name, asked in sorted(opt.parsed.asked.items()):
        shown = f"{'auto' if asked is None else asked} -> {chosen[name]}" if name in chosen else str(asked)
        default = opt.parsed.defaults[name]
        mark = "" if asked == default else f"\t[default: {default}]"
        lines.append(f"{name:>25}: {shown:<30}{mark}".rstrip())
    lines += ["----------------- End -------------------", f"device: {describe_device(opt.device)}"]
    return "\n".join(lines)


def resolved(opt: Namespace) -> dict[str, object]:
    """The options that were chosen automatically, with what they became on this device."""
    return {name: getattr(opt, name) for name, asked in opt.parsed.asked.items()
            if getattr(opt, name) != asked}


def describe_device(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    found = "" if torch.cuda.is_available() else ", no GPU is found"
    return f"CPU ({torch.get_num_threads()} threads){found}"


def describe_ranks(opt: Namespace) -> str:
    """How several processes, or micro-batches, share a minibatch; "" for one process that takes the whole."""
    images = opt.batch_size // opt.world_size
    each = f"{images} of the {opt.batch_size} images of --batch_size on each"
    lines = [f"{opt.world_size} ranks train one model: {each}"] if opt.world_size > 1 else []
    if opt.accumulate > 1:
        lines.append(f"a step's {images} images are taken in {opt.accumulate} micro-batches of "
                     f"{images // opt.accumulate}")
    return "\n".join(lines)


def save_options(opt: Namespace, folder: Path) -> None:
    """Write <phase>_opt.txt and, for a run of train.py, opt.json."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / f"{opt.phase}_opt.txt", describe(opt) + "\n")
    if opt.isTrain:
        write_run_record(folder, opt.parsed.asked, resolved=resolved(opt), device=describe_device(opt.device))
