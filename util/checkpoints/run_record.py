"""A run's opt.json: its options, which a resumed run and test.py read back, and what they were run with."""

import json
import math
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import PIL
import torch

from util.atomic import write_text
from util.distributed.place import launch_name
from util.errors import UsageError

FILE = "opt.json"


def write_run_record(folder: Path, options: Mapping[str, Any], *, resolved: Mapping[str, Any],
                     device: str) -> None:
    """Write opt.json with the options, the command line, versions, the device and the git commit.

    options: as they were asked for, "auto" included. resolved: what an automatic choice became on this
    device, by option; told for readers, and never read back.
    """
    record = {"options": {name: "inf" if value == math.inf else value for name, value in options.items()},
              "resolved": dict(resolved), "command": [os.path.basename(sys.executable), *sys.argv],
              "versions": {"python": platform.python_version(), "torch": torch.__version__,
                           "numpy": numpy.__version__, "pillow": PIL.__version__},
              "device": device, "git_commit": git_commit()}
    if launch_name():
        record["launch"] = launch_name()
    write_text(folder / FILE, json.dumps(record, indent=1) + "\n")


def read_options(folder: Path) -> dict[str, Any]:
    """The options that a run recorded in its folder; {} where there is no record (published weights)."""
    path = folder / FILE
    try:
        options = dict(json.loads(path.read_text(encoding="utf-8"))["options"])
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(f"{path} cannot be read ({error}); mend or remove it, then give the network's "
                         "flags") from error
    return {name: math.inf if value == "inf" else value for name, value in options.items()}


def recorded_launch(folder: Path) -> str:
    """Which launch of torchrun wrote the record and, before it, a state; "" where none that restarts did."""
    try:
        return str(json.loads((folder / FILE).read_text(encoding="utf-8")).get("launch", ""))
    except (OSError, ValueError, AttributeError, RecursionError):
        return ""


def read_commit(folder: Path) -> str | None:
    """The commit that a run was trained with, as its record tells; None where it does not."""
    try:
        commit = dict(json.loads((folder / FILE).read_text(encoding="utf-8"))).get("git_commit")
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    return commit if isinstance(commit, str) else None


class Config(NamedTuple):
    """The values of a --config file by option; is_record: of a run's opt.json, and not written by hand."""

    path: Path
    values: dict[str, Any]
    is_record: bool


def read_config(path: Path) -> Config:
    """A JSON object of options, or an opt.json, or the folder of a run with one. Raises UsageError."""
    path = path / FILE if path.is_dir() else path
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        record = isinstance(content, dict) and isinstance(content.get("options"), dict)
        values = dict(content["options"] if record else content)
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise UsageError(f"--config {path} cannot be read ({error}); give a JSON object of options, or the "
                         f"{FILE} of a run") from error
    values = {name: math.inf if value == "inf" else value for name, value in values.items()}
    return Config(path, values, record)


def git_commit() -> str | None:
    """The commit of the program's folder, with + where its files were changed; None outside a repository."""
    folder = Path(__file__).resolve().parents[2]
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return commit + ("+" if _git(folder, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True,
                          timeout=10).stdout.strip()
