"""The table of metrics: every entry computes, and equal images are its best."""

import numpy as np
import pytest

from util.metrics.registry import METRICS, Side


def brightness(images) -> np.ndarray:
    return np.stack([[p.mean(), p.std()] for p in images])


def side(seed: int) -> Side:
    images = np.random.default_rng(seed).integers(0, 256, (8, 16, 16, 3), dtype=np.uint8)
    return Side({str(i): p for i, p in enumerate(images)}, brightness)


@pytest.mark.parametrize("name", METRICS)
def test_nothing_beats_the_real_images_themselves(name):
    metric, real = METRICS[name], side(1)
    same, other = metric.compute(side(1), real), metric.compute(side(2), real)
    assert metric.loss(same) < metric.loss(other)
    if name not in ("swd", "kid"):          # random patches and subsets; KID may fall below 0
        assert metric.loss(same) == pytest.approx(0, abs=1e-6)


def test_features_are_computed_once():
    calls = []
    real = Side(side(1).images, lambda images: calls.append(1) or brightness(images))
    for name in ("fid", "kid", "fid"):
        METRICS[name].compute(side(2), real)
    assert len(calls) == 1
