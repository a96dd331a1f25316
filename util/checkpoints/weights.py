"""Checkpoint files: networks' weights as published (`<label>_net_<name>.pth`), saved whole and read safely.

A file is written beside its final name, flushed to the disk and renamed, so a name never holds half a file.
Reading runs no code (`weights_only=True`) and compares the checksums that the format holds for every tensor,
which torch itself does not.
"""

import io
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from util.atomic import atomic_file
from util.errors import UsageError

# Wrappers (DataParallel, torch.compile) leave their names before the keys.
PREFIXES = ("module.", "_orig_mod.")

# Which flags are the likeliest where two networks differ in the number of keys of a kind, {0} being G or D.
HINTS = {r"filt$": "--no_antialias, --no_antialias_up, ", r"running_mean$": "--norm{0}, ",
         r"parametrizations": "--spectral_norm, "}


def weights_path(folder: Path, label: str, name: str) -> Path:
    return folder / f"{label}_net_{name}.pth"


class Damaged(UsageError):
    """A checkpoint that does not hold the bytes that were written."""


def save_file(path: Path, content: Mapping[str, Any], previous: Path | None = None) -> None:
    """torch.save that leaves the whole new file or what was there before. OSError where it cannot be written.

    previous: a name for the file that is replaced.
    """
    buffer = io.BytesIO()       # torch hides what the disk says when it writes by itself
    torch.save(content, buffer)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path, durable=True, previous=previous) as stream:
        stream.write(buffer.getbuffer())


def load_file(path: Path) -> dict[str, Any]:
    """Tensors to the CPU. Raises Damaged, and UsageError for a file that is missing or more than data."""
    try:
        _compare_checksums(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")     # it warns of pickles that it then refuses
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UsageError(f"there is no {path}; {what_exists(path)}") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except pickle.UnpicklingError as error:
        raise UsageError(f"{path} is refused: it holds more than tensors and plain data, or is no checkpoint "
                         f"({_first_line(error)})") from error
    except (RuntimeError, EOFError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise Damaged(f"{path} is damaged or no checkpoint ({_first_line(error)})") from error
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise UsageError(f"{path} holds a {type(content).__name__}, not the named tensors of a checkpoint")
    return content


def _compare_checksums(path: Path) -> None:
    """Raises Damaged where a file of torch's format is cut off or differs from its checksums.

    Files in the format of before torch 1.6 hold none and pass.
    """
    with open(path, "rb") as stream:
        magic = stream.read(4)
    if not magic.strip(b"\0"):
        raise Damaged(f"{path} is damaged: it is empty or begins with zeros")
    if magic != b"PK\x03\x04":
        return
    try:
        with zipfile.ZipFile(path) as archive:
            different = archive.testzip()
    except OSError:
        raise
    except Exception as error:      # zipfile answers damaged bytes with errors of every kind
        raise Damaged(f"{path} is damaged ({_first_line(error)})") from error
    if different is not None:
        raise Damaged(f"{path} is damaged: {different!r} in it differs from its checksum")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:160]


def what_exists(path: Path) -> str:
    """Says which checkpoints lie where `path` was looked for, or else near by."""
    folder = path.parent
    labels = sorted({re.sub(r"_net_\w+\.pth$", "", p.name) for p in folder.glob("*_net_*.pth")})
    if labels:
        return f"{folder} holds --epoch {', '.join(labels[:20])}: choose one with --epoch"
    state = (f"{folder} holds no *_net_*.pth at all" if folder.is_dir()
             else f"the folder {folder} does not exist")
    others = folder.parent.iterdir() if folder.parent.is_dir() else ()
    near = sorted(p.name for p in others if p.is_dir() and p != folder)
    return f"{state}; " + (f"{folder.parent} holds {', '.join(near[:20])}: check --name" if near
                           else "train first, or check --name and --checkpoints_dir")


def unwrapped(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights without the prefixes that wrappers leave before every key."""
    weights = dict(weights)
    while weights and any(all(key.startswith(p) for key in weights) for p in PREFIXES):
        weights = {key.split(".", 1)[1]: value for key, value in weights.items()}
    return weights


def load_weights(net: nn.Module, path: Path, name: str = "") -> None:
    """Fill a network from a weights file.

    name: of the network: G, F, D, or one such as G_A or F1; "": the file's name ends in it.
    Raises UsageError for a missing or damaged file, and for one of another architecture, naming the first
    keys that do not match and the flags to look at.
    """
    found = unwrapped(load_file(path))
    other = next((key for key, value in found.items() if not isinstance(value, Tensor)), None)
    if other is not None:
        raise UsageError(f"{path} holds no network's weights: {other!r} is a {type(found[other]).__name__}")
    expected = net.state_dict()
    problem = mismatch(found, expected, name or path.stem.rsplit("_net_")[-1])
    if problem:
        raise UsageError(f"{path} does not fit the network built here: {problem}")
    net.load_state_dict(found)


def mismatch(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], name: str) -> str:
    """One line on the first keys that differ in name or shape, and the flags that decide them; '' if none do.

    name: of the network: G, F, D, or one such as G_A or F1.
    """
    missing = [k for k in expected if k not in found]
    extra = [k for k in found if k not in expected]
    shapes = [k for k in expected if k in found and found[k].shape != expected[k].shape]
    if not (missing or extra or shapes):
        return ""
    parts = []
    if missing:
        parts.append(f"it lacks {', '.join(missing[:3])}{_more(missing)}")
    if extra:
        parts.append(f"it has besides {', '.join(extra[:3])}{_more(extra)}")
    if shapes:
        key = shapes[0]
        parts.append(f"{key} is {list(found[key].shape)}, not {list(expected[key].shape)}{_more(shapes, 1)}")
    return f"{'; '.join(parts)}; look at {_flags(found, expected, name)}"


def fill(net: nn.Module, found: Mapping[str, Tensor], name: str) -> None:
    """Put a saved state's tensors into a network. Raises ValueError where they are of another network."""
    problem = mismatch(found, net.state_dict(), name)
    if problem:
        raise ValueError(f"network {name} does not fit: {problem}")
    net.load_state_dict(found)


def _flags(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], name: str) -> str:
    """The flags that may differ from those of the file's run, the likeliest first."""
    if name.startswith("F"):
        return "--nce_layers, --netF, --netF_nc, --netG and --ngf"
    counts = [{pattern: len([k for k in keys if re.search(pattern, k)]) for pattern in HINTS}
              for keys in (found, expected)]
    likely = "".join(flags for pattern, flags in HINTS.items() if counts[0][pattern] != counts[1][pattern])
    flags = likely + "--net{0}, --n{1}f, --crop_size, --input_nc and --output_nc"
    return flags.format(name[0], name[0].lower())


def _more(keys: list[str], shown: int = 3) -> str:
    return f" and {len(keys) - shown} more" if len(keys) > shown else ""
