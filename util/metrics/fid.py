"""Frechet distance between two sets of features: FID, where the features are Inception's.

Each set is described by a Gaussian, its mean and covariance.
"""

from typing import NamedTuple

import numpy as np


class Gaussian(NamedTuple):
    """Mean [D], and a root [R, D] of the covariance: root.T @ root is the covariance.

    R is the number of images, but at most D. With the root, the distance needs no square root of a matrix,
    which is inexact for a singular covariance, that is for few images.
    """

    mean: np.ndarray
    root: np.ndarray


def fit_gaussian(features: np.ndarray) -> Gaussian:
    """features: [N, D], N at least 2. The covariance is the unbiased one, divided by N - 1."""
    if len(features) < 2:
        raise ValueError(f"a covariance needs at least 2 images, not {len(features)}")
    features = features.astype(np.float64)
    mean = features.mean(axis=0)
    root = (features - mean) / np.sqrt(len(features) - 1)
    if len(root) > root.shape[1]:
        root = np.linalg.qr(root, mode="r")                     # D x D, with the same root.T @ root
    return Gaussian(mean, root)


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """|mean_a - mean_b|^2 + tr(A + B - 2 (A B)^(1/2)) of the covariances A and B; 0 for equal Gaussians.

    Heusel et al. 2017, eq. 6 (Dowson and Landau 1982). It is too high for few images: compare equal counts.
    """
    # With A = Ra'Ra and B = Rb'Rb the eigenvalues of AB are the squared singular values of Ra Rb'.
    shared = np.linalg.svd(a.root @ b.root.T, compute_uv=False).sum()
    spread = np.square(a.root).sum() + np.square(b.root).sum()
    return float(np.square(a.mean - b.mean).sum() + spread - 2 * shared)
