"""Convert the published code's MUNIT checkpoints to weight files that test.py and train.py read.

    python scripts/convert_munit.py gen_01000000.pt --name edges2shoes_munit
    python test.py --model munit --name edges2shoes_munit --dataroot ./datasets/edges2shoes --num_styles 3

gen_*.pt holds the generators of domain A (key a) and B (key b); they become latest_net_G_A.pth and
latest_net_G_B.pth in <checkpoints_dir>/<name>. With --dis, dis_*.pt become latest_net_D_A.pth and
latest_net_D_B.pth, from which train.py can go on with --pretrained_name. Statistics that the published norms
store and never use are left out. optimizer.pt is not converted.
"""

import argparse
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from models.networks.multimodal.discriminator import MultiScaleDiscriminator  # noqa: E402
from models.networks.multimodal.munit import MUNITGenerator  # noqa: E402
from util.checkpoints.weights import load_file, mismatch, save_file, weights_path  # noqa: E402
from util.errors import UsageError, run_command  # noqa: E402

Weights = dict[str, Tensor]
UNUSED = ("running_mean", "running_var", "num_batches_tracked")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gen", type=Path, help="gen_*.pt, the generators")
    parser.add_argument("--dis", type=Path, help="dis_*.pt, the discriminators")
    parser.add_argument("--name", required=True, help="name of the run to make")
    parser.add_argument("--checkpoints_dir", type=Path, default=Path("checkpoints"),
                        help="where its folder goes")
    parser.add_argument("--epoch", default="latest", help="label of the files, as test.py --epoch names it")
    args = parser.parse_args(argv)
    converted, flags = convert(args)
    folder = args.checkpoints_dir / args.name
    for name in converted:
        path = weights_path(folder, args.epoch, name)
        if path.exists():
            raise UsageError(f"{path} is there already; choose another --name or --epoch")
    for name, weights in converted.items():
        save_file(weights_path(folder, args.epoch, name), weights)
    print(f"wrote {', '.join(converted)} to {folder}; use: {flags}")


def convert(args: Namespace) -> tuple[dict[str, Weights], str]:
    """Weights by the names of our networks, and the flags with which they fit. Raises UsageError."""
    converted: dict[str, Weights] = {}
    flags = {}
    for domain, weights in domains(args.gen).items():
        sizes = fitting_generator(args.gen, domain, weights)
        flags[domain] = f"--ngf {sizes['width']} --style_dim {sizes['style_dim']}"
        converted[f"G_{domain}"] = weights
    for domain, weights in domains(args.dis).items() if args.dis else ():
        width = fitting_discriminator(args.dis, domain, weights)
        flags[domain] += f" --ndf {width}"
        converted[f"D_{domain}"] = weights
    if flags["A"] != flags["B"]:
        raise UsageError(f"{args.gen}: the networks of a and b have other sizes ({flags['A']} and "
                         f"{flags['B']}), which --model munit cannot have")
    return converted, f"--model munit {flags['A']}"


def domains(path: Path) -> dict[str, Weights]:
    """The weights of both domains in a published file, A and B, without what is not used."""
    content = load_file(path)
    if content.keys() != {"a", "b"} or not all(map(holds_tensors, content.values())):
        raise UsageError(f"{path} holds {', '.join(list(content)[:4])}; a published MUNIT file holds the "
                         "weights of two domains, a and b")
    return {key.upper(): {name: value for name, value in part.items() if not name.endswith(UNUSED)}
            for key, part in content.items()}


def holds_tensors(part: object) -> bool:
    return isinstance(part, Mapping) and all(isinstance(value, Tensor) for value in part.values())


def fitting_generator(path: Path, domain: str, weights: Weights) -> dict[str, int]:
    """The sizes of the generator that these weights fit."""
    first = shape_of(path, weights, "enc_content.model.0.conv.weight")
    sizes = dict(width=first[0], channels=first[1],
                 style_dim=shape_of(path, weights, "mlp.model.0.fc.weight")[1])
    with torch.device("meta"):
        net = MUNITGenerator(**sizes)
    check(path, f"G_{domain}", weights, net)
    return sizes


def fitting_discriminator(path: Path, domain: str, weights: Weights) -> int:
    """The width of the discriminator that these weights fit."""
    width, channels = shape_of(path, weights, "cnns.0.0.conv.weight")[:2]
    with torch.device("meta"):
        net = MultiScaleDiscriminator(in_channels=channels, width=width)
    check(path, f"D_{domain}", weights, net)
    return width


def shape_of(path: Path, weights: Weights, key: str) -> torch.Size:
    if key not in weights:
        raise UsageError(f"{path} has no {key}: it holds no such networks of MUNIT; gen_*.pt comes first, "
                         "dis_*.pt behind --dis")
    return weights[key].shape


def check(path: Path, name: str, weights: Weights, net: nn.Module) -> None:
    problem = mismatch(weights, net.state_dict(), name).split("; look at")[0]
    if problem:
        raise UsageError(f"{path} does not fit a network {name} of MUNIT: {problem}")


if __name__ == "__main__":
    run_command(main)
