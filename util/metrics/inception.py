"""FID, KID, Inception score, precision and recall through the package torch-fidelity.

Its Inception v3 holds the weights of the first FID (2015-12-05), as pytorch-fid's does: their FIDs compare.
"""

import importlib
from collections.abc import Iterable, Mapping
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
from util.metrics.kid import Estimate, subset_size
from util.metrics.registry import Extractor, ImageSet, Pixels, in_8_bits

RESIZE = "bilinear to 299 x 299, no anti-aliasing"  # as TensorFlow 1 did
FEWEST = 10  # images in each set, for the ten parts of the Inception score


def load_inception(weights: Path | None, device: torch.device, batch_size: int = 32) -> Extractor:
    """FID's features [N, 2048], of images uint8 [H, W, C], C 1 or 3. Raises UsageError."""
    _installed()
    weights = weights or _downloaded()
    _check(weights)
    utils = importlib.import_module("torch_fidelity.utils")
    device = device if device.type == "cuda" else torch.device("cpu")       # torch-fidelity knows these two
    network = utils.create_feature_extractor("inception-v3-compat", ["2048"], cuda=device.type == "cuda",
                                             feature_extractor_weights_path=str(weights), verbose=False)

    @torch.inference_mode()
    def features(images: Iterable[Pixels]) -> np.ndarray:
        colour = (with_channels(image, 3) for image in images)
        found = [network(torch.from_numpy(np.stack(batch)).permute(0, 3, 1, 2).to(device))[0].cpu()
                 for batch in batches(colour, batch_size)]
        return torch.cat(found).double().numpy()

    return features


def inception_scores(fake: ImageSet, real: ImageSet, *, weights: Path | None, device: torch.device,
                     batch_size: int = 32) -> dict[str, Estimate]:
    """The scores fid, kid, score, precision and recall, which torch-fidelity computes in one call.

    images: uint8 [H, W, 3]; a batch_size above 1 needs images of one size in each set. weights: the file of
    Inception's weights; None: downloaded once into torch's cache. Raises UsageError.
    """
    fidelity = _installed()
    if min(len(real), len(fake)) < FEWEST:
        raise UsageError(f"{len(real)} real and {len(fake)} fake images are too few; "
                         f"give at least {FEWEST} of each")
    weights = weights or _downloaded()
    _check(weights)
    # input1 is scored, input2 is what it should look like. One extractor for all: precision and recall
    # use the same features, not those of VGG-16, whose weights are another half gigabyte.
    found = fidelity.calculate_metrics(
        input1=_FidelityDataset(fake.images), input2=_FidelityDataset(real.images),
        isc=True, fid=True, kid=True, prc=True,
        feature_extractor="inception-v3-compat", feature_extractor_weights_path=str(weights),
        kid_subset_size=subset_size(len(real), len(fake)), cuda=device.type == "cuda", batch_size=batch_size,
        cache=False, save_cpu_ram=True, verbose=False)          # save_cpu_ram: no worker processes
    return {"fid": Estimate(found["frechet_inception_distance"]),
            "kid": Estimate(found["kernel_inception_distance_mean"], found["kernel_inception_distance_std"]),
            "score": Estimate(found["inception_score_mean"], found["inception_score_std"]),
            "precision": Estimate(found["precision"]), "recall": Estimate(found["recall"])}


class _FidelityDataset(Dataset):
    """Images as torch-fidelity takes them: uint8 [3, H, W], by number."""

    def __init__(self, images: Mapping[str, Pixels]):
        self._images, self._names = images, list(images)

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> Tensor:
        pixels = in_8_bits(self._images[self._names[index]])
        return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def _installed() -> ModuleType:
    try:
        return importlib.import_module("torch_fidelity")
    except ImportError as error:
        raise UsageError(f"FID needs the package torch-fidelity ({error}): pip install -r "
                         "requirements-eval.txt, or score by other features: --features FILE") from error


def _downloaded() -> Path:
    """The weights in torch's cache, downloaded from torch-fidelity's address if they are not there yet."""
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
    """Raise UsageError for a file of anything but plain tensors, whose code torch-fidelity would run."""
    found = load_file(weights)
    if "Conv2d_1a_3x3.conv.weight" not in found or "fc.weight" not in found:
        raise UsageError(f"--weights {weights} is not of FID's Inception v3; "
                         f"it has keys such as {', '.join(list(found)[:2])}")
