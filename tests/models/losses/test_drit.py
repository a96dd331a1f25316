"""DRIT's losses in NumPy and by integrals."""

import numpy as np
import pytest
import torch

from models.losses.drit import (
    content_confusion,
    content_telling,
    l1,
    mean_square,
    mode_seeking,
    normal_divergence,
)

A, B, C, D = (torch.from_numpy(np.random.default_rng(seed).normal(size=(2, 3, 4, 5))) for seed in range(4))


def sigmoid(x):
    return 1 / (1 + np.exp(-x.numpy()))


def entropy(scores, target):
    """Binary cross entropy of the sigmoid, the mean."""
    p = sigmoid(scores)
    return -(target * np.log(p) + (1 - target) * np.log(1 - p)).mean()


def test_content_losses_are_cross_entropies():
    assert content_telling(A, B).item() == pytest.approx(entropy(A, 0) + entropy(B, 1))
    assert content_confusion(A).item() == pytest.approx(entropy(A, 0.5))
    assert content_confusion(torch.zeros(3)).item() == pytest.approx(np.log(2))


def test_divergence_is_the_published_sum_and_the_integral():
    mean, log_variance = A[:, 0, 0], B[:, 0, 0]
    m, v = mean.numpy(), log_variance.numpy()
    published = -0.5 * (1 + v - m ** 2 - np.exp(v))
    assert normal_divergence(mean, log_variance).item() == pytest.approx(published.sum() / 2)
    x = np.linspace(-20, 20, 40001)
    p = np.exp(-(x - m[0, 0]) ** 2 / (2 * np.exp(v[0, 0]))) / np.sqrt(2 * np.pi * np.exp(v[0, 0]))
    q = np.exp(-x ** 2 / 2) / np.sqrt(2 * np.pi)
    integral = (p * np.log((p + 1e-300) / (q + 1e-300))).sum() * (x[1] - x[0])
    assert normal_divergence(mean[:1, :1], log_variance[:1, :1]).item() == pytest.approx(integral, rel=1e-6)
    assert normal_divergence(torch.zeros(2, 8), torch.zeros(2, 8)).item() == 0


def test_mode_seeking():
    lz = np.abs(B.numpy() - A.numpy()).mean() / np.abs(D.numpy() - C.numpy()).mean()
    assert mode_seeking(A, B, C, D).item() == pytest.approx(1 / (lz + 1e-5))
    assert mode_seeking(A, A, C, D).item() == pytest.approx(1e5)       # blind to the style


def test_distances():
    assert l1(A, B).item() == pytest.approx(np.abs(A.numpy() - B.numpy()).mean())
    assert mean_square(A).item() == pytest.approx((A.numpy() ** 2).mean())


def test_all_are_computed_in_float32():
    low = torch.full((4, 4), 0.1, dtype=torch.bfloat16)
    losses = [l1(low, low), mean_square(low), normal_divergence(low, low), content_telling(low, low),
              content_confusion(low), mode_seeking(low, low, low, low + 1)]
    assert {loss.dtype for loss in losses} == {torch.float32}
