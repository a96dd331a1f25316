"""The formats of exported generators: each with its packages, and the function that writes it."""

import importlib.util
import json
import logging
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch.export import Dim, ExportedProgram
from torch.fx.experimental import _config as symbolic_shapes

from scripts.exporting.generator import Chosen, Exportable
from util.errors import RunError, UsageError
from util.metrics.exported import METADATA


def capture(chosen: Chosen, *, half: bool) -> ExportedProgram:
    """The generator as a program of torch.export, with free batch, height and width.

    Sides are multiples of the generator's size multiple, and no shorter than it takes. Raises RunError where
    torch.export cannot follow a network.
    """
    multiple = chosen.size_multiple
    least = chosen.smallest_side // multiple
    sides = [Dim(name, min=least) if multiple == 1 else multiple * Dim(name, min=least)
             for name in ("rows", "columns")]
    # Unlike numbers, none of them 1: torch.export would take equal ones for one, and 1 for a constant.
    image = torch.zeros(2, chosen.in_channels, multiple * max(least, 3), multiple * (max(least, 3) + 1))
    try:
        # So that a map of one pixel, as in the middle of a U-Net, is not shut out by checks of memory order.
        with torch.no_grad(), symbolic_shapes.patch(backed_size_oblivious=True):
            return torch.export.export(Exportable(chosen.net, half=half).eval(), (image,), strict=False,
                                       dynamic_shapes=({0: Dim("batch"), 2: sides[0], 3: sides[1]},))
    except UsageError:
        raise
    except Exception as error:      # torch.export answers what it cannot follow with errors of every kind
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise RunError(f"torch.export cannot follow the network {chosen.name}: {first}") from error


def write_torch_export(program: ExportedProgram, path: Path, metadata: Mapping[str, str]) -> None:
    program.example_inputs = None       # they would be written, too
    torch.export.save(program, path, extra_files={METADATA: json.dumps(dict(metadata))})


def write_onnx(program: ExportedProgram, path: Path, metadata: Mapping[str, str]) -> None:
    """Input "image", output "translation", both float32 [batch, C, height, width]."""
    import onnx_ir  # of onnxscript

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)     # it warns of torchvision, which is not needed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = torch.onnx.export(program, dynamo=True, verbose=False, input_names=["image"],
                                 output_names=["translation"])
    graph = made.model.graph
    for value in (*graph.inputs, *graph.outputs):
        value.shape = onnx_ir.Shape(["batch", value.shape[1], "height", "width"])
    made.model.metadata_props.update(metadata)
    made.save(path)


class Format(NamedTuple):
    """extension: of its files. packages: what writing and checking such a file needs beside torch.

    write: a program, a new file, and what the file is to tell about itself. runtime: what runs such a file,
    for messages. slow_half: whether it takes minutes for half precision on a CPU.
    """

    extension: str
    packages: tuple[str, ...]
    write: Callable[[ExportedProgram, Path, Mapping[str, str]], None]
    runtime: str
    slow_half: bool


FORMATS = {
    "onnx": Format(".onnx", ("onnx", "onnxruntime", "onnxscript"), write_onnx, "ONNX Runtime",
                   slow_half=False),
    "torch_export": Format(".pt2", (), write_torch_export, "torch.export", slow_half=True),
}


def check_packages(name: str) -> None:
    """Raise UsageError, with the remedy, where a format lacks a package."""
    missing = [package for package in FORMATS[name].packages if importlib.util.find_spec(package) is None]
    if missing:
        raise UsageError(f"--format {name} needs {', '.join(missing)}: pip install -r "
                         "requirements-export.txt; --format torch_export needs no package")
