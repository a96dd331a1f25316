"""LPIPS (Zhang et al. 2018) through the package lpips, with AlexNet's weights from a file."""

import importlib
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from util.checkpoints.weights import load_file
from util.errors import UsageError


def load_lpips(weights: Path, device: torch.device) -> Callable[[np.ndarray, np.ndarray], float]:
    """LPIPS as a function of two images, uint8 [H, W, 3] of one shape: 0 for equal images, lower is nearer.

    weights: AlexNet's for ImageNet, as torchvision publishes them. Raises UsageError.
    """
    try:
        package = importlib.import_module("lpips")
    except ImportError as error:
        raise UsageError(f"--lpips needs the package lpips ({error}): "
                         "pip install -r requirements-eval.txt") from error
    with warnings.catch_warnings():                 # it calls torchvision in a way that is going out of use
        warnings.simplefilter("ignore")
        network = package.LPIPS(net="alex", pnet_rand=True, verbose=False)  # False would download weights
    found, trunk = load_file(weights), network.net.state_dict()
    # Its layers are torchvision's, numbered alike, but in five slices: slice1.0.weight is features.0.weight.
    try:
        network.net.load_state_dict({name: found["features." + name.split(".", 1)[1]] for name in trunk})
    except (KeyError, RuntimeError) as error:
        raise UsageError(f"--lpips {weights} is not AlexNet of torchvision ({str(error).splitlines()[0]}); "
                         "it publishes the file alexnet-owt-7be5be79.pth") from error
    network.to(device)

    @torch.inference_mode()
    def distance(a: np.ndarray, b: np.ndarray) -> float:
        tensors = (torch.from_numpy(p.copy()).permute(2, 0, 1)[None].to(device) for p in (a, b))
        return network(*(pixels / 127.5 - 1 for pixels in tensors)).item()

    return distance
