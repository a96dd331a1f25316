"""Write the generator of a run into a file that other programs run without this one.

    python scripts/export.py checkpoints/h2z_CUT --format onnx
    python scripts/export.py checkpoints/h2z_CUT --format torch_export --use_ema --output zebra.pt2
    python scripts/export.py checkpoints/h2z_cyclegan --format onnx --direction BtoA

Batch, height and width of the file are free. What it makes of images of several sizes is compared with what
PyTorch makes of them before the file takes its place: beyond --max_error there is none, and the exit code is
1. Flags of test.py that name a network follow the others, as in --netG resnet_6blocks. See docs/export.md.
"""

import argparse
import sys
import tempfile
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from models.base_model import BaseModel  # noqa: E402
from models.dclgan_model import DCLGANModel  # noqa: E402
from models.translator import Translator  # noqa: E402
from scripts.exporting.formats import FORMATS, capture, check_packages  # noqa: E402
from scripts.exporting.generator import Chosen, choose  # noqa: E402
from scripts.exporting.parity import BOUNDS, batches, largest_difference  # noqa: E402
from util.atomic import atomic_file  # noqa: E402
from util.checkpoints.run_record import git_commit, read_commit  # noqa: E402
from util.errors import RunError, UsageError, run_command  # noqa: E402
from util.metrics.exported import ANY_CHANNELS, load_exported  # noqa: E402


def parse(argv: Sequence[str] | None = None) -> tuple[Namespace, dict[str, Any]]:
    """The program's own flags, and those that are handed on, by name."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("run", type=Path, help="the run's folder, or a .pth file of a generator's weights")
    add("--format", choices=sorted(FORMATS), required=True,
        help="onnx: for ONNX Runtime and what reads ONNX; torch_export: for PyTorch (.pt2)")
    add("--output", type=Path,
        help="the file to write (default: in the run's folder, named after the run and the epoch)")
    add("--epoch", default="latest", help="which checkpoint: latest, an epoch, or iter_<n> (default: latest)")
    add("--use_ema", action="store_true", help="the averages of the weights that a run with --ema keeps")
    add("--eval", action="store_true", help="batch norm by its running statistics, no dropout")
    add("--direction", choices=["AtoB", "BtoA"],
        help="of a model with two generators, the one that translates so (default: the run's own)")
    add("--fp16", "--half", action="store_true",
        help="compute in half precision; images in and out stay float32")
    add("--max_error", type=float,
        help="largest difference from PyTorch that is let pass, of numbers in [-1, 1] (default: "
             f"{BOUNDS['fp32']:g}, with --fp16 {BOUNDS['fp16']:g})")
    args, words = parser.parse_known_args(argv)
    if args.max_error is None:
        args.max_error = BOUNDS["fp16" if args.fp16 else "fp32"]
    if not args.max_error > 0:
        raise UsageError(f"--max_error is {args.max_error}; give a number above 0")
    return args, as_flags(words)


def as_flags(words: Sequence[str]) -> dict[str, Any]:
    """--name value, --name=value and --name by name. Raises UsageError for a word that follows no flag."""
    flags: dict[str, Any] = {}
    name = None
    for word in words:
        if word.startswith("--"):
            name, _, value = word[2:].partition("=")
            flags[name] = value or True
        elif name is None or flags[name] is not True:
            raise UsageError(f"{word!r} belongs to no flag; --help lists them")
        else:
            flags[name] = word
    return flags


def load(args: Namespace, flags: dict[str, Any]) -> BaseModel:
    """The run's model on the CPU, in float32. Raises UsageError."""
    def loaded(**more: Any) -> BaseModel:
        own = {"epoch": args.epoch, "use_ema": args.use_ema, "eval": args.eval}
        return Translator.load(args.run, device="cpu", precision="fp32", **own, **flags, **more).model

    model = loaded()
    both_ways = isinstance(model, DCLGANModel) and args.direction not in (None, model.opt.direction)
    return loaded(direction=args.direction) if both_ways else model     # which holds one of its two


def output_path(args: Namespace, run: str) -> Path:
    """Where the file goes. Raises UsageError, before any work, for what cannot be written."""
    extension = FORMATS[args.format].extension
    parts = [run, args.epoch, args.direction, "ema" if args.use_ema else None, "fp16" if args.fp16 else None]
    folder = args.run if args.run.is_dir() else args.run.parent
    path = args.output or folder / ("_".join(filter(None, parts)) + extension)
    if path.suffix != extension:
        raise UsageError(f"--output is {path}; a file of --format {args.format} ends in {extension}")
    if not path.parent.is_dir() or path.is_dir():
        raise UsageError(f"--output is {path}; name a file in a folder that exists")
    return path


def metadata_of(model: BaseModel, chosen: Chosen, args: Namespace) -> dict[str, str]:
    """What the file tells about itself; models/exported_model.py says what test.py reads of it."""
    folder = args.run if args.run.is_dir() else args.run.parent
    commits = {"run_commit": read_commit(folder), "export_commit": git_commit()}
    return {
        "input": "float32 [batch, channels, height, width], -1 is black, 1 is white", "pixel_range": "-1:1",
        "input_nc": str(chosen.in_channels), "output_nc": str(chosen.out_channels),
        "size_multiple": str(chosen.size_multiple), "smallest_side": str(chosen.smallest_side),
        "run": model.opt.name, "epoch": args.epoch, "use_ema": str(args.use_ema).lower(),
        "model": model.opt.model, "network": chosen.name, "direction": chosen.direction,
        "value_range": model.opt.value_range, "crop_size": str(model.opt.crop_size),
        "precision": "fp16" if args.fp16 else "fp32", "torch": torch.__version__,
        **{name: commit for name, commit in commits.items() if commit}}


def export(model: BaseModel, args: Namespace) -> Path:
    """Write the file, if it does as PyTorch does, and say how near it is. Returns its path."""
    kind, chosen = FORMATS[args.format], choose(model, args.direction)
    path = output_path(args, model.opt.name)
    given = batches(chosen, few=args.fp16 and kind.slow_half)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / path.name
        kind.write(capture(chosen, half=args.fp16), made, metadata_of(model, chosen, args))
        network = load_exported(made, torch.device("cpu"), ANY_CHANNELS)
        error = largest_difference(network, chosen, given)
        if not error <= args.max_error:
            raise RunError(f"{kind.runtime} differs from PyTorch by up to {error:.2g} (of numbers in "
                           f"[-1, 1]), more than --max_error {args.max_error:g}; {path} was not written")
        with atomic_file(path) as stream:
            stream.write(made.read_bytes())
    shapes = ", ".join("x".join(map(str, (len(images), *images.shape[2:]))) for images in given)
    print(f"{kind.runtime} against PyTorch on {shapes} (images x height x width): largest difference "
          f"{error:.2g} of numbers in [-1, 1], or {error * 127.5:.2g} of 255 levels; allowed "
          f"{args.max_error:g}")
    return path


def main() -> None:
    args, flags = parse()
    check_packages(args.format)
    path = export(load(args, flags), args)
    print(f"wrote {path}: {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    run_command(main)
