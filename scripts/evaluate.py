"""Score translated images against real ones of the target domain.

    python scripts/evaluate.py --real datasets/horse2zebra/testB \
        --fake results/h2z_CUT/test_latest/images/fake_B

Prints FID, KID, Inception score, precision and recall (by the package torch-fidelity: pip install -r
requirements-eval.txt), the sliced Wasserstein distance of patches and, where every fake has a real image of
its name, PSNR and SSIM. With --features FILE, distances by that exported network replace Inception's.
Counts and resizing stand beside each figure; docs/evaluation.md says what compares with what.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from data.scored_folder import ImageFolder  # noqa: E402
from options.base_options import resolve_device  # noqa: E402
from util.errors import UsageError, run_command  # noqa: E402
from util.metrics.exported import load_exported  # noqa: E402
from util.metrics.features import RESIZE_FILTERS, extract_features  # noqa: E402
from util.metrics.fid import fit_gaussian, frechet_distance  # noqa: E402
from util.metrics.inception import ImageSet, inception_figures  # noqa: E402
from util.metrics.kid import kernel_distance  # noqa: E402
from util.metrics.perceptual_distance import load_lpips  # noqa: E402
from util.metrics.psnr_ssim import psnr, ssim  # noqa: E402
from util.metrics.report import Figure, as_table, few_images, results_file, write_json  # noqa: E402
from util.metrics.swd import patch_distance  # noqa: E402

Figures = dict[str, Figure]
INCEPTION = "Inception v3 of 2015-12-05, by torch-fidelity"


def feature_figures(real: ImageFolder, fake: ImageFolder, arguments: argparse.Namespace) -> Figures:
    """Frechet and kernel distance of the features that --features FILE finds."""
    if min(len(real), len(fake)) < 4:
        raise UsageError(f"{len(real)} real and {len(fake)} fake images are too few; give 4 of each")
    network = load_exported(arguments.features, arguments.device)
    a, b = (extract_features(network, folder.images(network.channels), resize=arguments.resize,
                             batch_size=arguments.batch_size) for folder in (real, fake))
    frechet, kernel = frechet_distance(fit_gaussian(a), fit_gaussian(b)), kernel_distance(a, b)
    how = f"{arguments.resize} to {network.width} x {network.height}" if network.size else "none"
    counts = len(real), len(fake), how
    return {"Frechet distance": Figure(frechet, "lower", *counts),
            "kernel distance x 1000": Figure(1000 * kernel.mean, "lower", *counts, 1000 * kernel.spread)}


def inception(real: ImageFolder, fake: ImageFolder, arguments: argparse.Namespace) -> Figures:
    def image_set(folder: ImageFolder) -> ImageSet:
        names = list(folder.paths)
        return ImageSet(len(names), lambda index: folder.read(names[index]))

    alike = len(real.sizes()) == len(fake.sizes()) == 1         # others cannot share a batch
    return inception_figures(image_set(real), image_set(fake), weights=arguments.weights,
                             device=arguments.device, batch_size=arguments.batch_size if alike else 1)


def paired_figures(real: ImageFolder, fake: ImageFolder, arguments: argparse.Namespace) -> Figures:
    """Means over the pairs of one name; {} unless every fake has its real image."""
    if not fake.paths.keys() <= real.paths.keys():
        return {}
    metrics: dict[str, tuple[Callable[[np.ndarray, np.ndarray], float], str, int]] = {
        "PSNR, dB": (psnr, "higher", 2), "SSIM": (ssim, "higher", 3)}
    if arguments.lpips:
        metrics["LPIPS"] = load_lpips(arguments.lpips, arguments.device), "lower", 3
    values = []
    for name in fake.paths:
        a, b = fake.read(name), real.read(name)
        if a.shape != b.shape:
            raise UsageError(f"{name} is {a.shape[1]} x {a.shape[0]} in --fake, {b.shape[1]} x {b.shape[0]} "
                             f"in --real; bring both to one size: --size {a.shape[1]}")
        values.append([metric(a, b) for metric, _, _ in metrics.values()])
    means = np.mean(values, axis=0)
    return {name: Figure(float(mean), better, len(fake), len(fake), digits=digits)
            for mean, (name, (_, better, digits)) in zip(means, metrics.items(), strict=True)}


def all_figures(real: ImageFolder, fake: ImageFolder, arguments: argparse.Namespace) -> Figures:
    paired = paired_figures(real, fake, arguments)
    distance = patch_distance(fake.images(), real.images())
    figures = (feature_figures if arguments.features else inception)(real, fake, arguments)
    figures |= {"SWD x 1000": Figure(distance, "lower", len(real), len(fake), digits=1)} | paired
    if arguments.size:
        first = f"{arguments.resize} to {arguments.size} x {arguments.size}"
        figures = {name: f._replace(resize=first if f.resize == "none" else f"{first}, then {f.resize}")
                   for name, f in figures.items()}
    return figures


def warnings(real: ImageFolder, fake: ImageFolder, arguments: argparse.Namespace) -> list[str]:
    found = [few_images(len(real), len(fake))]
    if arguments.lpips and not fake.paths.keys() <= real.paths.keys():
        found.append("no LPIPS: not every fake has a real image of its name to be compared with")
    if real.sizes() != fake.sizes():
        found.append("real and fake images differ in size and so in sharpness; bring both to one: --size N")
    return [line for line in found if line]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--real", type=Path, required=True, metavar="DIR", help="images of the target domain, testB")
    add("--fake", type=Path, required=True, metavar="DIR", help="translated images")
    add("--features", type=Path, metavar="FILE", help="exported network, .pt2 or .onnx, in Inception's place")
    add("--weights", type=Path, metavar="FILE", help="Inception's weights (default: downloaded once)")
    add("--lpips", type=Path, metavar="FILE", help="also LPIPS, by torchvision's weight file of AlexNet")
    add("--size", type=int, metavar="N", help="resize every image to N x N first")
    add("--resize", choices=sorted(RESIZE_FILTERS), default="bicubic",
        help="filter of --size and --features, Pillow's with anti-aliasing (default: bicubic)")
    add("--batch_size", type=int, default=32, help="images at a time through the network (default: 32)")
    add("--gpu_ids", default="auto", help="auto: the first GPU, or the CPU; 0: that GPU; -1: CPU")
    add("--output", type=Path, metavar="FILE",
        help="JSON to write (default: metrics.json beside the images folder that test.py made, else none)")
    arguments = parser.parse_args()
    if arguments.features and arguments.weights:
        raise UsageError("--weights are Inception's, which --features replaces; give one of the two")
    for flag in ("batch_size", "size"):
        if getattr(arguments, flag) is not None and getattr(arguments, flag) < 1:
            raise UsageError(f"--{flag} is {getattr(arguments, flag)}; it must be at least 1")
    arguments.device = resolve_device(arguments.gpu_ids)
    return arguments


def main() -> None:
    arguments = parse()
    size = (arguments.size, arguments.size) if arguments.size else None
    real = ImageFolder("--real", arguments.real, size=size, resize=arguments.resize)
    fake = ImageFolder("--fake", arguments.fake, size=size, resize=arguments.resize)
    features = str(arguments.features or INCEPTION)
    print(f"real: {real.describe()}\nfake: {fake.describe()}\nfeatures: {features}\n", flush=True)
    figures, remarks = all_figures(real, fake, arguments), warnings(real, fake, arguments)
    print(as_table(figures), *(f"warning: {line}" for line in remarks), sep="\n")
    if output := arguments.output or results_file(arguments.fake, "metrics.json"):
        record = {"real": str(arguments.real), "fake": str(arguments.fake), "features": features,
                  "figures": {name: figure.as_json() for name, figure in figures.items()},
                  "warnings": remarks, "torch": torch.__version__}
        write_json(output, record)
        print(f"written to {output}")


if __name__ == "__main__":
    run_command(main)
