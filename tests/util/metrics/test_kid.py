"""KID against its definition as loops, and the identity that makes it unbiased."""

from itertools import combinations

import numpy as np
import pytest

from util.metrics.kid import cubic_kernel, kernel_distance, squared_mmd, subset_size


def features(count: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1, size=(count, 5))


def test_kernel_by_hand():
    x, y = np.array([[1.0, 2.0]]), np.array([[3.0, 4.0], [0.0, -1.0]])
    assert cubic_kernel(x, y).tolist() == [[(11 / 2 + 1) ** 3, (-2 / 2 + 1) ** 3]]


def test_is_the_definition():
    x, y = features(6, 1), features(4, 2)

    def k(a, b):
        return (a @ b / 5 + 1) ** 3

    within_x = np.mean([k(x[i], x[j]) for i in range(6) for j in range(6) if i != j])
    within_y = np.mean([k(y[i], y[j]) for i in range(4) for j in range(4) if i != j])
    between = np.mean([k(a, b) for a in x for b in y])
    assert squared_mmd(x, y) == pytest.approx(within_x + within_y - 2 * between)


def test_unbiased_over_all_ways_to_split_one_set_in_two_the_mean_is_zero():
    """Each pair of the set is equally often within a half and across, so the terms cancel exactly."""
    points = features(8, 3)
    values = []
    for chosen in combinations(range(8), 4):
        half = np.isin(np.arange(8), chosen)
        values.append(squared_mmd(points[half], points[~half]))
    assert np.mean(values) == pytest.approx(0, abs=1e-12)
    assert min(values) < 0 < max(values)


def test_mean_of_subsets_is_near_the_whole_and_far_sets_stand_out_of_the_spread():
    a, b, far = features(200, 1), features(200, 2), features(200, 3, shift=1.0)
    found = kernel_distance(a, far)
    assert found.mean == pytest.approx(squared_mmd(a, far), abs=3 * found.spread / np.sqrt(100))
    same = kernel_distance(a, b)
    assert abs(same.mean) < 3 * same.spread < found.mean
    assert kernel_distance(a, far) == found != kernel_distance(a, far, seed=1)


def test_subsets_are_a_thousand_or_half_of_the_smaller_set():
    assert [subset_size(5000, 9000), subset_size(5000, 300), subset_size(7, 120)] == [1000, 150, 3]
    with pytest.raises(ValueError, match="at least 4 images in each set, not 120 and 3"):
        kernel_distance(features(120, 1), features(3, 2))
