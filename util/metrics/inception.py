"""FID, KID, Inception score, precision and recall through the package torch-fidelity.

Its Inception v3 holds the weights of the first FID (2015-12-05), as pytorch-fid's does: the figures compare.
"""

import importlib
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from urllib.error import URLError

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from util.checkpoints.weights import load_file
from util.errors import UsageError
from util.metrics.features import batches, with_channels
from util.metrics.kid import subset_size
from util.metrics.report import Figure

RESIZE = "bilinear to 299 x 299, no anti-aliasing"  # as TensorFlow 1 did
FEWEST = 10  # images a side, for the ten parts of the Inception score


def load_inception(weights: Path | None, device: torch.device,
                   batch_size: int = 32) -> Callable[[Iterable[np.ndarray]], np.ndarray]:
    """FID's features [N, 2048] of uint8 [H, W, C] images, C 1 or 3. Raises as inception_figures."""
    _installed()
    weights = weights or _downloaded()
    _check(weights)
    utils = importlib.import_module("torch_fidelity.utils")
    network = utils.create_feature_extractor("inception-v3-compat", ["2048"], cuda=device.type == "cuda",
                                             feature_extractor_weights_path=str(weights), verbose=False)

    @torch.inference_mode()
    def features(images: Iterable[np.ndarray]) -> np.ndarray:
        colour = (with_channels(image, 3) for image in images)
        found = [network(torch.from_numpy(np.stack(batch)).permute(0, 3, 1, 2).to(device))[0].cpu()
                 for batch in batches(colour, batch_size)]
        return torch.cat(found).double().numpy()

    return features


class ImageSet(Dataset):
    """Images as torch-fidelity takes them. read(i) gives image i as uint8 [H, W, 3]."""

    def __init__(self, count: int, read: Callable[[int], np.ndarray]):
        self._count, self._read = count, read

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(self._read(index).transpose(2, 0, 1)))


def inception_figures(real: ImageSet, fake: ImageSet, *, weights: Path | None, device: torch.device,
                      batch_size: int = 32) -> dict[str, Figure]:
    """Figures by name. A batch_size above 1 needs images of one size a side.

    weights: the file of Inception's weights; None: downloaded once into torch's cache. Raises UsageError.
    """
    fidelity = _installed()
    if min(len(real), len(fake)) < FEWEST:
        raise UsageError(f"{len(real)} real and {len(fake)} fake images are too few; "
                         f"give at least {FEWEST} of each")
    weights = weights or _downloaded()
    _check(weights)
    # input1 is what is judged, input2 what it should look like. One extractor for all: precision and recall
    # use the same features, not those of VGG-16, whose weights are another half gigabyte.
    found = fidelity.calculate_metrics(
        input1=fake, input2=real, isc=True, fid=True, kid=True, prc=True,
        feature_extractor="inception-v3-compat", feature_extractor_weights_path=str(weights),
        kid_subset_size=subset_size(len(real), len(fake)), cuda=device.type == "cuda", batch_size=batch_size,
        cache=False, save_cpu_ram=True, verbose=False)          # save_cpu_ram: no worker processes

    def figure(key: str, better: str, digits: int, spread: str | None = None, scale: float = 1) -> Figure:
        return Figure(scale * found[key], better, len(real), len(fake), RESIZE,
                      None if spread is None else scale * found[spread], digits)

    return {"FID": figure("frechet_inception_distance", "lower", 2),
            "KID x 1000": figure("kernel_inception_distance_mean", "lower", 2,
                                 "kernel_inception_distance_std", 1000),
            "Inception score": figure("inception_score_mean", "higher", 2, "inception_score_std"),
            "precision": figure("precision", "higher", 3), "recall": figure("recall", "higher", 3)}


def _installed() -> ModuleType:
    try:
        return importlib.import_module("torch_fidelity")
    except ImportError as error:
        raise UsageError(f"FID needs the package torch-fidelity ({error}): pip install -r "
                         "requirements-eval.txt, or score by other features: --features FILE") from error


def _downloaded() -> Path:
    """The weights in torch's cache, fetched from torch-fidelity's place if they are not there yet."""
    url = importlib.import_module("torch_fidelity.feature_extractor_inceptionv3").URL_INCEPTION_V3
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[1]
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path), progress=False)
        except (URLError, OSError) as error:
            raise UsageError(f"Inception's weights cannot be downloaded ({error}): fetch {url} elsewhere and "
                             "give --weights FILE, or score by other features: --features FILE") from error
    return path


def _check(weights: Path) -> None:
    """torch-fidelity would run code that a file holds: only one of plain tensors may pass."""
    found = load_file(weights)
    if "Conv2d_1a_3x3.conv.weight" not in found or "fc.weight" not in found:
        raise UsageError(f"--weights {weights} is not of FID's Inception v3; "
                         f"it has keys such as {', '.join(list(found)[:2])}")
