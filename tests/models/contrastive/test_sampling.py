"""Which places QS-Attn and EnCo's sampling choose, by NumPy and by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from models.contrastive import sampling
from models.contrastive.sampling import (
    attention_rows,
    discriminative_locations,
    log_entropy,
    low_scoring_locations,
    query_locations,
)
from models.networks.patch_sampler import PatchSampler, gather


def features(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def numpy_rows(feature, count):
    """The rows of softmax(f f^T) with the lowest entropy, as a set of tuples. feature: [C, H, W]."""
    f = feature.reshape(len(feature), -1).T
    attention = np.exp(f @ f.T)
    attention /= attention.sum(1, keepdims=True)
    entropy = -(attention * np.log(attention)).sum(1)
    return attention[np.sort(np.argsort(entropy)[:count])]


@pytest.mark.parametrize("block", [2 ** 24, 50, 1])
def test_rows_have_the_lowest_entropy(block, monkeypatch):
    """However few rows are held at a time."""
    monkeypatch.setattr(sampling, "BLOCK", block)
    feature = features(2, 3, 4, 5)
    found = attention_rows(feature, 6).numpy()
    assert found.shape == (2, 6, 20)
    for rows, f in zip(found, feature.numpy(), strict=True):
        expected = numpy_rows(f, 6)
        key = np.lexsort(rows.T)
        np.testing.assert_allclose(rows[key], expected[np.lexsort(expected.T)], rtol=1e-9)


def test_log_entropy_keeps_its_order_where_the_entropy_underflows():
    """Two places whose logits differ by d: entropy e^-d (1 + d) for large d, 1e-215 and less here."""
    d = torch.tensor([500.0, 700.0, 5000.0])
    found = log_entropy(torch.stack([torch.zeros(3), -d], 1)[None]).squeeze(0)
    np.testing.assert_allclose(found.numpy(), -d.numpy() + np.log1p(d.numpy()), rtol=1e-6)


@pytest.mark.parametrize("scale", [0.0, 0.3, 3.0, 14.0, 16.0, 20.0])
def test_log_entropy(scale):
    logits = scale * features(2, 7, 9)
    p = np.exp(logits.numpy())
    p /= p.sum(2, keepdims=True)
    entropy = -(p * np.log(p)).sum(2)
    np.testing.assert_allclose(log_entropy(logits).exp().numpy(), entropy, rtol=1e-6, atol=1e-14)
    np.testing.assert_allclose(log_entropy(logits.float()).exp().numpy(), entropy, rtol=1e-3, atol=1e-14)


def test_only_the_smallest_maps_are_attended():
    maps = [features(2, 3, 8, 8), features(2, 5, 4, 4), features(2, 5, 4, 4, seed=1)]
    places = query_locations(maps, torch.zeros(2, 3, 8, 8), num_patches=7)
    assert [p.shape for p in places] == [(2, 7), (2, 7, 16), (2, 7, 16)]
    assert places[0].dtype == torch.int64


def test_fewer_places_than_patches():
    places = query_locations([features(1, 3, 2, 2)], torch.zeros(1, 3, 8, 8), num_patches=256)
    assert places[0].shape == (1, 4, 4)


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_rows_of_weights_gather_sums(order):
    feature, rows = features(2, 3, 4, 4).contiguous(memory_format=order), features(2, 5, 16, seed=1)
    expected = np.einsum("bsn,bcn->bsc", rows.numpy(), feature.flatten(2).numpy())
    np.testing.assert_allclose(gather(feature, rows).numpy(), expected, rtol=1e-9)


def test_a_row_of_one_is_a_place():
    feature, at = features(2, 3, 4, 4), torch.tensor([[3, 9], [0, 15]])
    net = PatchSampler(channels=[3], width=4).double()
    rows = nn.functional.one_hot(at, 16).double()
    for by_place, by_row in zip(net([feature], [at]), net([feature], [rows]), strict=True):
        torch.testing.assert_close(by_place, by_row)


# ---- EnCo

def test_half_of_the_places_are_the_lowest_of_all_where_all_are_looked_at():
    scores = torch.arange(40.0).roll(11).repeat(3, 1)
    places = low_scoring_locations(scores, 10)         # it looks at 4 x 10 places: all
    for row, at in zip(scores, places, strict=True):
        assert len(set(at.tolist())) == 10
        assert set(range(5)) <= set(row[at].int().tolist())
    assert any(row[at].max() > 15 for row, at in zip(scores, places, strict=True))      # the others are not


def test_the_lowest_of_four_times_as_many_random_locations():
    """The expected lowest half of 40 of 1,000 scores, n/1000: the 5 lowest of 40, near (1..5)/41."""
    torch.manual_seed(0)
    scores = torch.rand(2000, 1000).argsort(1).float() / 1000
    found = scores.gather(1, low_scoring_locations(scores, 10)).sort(1).values
    assert found[:, :5].mean().item() == pytest.approx(3 / 41, abs=0.02)
    # the other half are 5 random ones of the remaining 35, whose ranks are 6 to 40
    assert found[:, 5:].mean().item() == pytest.approx(23 / 41, abs=0.02)


@pytest.mark.parametrize("count, patches", [(4, 256), (1, 8), (9, 9), (64, 1)])
def test_small_maps(count, patches):
    places = low_scoring_locations(torch.randn(2, count), patches)
    assert places.shape == (2, min(count, patches))
    assert all(len(set(at.tolist())) == len(at) for at in places)


class LeftIsFake(nn.Module):
    """Scores [B, 1, 4, 4], low at the left."""

    def forward(self, x):
        assert not torch.is_grad_enabled()
        return torch.arange(4.0).expand(len(x), 1, 4, 4)


def test_places_follow_the_map_of_D_at_every_size():
    maps = [torch.zeros(2, 1, 16, 16), torch.zeros(2, 1, 8, 8)]
    images = torch.zeros(2, 3, 16, 16)
    places = discriminative_locations(maps, images, num_patches=32, discriminator=LeftIsFake())
    for feature, at in zip(maps, places, strict=True):
        column = at[:, :16] % feature.shape[3]
        assert (column < feature.shape[3] / 2).all()        # the lowest 16 of at least 64: the left quarter
