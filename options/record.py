"""Print the options, and keep them beside the checkpoints: <phase>_opt.txt to read, opt.json to read back."""

import json
import math
import os
import platform
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy
import PIL
import torch

from util.atomic import atomic_file
from util.errors import UsageError

FILE = "opt.json"
NOT_OPTIONS = ("defaults", "typed", "isTrain", "device", "changed")


def describe(opt: Namespace) -> str:
    """All options by name, those that differ from their default marked, as the reference prints them."""
    lines = ["----------------- Options ---------------"]
    for name, value in sorted(options_of(opt).items()):
        default = opt.defaults.get(name)
        mark = "" if value == default else f"\t[default: {default}]"
        lines.append(f"{name:>25}: {value!s:<30}{mark}".rstrip())
    lines += ["----------------- End -------------------", f"device: {describe_device(opt.device)}"]
    return "\n".join(lines)


def describe_device(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    found = "" if torch.cuda.is_available() else ", no GPU is found"
    return f"CPU ({torch.get_num_threads()} threads){found}"


def options_of(opt: Namespace) -> dict[str, Any]:
    return {name: value for name, value in vars(opt).items() if name not in NOT_OPTIONS}


def save_options(opt: Namespace, folder: Path) -> None:
    """Write <phase>_opt.txt and, for a training, opt.json with the command line, versions and git commit."""
    folder.mkdir(parents=True, exist_ok=True)
    _replace(folder / f"{opt.phase}_opt.txt", describe(opt) + "\n")
    if opt.isTrain:
        options = {name: "inf" if value == math.inf else value for name, value in options_of(opt).items()}
        record = {"options": options, "command": [os.path.basename(sys.executable), *sys.argv],
                  "versions": {"python": platform.python_version(), "torch": torch.__version__,
                               "numpy": numpy.__version__, "pillow": PIL.__version__},
                  "device": describe_device(opt.device), "git_commit": git_commit()}
        _replace(folder / FILE, json.dumps(record, indent=1) + "\n")


def _replace(path: Path, text: str) -> None:
    with atomic_file(path) as stream:
        stream.write(text.encode("utf-8", "backslashreplace"))


def read_options(folder: Path) -> dict[str, Any]:
    """The options that a training recorded in its folder; {} where it recorded none (published weights)."""
    path = folder / FILE
    try:
        options = dict(json.loads(path.read_text(encoding="utf-8"))["options"])
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(f"{path} cannot be read ({error}); mend or remove it, then give the network's "
                         "flags") from error
    return {name: math.inf if value == "inf" else value for name, value in options.items()}


def git_commit() -> str | None:
    """The commit of the program's folder, with + where its files were changed; None outside a repository."""
    folder = Path(__file__).resolve().parent.parent
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return commit + ("+" if _git(folder, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True,
                          timeout=10).stdout.strip()
