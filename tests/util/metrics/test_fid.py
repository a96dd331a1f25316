"""The Frechet distance against SciPy's matrix square root and Gaussians whose distance is known."""

import numpy as np
import pytest
from scipy.linalg import sqrtm

from util.metrics.fid import Gaussian, fit_gaussian, frechet_distance


def sample(count: int, axes: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    mixed = generator.normal(size=(count, axes)) @ generator.normal(size=(axes, axes))
    return mixed + generator.normal(size=axes)


@pytest.mark.parametrize(("n", "m"), [(200, 150), (200, 5), (4, 6)])
def test_is_the_published_formula(n, m):
    a, b = sample(n, 8, 1), sample(m, 8, 2)
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    # A product of singular covariances has no exact square root; a little noise on both gives one near it.
    noise = 1e-9 * np.eye(8)
    root = sqrtm((cov_a + noise) @ (cov_b + noise)).real
    expected = np.square(a.mean(axis=0) - b.mean(axis=0)).sum() + np.trace(cov_a + cov_b - 2 * root)
    assert frechet_distance(fit_gaussian(a), fit_gaussian(b)) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("count", [3, 7, 40])
def test_the_root_is_of_the_sample_covariance(count):
    features = sample(count, 7, 3)
    mean, root = fit_gaussian(features)
    assert root.shape == (min(count, 7), 7)
    assert np.allclose(mean, features.mean(axis=0))
    assert np.allclose(root.T @ root, np.cov(features, rowvar=False))


def test_one_dimension():
    """W2 of N(m, s^2) and N(n, t^2) squared is (m - n)^2 + (s - t)^2."""
    a, b = Gaussian(np.array([1.0]), np.array([[3.0]])), Gaussian(np.array([5.0]), np.array([[0.5]]))
    assert frechet_distance(a, b) == pytest.approx(4 ** 2 + 2.5 ** 2)


def test_turned_alike_it_stays_and_shifted_it_grows_by_the_square():
    a, b = sample(50, 5, 1), sample(60, 5, 2)
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 5)))
    plain = frechet_distance(fit_gaussian(a), fit_gaussian(b))
    assert frechet_distance(fit_gaussian(a @ turn), fit_gaussian(b @ turn)) == pytest.approx(plain)
    assert frechet_distance(fit_gaussian(b), fit_gaussian(a)) == pytest.approx(plain)
    shift = np.array([0, 3, 0, 4, 0])
    assert frechet_distance(fit_gaussian(a), fit_gaussian(a + shift)) == pytest.approx(25)
    assert frechet_distance(fit_gaussian(a), fit_gaussian(2 * a - a.mean(axis=0))) == pytest.approx(
        np.trace(np.cov(a, rowvar=False)))                      # twice as wide about the same mean


def test_a_covariance_needs_two():
    with pytest.raises(ValueError, match="at least 2 images, not 1"):
        fit_gaussian(np.zeros((1, 4)))
