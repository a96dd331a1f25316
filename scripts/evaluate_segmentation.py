"""Score photos translated from label maps by a segmentation network, or score label maps themselves.

    python scripts/evaluate_segmentation.py --set cityscapes --segmenter drn_d_22_cityscapes.pth \
        --labels datasets/cityscapes_labels/val --fake results/city_CUT/test_latest/images/fake_B
    python scripts/evaluate_segmentation.py --set camvid --labels datasets/camvid/testannot --fake <maps>

The network has to find the labels in the photos again. --segmenter is a .pth of DRN-D-22 or a network
exported to .pt2 or .onnx; without it --fake holds label maps, of class numbers or colours. Prints pixel
accuracy, class accuracy and mean IoU over all pixels of the set. docs/evaluation.md says what is known about
how the paper's scores were made.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from data.scoring_folder import ScoringFolder, Size  # noqa: E402
from options.devices import resolve_device  # noqa: E402
from util.checkpoints.weights import load_file, mismatch  # noqa: E402
from util.errors import UsageError, run_command  # noqa: E402
from util.metrics.exported import load_exported  # noqa: E402
from util.metrics.features import resized, to_unit_tensor  # noqa: E402
from util.metrics.label_maps import LABEL_SETS, LabelSet, labels_from_colours, labels_from_ids  # noqa: E402
from util.metrics.networks.drn import DRND22, published_weights  # noqa: E402
from util.metrics.report import columns, results_file, write_json  # noqa: E402
from util.metrics.segmentation import confusion_matrix, mean_scores, scores_by_class  # noqa: E402

Segmenter = Callable[[Tensor], Tensor]
SIZES: dict[str, Size | None] = {"cityscapes": (256, 128), "camvid": None}  # None: the true labels' size


def load_segmenter(path: Path, classes: int, device: torch.device) -> tuple[Segmenter, Size | None]:
    """The network in a file, and the size of photos that it needs, None: any. Raises UsageError.

    The network takes photos [1, 3, H, W] in [0, 1] and gives scores of classes, or labels.
    """
    if path.suffix != ".pth":
        network = load_exported(path, device)
        if network.channels != 3:
            raise UsageError(f"--segmenter {path} takes gray images; give one for colour")
        return network, network.size
    network = DRND22(classes=classes).eval()
    weights = published_weights(load_file(path))
    counters = {name: value for name, value in network.state_dict().items() if "num_batches" in name}
    if problem := mismatch(weights | counters, network.state_dict(), "DRN"):
        raise UsageError(f"--segmenter {path} is not DRN-D-22 of {classes} classes: "
                         f"{problem.split('; look')[0]}")
    network.load_state_dict(weights | counters)
    network.to(device)
    return torch.inference_mode()(lambda photos: network(photos.to(device)).cpu()), None


def found_labels(output: Tensor, classes: int, size: Size) -> np.ndarray:
    """The labels [H, W] in a segmenter's output for one photo.

    output: scores [1, classes, h, w] or labels [1, h, w] or [1, 1, h, w]. size: W and H. Raises UsageError.
    """
    width, height = size
    if output.ndim == 4 and output.shape[1] == classes:
        scores = F.interpolate(output.float(), (height, width), mode="bilinear", align_corners=False)
        return scores.argmax(1)[0].numpy()
    if output.ndim == 3 or output.ndim == 4 and output.shape[1] == 1:
        labels = output.reshape(1, 1, *output.shape[-2:])
        return F.interpolate(labels.float(), (height, width), mode="nearest-exact")[0, 0].long().numpy()
    raise UsageError(f"--segmenter gives {list(output.shape)}; it has to give scores "
                     f"[batch, {classes}, height, width], or labels [batch, height, width]")


def read_labels(path: Path, labels: LabelSet, *, full: bool, truth: bool) -> np.ndarray:
    """The class numbers [H, W] in an image of numbers (gray or palette, of 8 bits) or of colours."""
    with Image.open(path) as image:
        numbers = image.mode in ("L", "P")
        pixels = np.asarray(image if numbers else image.convert("RGB"))
    if not numbers:
        return labels_from_colours(pixels, labels, ignore=truth)
    try:
        return labels_from_ids(pixels, labels, full=full)
    except ValueError as error:
        raise UsageError(f"{path}: {error}; see --set and --label_ids") from error


def matched(truth: ScoringFolder, fake: ScoringFolder,
            arguments: argparse.Namespace) -> list[tuple[str, str]]:
    """Names (true, fake), equal but for the suffixes. Raises UsageError for a fake without labels."""
    true_names = {name.removesuffix(arguments.label_suffix): name for name in truth.paths
                  if name.endswith(arguments.label_suffix)}
    pairs = []
    for name in fake.paths:
        stem = name.removesuffix(arguments.fake_suffix)
        if stem not in true_names:
            raise UsageError(f"--labels {truth.folder} has no {stem + arguments.label_suffix!r} for --fake "
                             f"{name}; names have to be equal but for --label_suffix and --fake_suffix")
        pairs.append((true_names[stem], name))
    return pairs


def count(arguments: argparse.Namespace) -> tuple[np.ndarray, int]:
    """The confusion matrix of the whole set, and the number of images in it."""
    labels, size = LABEL_SETS[arguments.set], arguments.size or SIZES[arguments.set]
    classes = len(labels.classes)
    truth, fake = ScoringFolder("--labels", arguments.labels), ScoringFolder("--fake", arguments.fake)
    segmenter, needed = None, None
    if arguments.segmenter:
        segmenter, needed = load_segmenter(arguments.segmenter, classes, resolve_device(arguments.gpu_ids))
    total = np.zeros((classes, classes), dtype=np.int64)
    pairs = matched(truth, fake, arguments)
    for true_name, fake_name in pairs:
        true = read_labels(truth.paths[true_name], labels, full=arguments.label_ids == "full", truth=True)
        true = nearest(true, size)
        shape = true.shape[1], true.shape[0]
        if segmenter:
            photo = resized(resized(fake[fake_name], shape), needed)
            predicted = found_labels(segmenter(to_unit_tensor([photo])), classes, shape)
        else:
            predicted = nearest(read_labels(fake.paths[fake_name], labels, full=False, truth=False), shape)
        try:
            total += confusion_matrix(true, predicted, classes)
        except ValueError as error:
            raise UsageError(f"--fake {fake_name}: {error}") from error
    return total, len(pairs)


def nearest(label_map: np.ndarray, size: Size | None) -> np.ndarray:
    """Class numbers [H, W] resized to `size` (width, height) by the nearest pixel; None: left as they are."""
    if size is None:
        return label_map
    return np.asarray(Image.fromarray(label_map).resize(size, Image.Resampling.NEAREST))


def image_size(text: str) -> Size:
    """(256, 128) from "256x128"."""
    try:
        width, height = (int(part) for part in text.lower().split("x"))
    except ValueError:
        raise UsageError(f"--size is {text!r}; give width x height, like 256x128") from None
    return width, height


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--set", choices=sorted(LABEL_SETS), default="cityscapes", help="which classes (default: cityscapes)")
    add("--labels", type=Path, required=True, metavar="DIR", help="true label maps: class numbers or colours")
    add("--fake", type=Path, required=True, metavar="DIR", help="photos for --segmenter, else label maps")
    add("--segmenter", type=Path, metavar="FILE", help="DRN-D-22's weights (.pth) or an exported network")
    add("--size", type=image_size, metavar="WxH",
        help="size to compare at: photos bicubic, labels nearest (default: 256x128, camvid: the labels')")
    add("--label_ids", choices=["train", "full"], default="train",
        help="gray --labels hold class numbers (train), or Cityscapes' full list (its *_labelIds.png)")
    add("--label_suffix", default="", help="end of the names to use in --labels, such as _gtFine_labelIds")
    add("--fake_suffix", default="", help="end of the names in --fake to remove, such as _leftImg8bit")
    add("--gpu_ids", default="auto", help="auto: the first GPU, or the CPU; 0: that GPU; -1: CPU")
    add("--output", type=Path, metavar="FILE",
        help="JSON to write (default: segmentation.json beside the images folder of test.py, else none)")
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    matrix, images = count(arguments)
    scores, classes = mean_scores(matrix), scores_by_class(matrix, list(LABEL_SETS[arguments.set].classes))
    size = arguments.size or SIZES[arguments.set]
    how = "{} x {}".format(*size) if size else "the labels' own size"
    print(f"{images} images of {arguments.fake} at {how}, {int(matrix.sum()):,} pixels of "
          f"{len(classes)} classes, segmented by {arguments.segmenter or 'nobody: they are label maps'}\n")
    print(columns([("class", "% of pixels", "accuracy", "IoU")] + [
        (name, *(f"{value:.1f}" for value in row.values())) for name, row in classes.items()]))
    print("\n" + "  ".join(f"{name} {value:.2f}" for name, value in scores.items()))
    if output := arguments.output or results_file(arguments.fake, "segmentation.json"):
        record = {"labels": str(arguments.labels), "fake": str(arguments.fake), "images": images,
                  "segmenter": str(arguments.segmenter), "set": arguments.set, "size": size,
                  "figures": scores, "classes": classes, "confusion": matrix.tolist()}
        write_json(output, record)
        print(f"written to {output}")


if __name__ == "__main__":
    run_command(main)
