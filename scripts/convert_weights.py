"""Convert published checkpoints of MUNIT and DRIT to weight files that test.py and train.py read.

    python scripts/convert_weights.py gen_01000000.pt --name edges2shoes_munit
    python scripts/convert_weights.py example.pth --name yosemite_drit
    python test.py --model munit --name edges2shoes_munit --dataroot ./datasets/edges2shoes --num_styles 3

The file tells which code it is of. MUNIT's gen_*.pt holds the generators of domain A (key a) and B (key b);
they become latest_net_G_A.pth and latest_net_G_B.pth in <checkpoints_dir>/<name>. With --dis, dis_*.pt become
latest_net_D_A.pth and latest_net_D_B.pth. DRIT's file holds the networks that translate (enc_c, enc_a, gen),
which become latest_net_G_enc_c.pth and so on, and discriminators, which are left out if they have spectral
norm. From discriminators train.py can go on with --pretrained_name. Optimizers are not converted, nor are
statistics that the published norms store and never use.
"""

import argparse
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from models.drit_model import STYLES as DRIT_STYLES  # noqa: E402
from models.networks.multimodal.discriminator import MultiScaleDiscriminator  # noqa: E402
from models.networks.multimodal.drit import ContentEncoder  # noqa: E402
from models.networks.multimodal.drit_discriminators import (  # noqa: E402
    ContentDiscriminator,
    image_discriminator,
)
from models.networks.multimodal.munit import MUNITGenerator  # noqa: E402
from util.checkpoints.weights import load_file, mismatch, save_file, weights_path  # noqa: E402
from util.errors import UsageError, run_command  # noqa: E402

Weights = dict[str, Tensor]
UNUSED = ("running_mean", "running_var", "num_batches_tracked")
# Keys of DRIT's file, and the networks' names here.
DRIT_GENERATORS = {"enc_c": "G_enc_c", "enc_a": "G_enc_a", "gen": "G_gen"}
DRIT_D = {"disA": "D_A", "disB": "D_B", "disA2": "D_A2", "disB2": "D_B2", "disContent": "D_content"}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="gen_*.pt of MUNIT, with the generators; a file of DRIT")
    parser.add_argument("--dis", type=Path, help="dis_*.pt of MUNIT, with the discriminators")
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
    content = load_file(args.file)
    if content.keys() == {"a", "b"}:
        return convert_munit(args.file, args.dis)
    if DRIT_GENERATORS.keys() <= content.keys():
        if args.dis:
            raise UsageError(f"--dis {args.dis} goes with MUNIT, but {args.file} is a file of DRIT: leave it "
                             "out")
        return convert_drit(args.file, content)
    raise UsageError(f"{args.file} holds {', '.join(list(content)[:4])}; a published MUNIT file holds the "
                     "weights of two domains, a and b, and one of DRIT enc_c, enc_a and gen")


def shape_of(path: Path, weights: Weights, key: str) -> torch.Size:
    if key not in weights:
        raise UsageError(f"{path} has no {key}: it does not hold the networks of the published code")
    return weights[key].shape


def check(path: Path, name: str, weights: Weights, net: nn.Module) -> None:
    problem = mismatch(weights, net.state_dict(), name).split("; look at")[0]
    if problem:
        raise UsageError(f"{path} does not fit a network {name} of this program: {problem}")


def holds_tensors(part: object) -> bool:
    return isinstance(part, Mapping) and all(isinstance(value, Tensor) for value in part.values())


# ---- MUNIT


def convert_munit(gen: Path, dis: Path | None) -> tuple[dict[str, Weights], str]:
    converted: dict[str, Weights] = {}
    flags = {}
    for domain, weights in domains(gen).items():
        sizes = fitting_generator(gen, domain, weights)
        flags[domain] = f"--ngf {sizes['width']} --style_dim {sizes['style_dim']}"
        converted[f"G_{domain}"] = weights
    for domain, weights in domains(dis).items() if dis else ():
        width = fitting_discriminator(dis, domain, weights)
        flags[domain] += f" --ndf {width}"
        converted[f"D_{domain}"] = weights
    if flags["A"] != flags["B"]:
        raise UsageError(f"{gen}: the networks of a and b have other sizes ({flags['A']} and "
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


# ---- DRIT


def convert_drit(path: Path, content: Mapping[str, Any]) -> tuple[dict[str, Weights], str]:
    """The networks in DRIT's file; discriminators where it holds all five of them, without spectral norm."""
    parts = DRIT_GENERATORS | {key: name for key, name in DRIT_D.items() if key in content}
    wrong = next((key for key in parts if not holds_tensors(content[key])), None)
    if wrong:
        raise UsageError(f"{path}: its {wrong} holds no network's weights")
    whole = DRIT_D.keys() <= content.keys() and not any(
        name.endswith("weight_orig") for key in DRIT_D for name in content[key])
    names = DRIT_GENERATORS | (DRIT_D if whole else {})
    weights = {name: dict(content[key]) for key, name in names.items()}
    nets, flags = drit_generators(path, weights)
    if whole:
        made, more = drit_discriminators(path, weights)
        nets, flags = nets | made, f"{flags} {more}"
    for name, net in nets.items():
        check(path, name, weights[name], net)
    return weights, flags


def drit_generators(path: Path, weights: dict[str, Weights]) -> tuple[dict[str, nn.Module], str]:
    """The networks that these weights should fit, and their flags."""
    encoder, style = weights["G_enc_c"], weights["G_enc_a"]
    no_concat = "model_a.1.weight" in style
    first = {domain: shape_of(path, encoder, f"conv{domain}.0.model.1.weight") for domain in "AB"}
    sizes: dict[str, Any] = dict(width=first["A"][0], channels=(first["A"][1], first["B"][1]))
    last = "model_a.16.weight" if no_concat else "fc_A.0.weight"
    styled = sizes | dict(style_dim=shape_of(path, style, last)[0])
    style_encoder, generator = DRIT_STYLES[no_concat]
    with torch.device("meta"):
        nets = {"G_enc_c": ContentEncoder(**sizes), "G_enc_a": style_encoder(**styled),
                "G_gen": generator(**styled)}
    return nets, (f"--model drit{' --no_concat' * no_concat} --ngf {sizes['width']} --style_dim "
                  f"{styled['style_dim']}")


def drit_discriminators(path: Path, weights: dict[str, Weights]) -> tuple[dict[str, nn.Module], str]:
    """As drit_generators."""
    scales = len({key.split(".")[1] for key in weights["D_A"] if key.startswith("Diss.")}) or 1
    first = "model.0.model.1.weight" if scales == 1 else "Diss.0.0.model.1.weight"
    shapes = {name: shape_of(path, weights[name], first) for name in DRIT_D.values() if name != "D_content"}
    width = shapes["D_A"][0]
    content = weights["D_content"]
    layers = len([key for key in content if key.endswith(".model.1.weight")]) - 1     # the last one is 4x4
    c_out, c_in = shape_of(path, content, "model.0.model.1.weight")[:2]
    with torch.device("meta"):
        nets: dict[str, nn.Module] = {"D_content": ContentDiscriminator(in_channels=c_in, width=c_out,
                                                                        layers=layers)}
        nets |= {name: image_discriminator(scales=scales, in_channels=shape[1], width=width)
                 for name, shape in shapes.items()}
    return nets, f"--ndf {width} --dis_scale {scales} --content_D_layers {layers}"


if __name__ == "__main__":
    run_command(main)
