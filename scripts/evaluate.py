"""Score translated images against real ones of the target domain.

    python scripts/evaluate.py --real datasets/horse2zebra/testB \
        --fake results/h2z_CUT/test_latest/images/fake_B

Prints the metrics in the table of util/metrics/registry.py: FID, KID, Inception score, precision and recall
(by the package torch-fidelity: pip install -r requirements-eval.txt), the sliced Wasserstein distance of
patches and, where every fake has a real image of its name, PSNR and SSIM. With --features FILE, distances by
that exported network replace Inception's. Counts and resizing stand beside each score; docs/evaluation.md
says which scores can be compared.
"""

import argparse
import sys
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from data.readers import ValueRange, value_range  # noqa: E402
from data.scoring_folder import ScoringFolder  # noqa: E402
from options.devices import resolve_device  # noqa: E402
from util.errors import UsageError, run_command  # noqa: E402
from util.metrics.exported import load_exported  # noqa: E402
from util.metrics.features import RESIZE_FILTERS, extract_features  # noqa: E402
from util.metrics.inception import RESIZE, inception_scores  # noqa: E402
from util.metrics.lpips import load_lpips  # noqa: E402
from util.metrics.registry import Extractor, ImageSet, metrics_needing  # noqa: E402
from util.metrics.report import Score, as_table, few_images, results_file, write_json  # noqa: E402

INCEPTION = "Inception v3 of 2015-12-05, by torch-fidelity"


def all_scores(real: ScoringFolder, fake: ScoringFolder, arguments: argparse.Namespace) -> dict[str, Score]:
    """The scores of all metrics whose needs are met here, by title. Raises UsageError."""
    networks, resizes = load_networks(real, fake, arguments)
    fake_set, real_set = ImageSet(fake, **networks), ImageSet(real, **networks)
    scores = {}
    for name, metric in metrics_needing(*resizes).items():
        title = metric.title or name
        try:
            value, spread = metric.estimate(fake_set, real_set)
        except ValueError as error:                             # images that the metric cannot take
            raise UsageError(f"{title} of --fake {arguments.fake} cannot be computed: {error}") from error
        compared = fake if metric.needs in ("pairs", "lpips") else real
        scores[title] = Score(value, metric.better, len(compared), len(fake), resizes[metric.needs], spread,
                              metric.digits)
    return scores


def load_networks(real: ScoringFolder, fake: ScoringFolder,
                  arguments: argparse.Namespace) -> tuple[dict[str, Callable], dict[str, str]]:
    """The networks that ImageSet takes, by its names; and the needs of metrics that are met.

    The needs are in the order of the rows, each with how images are resized for it. Raises UsageError.
    """
    networks, resizes = {}, {}      # resizes: by the network; --size comes before
    if arguments.features:
        networks["extractor"], resizes["features"] = exported_extractor(real, fake, arguments)
    else:
        alike = len(real.sizes()) == len(fake.sizes()) == 1     # others cannot share a batch
        settings = {"weights": arguments.weights, "device": arguments.device,
                    "batch_size": arguments.batch_size if alike else 1}
        networks["inception"] = cache(partial(inception_scores, **settings))   # five metrics share its scores
        resizes["inception"] = RESIZE
    resizes[""] = ""
    if is_paired(real, fake):
        check_sizes(real, fake)
        resizes["pairs"] = ""
        if arguments.lpips:
            networks["lpips"], resizes["lpips"] = load_lpips(arguments.lpips, arguments.device), ""
    first = f"{arguments.resize} to {arguments.size} x {arguments.size}" if arguments.size else ""
    return networks, {need: ", then ".join(filter(None, (first, then))) or "none"
                      for need, then in resizes.items()}


def exported_extractor(real: ScoringFolder, fake: ScoringFolder,
                       arguments: argparse.Namespace) -> tuple[Extractor, str]:
    """The extractor of the network --features, and how it resizes images, "" if not. Raises UsageError."""
    if min(len(real), len(fake)) < 4:
        raise UsageError(f"{len(real)} real and {len(fake)} fake images are too few; give 4 of each")
    network = load_exported(arguments.features, arguments.device)
    extractor = partial(extract_features, network, resize=arguments.resize, batch_size=arguments.batch_size)
    return extractor, f"{arguments.resize} to {network.width} x {network.height}" if network.size else ""


def is_paired(real: ScoringFolder, fake: ScoringFolder) -> bool:
    """Whether every fake has a real image of its name."""
    return fake.keys() <= real.keys()


def check_sizes(real: ScoringFolder, fake: ScoringFolder) -> None:
    """Raise UsageError for a pair of images of two sizes."""
    for name in fake:
        (width, height), (real_width, real_height) = fake.size_of(name), real.size_of(name)
        if (width, height) != (real_width, real_height):
            raise UsageError(f"{name} is {width} x {height} in --fake, {real_width} x {real_height} in "
                             f"--real; bring both to one size: --size {width}")


def warnings(real: ScoringFolder, fake: ScoringFolder, arguments: argparse.Namespace) -> list[str]:
    """What may mislead in the scores."""
    found = [few_images(len(real), len(fake))]
    if arguments.lpips and not is_paired(real, fake):
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
    add("--value_range", default="", metavar="RANGE",
        help="read files with all their bits, .npy, NIfTI, DICOM and HDF5, too: lo:hi, window:CENTER:WIDTH "
             "or auto, as in training; PSNR, SSIM and SWD then count in that range, not in 8 bits")
    add("--slice_axis", type=int, choices=(0, 1, 2), help="along which volumes are sliced (default: 2 in "
        "NIfTI, else 0)")
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
    arguments.scale = value_range(arguments.value_range)
    if arguments.scale and not isinstance(arguments.scale, ValueRange):
        raise UsageError(f"--value_range is {arguments.value_range}, which differs from file to file; scores "
                         "need one range for both folders, such as lo:hi")
    arguments.device = resolve_device(arguments.gpu_ids)
    return arguments


def main() -> None:
    arguments = parse()
    size = (arguments.size, arguments.size) if arguments.size else None
    reading = {"size": size, "resize": arguments.resize,
               "scale": arguments.scale, "axis": arguments.slice_axis}
    real = ScoringFolder("--real", arguments.real, **reading)
    fake = ScoringFolder("--fake", arguments.fake, **reading)
    features = str(arguments.features or INCEPTION)
    print(f"real: {real.describe()}\nfake: {fake.describe()}\nfeatures: {features}\n", flush=True)
    scores, remarks = all_scores(real, fake, arguments), warnings(real, fake, arguments)
    print(as_table(scores), *(f"warning: {line}" for line in remarks), sep="\n")
    if output := arguments.output or results_file(arguments.fake, "metrics.json"):
        record = {"real": str(arguments.real), "fake": str(arguments.fake), "features": features,
                  "value_range": arguments.value_range,
                  "figures": {title: score.as_json() for title, score in scores.items()},
                  "warnings": remarks, "torch": torch.__version__}
        write_json(output, record)
        print(f"written to {output}")


if __name__ == "__main__":
    run_command(main)
