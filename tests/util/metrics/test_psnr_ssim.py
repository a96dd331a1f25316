"""PSNR and SSIM against numbers worked out by hand and the definition as loops."""

import math

import numpy as np
import pytest

from util.metrics.psnr_ssim import psnr, ssim


def image(seed: int, shape: tuple[int, ...] = (14, 13, 3)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_psnr_of_known_errors():
    black, white = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)
    assert psnr(black, white) == 0.0                      # an error of the whole peak: uint8 must not wrap
    assert psnr(black, black + 1) == pytest.approx(48.1308, abs=1e-4)        # 20 log10(255)
    assert psnr(black / 1.0, black + 0.1, peak=1.0) == pytest.approx(20.0)
    assert math.isinf(psnr(white, white))


def test_ssim_of_constant_images_is_the_luminance_term():
    dark, bright = np.full((12, 12, 1), 50, np.uint8), np.full((12, 12, 1), 200, np.uint8)
    c1 = 2.55 ** 2
    assert ssim(dark, bright) == pytest.approx((2 * 50 * 200 + c1) / (50 ** 2 + 200 ** 2 + c1))


def test_ssim_is_the_published_formula():
    """Wang et al. 2004, eq. 13 with the weights of section III-C, at every place by loops."""
    a, b = image(1), image(2)
    taps = np.exp(-np.arange(-5, 6) ** 2 / (2 * 1.5 ** 2))
    window = np.outer(taps, taps) / taps.sum() ** 2
    c1, c2, values = (0.01 * 255) ** 2, (0.03 * 255) ** 2, []
    for channel in range(3):
        for top in range(14 - 10):
            for left in range(13 - 10):
                x, y = (p[top:top + 11, left:left + 11, channel].astype(float) for p in (a, b))
                mean_x, mean_y = (window * x).sum(), (window * y).sum()
                var_x, var_y = (window * (x - mean_x) ** 2).sum(), (window * (y - mean_y) ** 2).sum()
                cov = (window * (x - mean_x) * (y - mean_y)).sum()
                values.append((2 * mean_x * mean_y + c1) * (2 * cov + c2)
                              / ((mean_x ** 2 + mean_y ** 2 + c1) * (var_x + var_y + c2)))
    assert ssim(a, b) == pytest.approx(np.mean(values), rel=1e-9)


def test_ssim_identities():
    a, b = image(1), image(2)
    assert ssim(a, a) == pytest.approx(1.0)
    assert ssim(a, b) == pytest.approx(ssim(b, a))
    assert ssim(a / 255, b / 255, peak=1.0) == pytest.approx(ssim(a, b))
    assert ssim(a, 255 - a) < 0


def test_images_that_cannot_be_compared():
    with pytest.raises(ValueError, match="shapes"):
        psnr(image(1), image(1, (14, 14, 3)))
    with pytest.raises(ValueError, match="at least 11 x 11 pixels, not 13 x 10"):
        ssim(image(1, (10, 13, 3)), image(2, (10, 13, 3)))
