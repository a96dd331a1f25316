"""Patch distance against SciPy's one-dimensional distance, closed forms and patches cut by hand."""

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from util.metrics.swd import patch_descriptors, patch_distance, sliced_wasserstein


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def images(count: int, seed: int = 0, size: int = 16) -> list[np.ndarray]:
    return list(generator(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8))


@pytest.mark.parametrize(("n", "m"), [(50, 50), (50, 31), (7, 60), (1, 5)])
def test_one_dimension_is_scipys_distance(n, m):
    a, b = generator(1).normal(size=(n, 1)), generator(2).normal(0.3, 2, size=(m, 1))
    expected = wasserstein_distance(a[:, 0], b[:, 0])     # both directions, +1 and -1, give the same
    assert sliced_wasserstein(a, b, 8, generator()) == pytest.approx(expected, rel=1e-6)


def test_every_direction_is_scipys_distance_of_the_projections():
    a, b = generator(1).normal(size=(40, 5)), generator(2).uniform(size=(23, 5))
    axes = generator(7).standard_normal((5, 100))
    axes /= np.sqrt((axes ** 2).sum(axis=0))
    expected = np.mean([wasserstein_distance(a @ axis, b @ axis) for axis in axes.T])
    assert sliced_wasserstein(a, b, 100, generator(7)) == pytest.approx(expected, rel=1e-5)


def test_a_shift_costs_its_mean_projection():
    """Moving a set by s costs |s . u| along a direction u; on the sphere in 3-D its mean is |s| / 2."""
    points = generator().normal(size=(20, 3))
    moved = points + [0.0, 3.0, 4.0]
    assert sliced_wasserstein(points, moved, 20000, generator()) == pytest.approx(5 / 2, rel=0.02)


def test_equal_sets_in_any_order_and_repeated_are_at_zero():
    points = generator().normal(size=(30, 4))
    for same in generator(3).permutation(points), np.repeat(points, 3, axis=0):
        assert sliced_wasserstein(points, same, 64, generator()) == pytest.approx(0, abs=1e-6)


def test_directions_in_chunks_count_alike():
    """In one dimension every direction gives the same number, so any count of them does too."""
    a, b = generator(1).normal(size=(9, 1)), generator(2).normal(size=(9, 1))
    one, many = (sliced_wasserstein(a, b, directions, generator()) for directions in (1, 200))
    assert one == pytest.approx(many, rel=1e-6)


def test_descriptors_are_windows_of_the_image_standardised_by_channel():
    height, width = 9, 8
    rows, columns = np.mgrid[:height, :width]
    image = np.stack([rows, columns, np.full_like(rows, 5)], axis=-1)     # third channel: one value
    found = patch_descriptors([image], 500, 3, generator()).reshape(500, 3, 3, 3)
    assert np.allclose(found[..., :2].mean(axis=(0, 1, 2)), 0, atol=1e-5)
    assert np.allclose(found[..., :2].std(axis=(0, 1, 2)), 1, atol=1e-5)
    assert np.all(found[..., 2] == 0)
    down, right = np.diff(found[..., 0], axis=1), np.diff(found[..., 1], axis=2)
    assert np.allclose(down, down[0, 0, 0], atol=1e-5) and down[0, 0, 0] > 0    # rows grow downwards only
    assert np.allclose(right, right[0, 0, 0], atol=1e-5) and right[0, 0, 0] > 0
    assert np.allclose(np.diff(found[..., 0], axis=2), 0, atol=1e-6)
    # Places reach every corner: 9 - 3 + 1 tops and 8 - 3 + 1 lefts.
    places = {(round(p[0, 0, 0] / down[0, 0, 0], 3), round(p[0, 0, 1] / right[0, 0, 0], 3)) for p in found}
    assert len(places) == 7 * 6


def test_distance_of_images_is_blind_to_tint_and_contrast_but_sees_texture():
    flat = images(20)
    tinted = [p // 2 + np.array([20, 60, 100]) for p in flat]
    smooth = [np.repeat(np.repeat(p[::4, ::4], 4, axis=0), 4, axis=1) for p in flat]
    other = images(20, seed=5)
    noise = patch_distance(flat, other)
    assert patch_distance(flat, tinted) == pytest.approx(patch_distance(flat, flat), abs=2)
    assert patch_distance(flat, smooth) > 2 * noise


def test_same_seed_same_number_and_unequal_counts_work():
    a, b = images(6), images(9, seed=1, size=20)
    assert patch_distance(a, b, seed=3) == patch_distance(a, b, seed=3)
    assert patch_distance(a, b, seed=3) != patch_distance(a, b, seed=4)


def test_wrong_images_are_named():
    with pytest.raises(ValueError, match="no images"):
        patch_distance([], images(1))
    with pytest.raises(ValueError, match="5 x 5 is smaller than a patch of 7"):
        patch_distance(images(1, size=5), images(1))
    with pytest.raises(ValueError, match="3 and 1 channels"):
        patch_distance([images(1)[0], images(1)[0][..., :1]], images(1))
    with pytest.raises(ValueError, match="different numbers of channels"):
        patch_distance([images(1)[0][..., :1]], images(1))
