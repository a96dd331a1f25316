"""PSNR and SSIM of an image against its ground truth."""

import numpy as np


def psnr(a: np.ndarray, b: np.ndarray, peak: float = 255.0) -> float:
    """Peak signal-to-noise ratio in dB over all pixels and channels; infinite for equal images.

    a, b: same shape, values in [0, peak].
    """
    _check(a, b)
    mean_square = np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2)
    return float(10 * np.log10(peak ** 2 / mean_square)) if mean_square else float("inf")


def ssim(a: np.ndarray, b: np.ndarray, peak: float = 255.0) -> float:
    """Structural similarity, Wang et al. 2004, at most 1, which equal images reach.

    a, b: [H, W, C], same shape, values in [0, peak]. The mean over the channels and over the places where
    the whole 11 x 11 Gaussian window (std 1.5 pixels) lies inside the image. Raises ValueError for shapes
    that differ or a side under 11 pixels.
    """
    from scipy.ndimage import gaussian_filter  # only here: it takes a third of a second to load

    _check(a, b)
    radius = 5
    if min(a.shape[:2]) <= 2 * radius:
        raise ValueError(f"SSIM needs images of at least 11 x 11 pixels, not {a.shape[1]} x {a.shape[0]}")
    a, b = a.astype(np.float64), b.astype(np.float64)

    def local_mean(x: np.ndarray) -> np.ndarray:
        blurred = gaussian_filter(x, sigma=(1.5, 1.5, 0), truncate=radius / 1.5)
        return blurred[radius:-radius, radius:-radius]

    mean_a, mean_b = local_mean(a), local_mean(b)
    variance_a = local_mean(a * a) - mean_a ** 2
    variance_b = local_mean(b * b) - mean_b ** 2
    covariance = local_mean(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a ** 2 + mean_b ** 2 + c1)
    structure = (2 * covariance + c2) / (variance_a + variance_b + c2)
    return float(np.mean(luminance * structure))


def _check(a: np.ndarray, b: np.ndarray) -> None:
    if a.shape != b.shape:
        raise ValueError(f"images of shapes {a.shape} and {b.shape} cannot be compared pixel by pixel")
