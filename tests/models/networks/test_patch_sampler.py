"""Feature heads: where patches are drawn, what is made of them, and the reference's numbers."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from models.networks import PROJECTORS
from models.networks.patch_sampler import gather, sample_locations, unit_length
from tests.formula import fill_, picture, summary

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "patchnce.json").read_text())["projector"]
CHANNELS = (3, 8, 16)


def features(batch: int) -> list[Tensor]:
    """The layers that the golden file speaks of."""
    return [picture(batch, 3, 10, 8, 0.0), picture(batch, 8, 6, 7, 0.3), picture(batch, 16, 4, 4, 0.6)]


def make(name: str, width: int = 16):
    net = PROJECTORS[name](channels=CHANNELS, width=width).double()
    fill_(net)
    return net


# ---- locations

@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_patches_and_their_gradients_are_those_of_their_places(dtype, layout):
    values = torch.arange(120).reshape(2, 3, 4, 5).to(dtype)
    feature = values.clone(memory_format=layout).requires_grad_()
    location = torch.tensor([[0, 7, 19], [7, 3, 4]])
    gradient = torch.arange(1, 19).reshape(2, 3, 3).to(dtype)       # B, S, C
    patches = gather(feature, location)
    patches.backward(gradient)
    flat = values.float().flatten(2).numpy()
    by_hand = [flat[image][:, at].T for image, at in enumerate(location.numpy())]
    assert np.array_equal(patches.detach().float(), by_hand)
    expected = np.zeros((2, 3, 20))
    for image in range(2):
        for patch, place in enumerate(location[image]):
            expected[image, :, place] = gradient[image, patch].float()
    assert feature.grad.dtype == dtype and feature.grad.is_contiguous(memory_format=layout)
    assert np.array_equal(feature.grad.float().flatten(2), expected)


def test_no_place_is_drawn_twice_and_all_are_in_range():
    torch.manual_seed(0)
    for at, feature in zip(sample_locations(features(3), 12, shared=False), features(3), strict=True):
        places = feature.shape[2] * feature.shape[3]
        assert at.shape == (3, 12) and at.dtype == torch.int64
        assert at.min() >= 0 and at.max() < places
        assert all(len(set(row)) == 12 for row in at.tolist())


def test_images_share_places_only_when_told():
    torch.manual_seed(0)
    maps = [torch.zeros(2, 1, 32, 32)] * 2
    own, shared = (sample_locations(maps, 64, shared=shared) for shared in (False, True))
    assert all(torch.equal(at[0], at[1]) for at in shared)
    assert all(set(at[0].tolist()) != set(at[1].tolist()) for at in own)
    assert not torch.equal(own[0], own[1]) and not torch.equal(shared[0], shared[1])     # each layer its own


@pytest.mark.parametrize("shared", [False, True])
def test_all_places_are_taken_where_there_are_fewer(shared):
    at, = sample_locations([torch.zeros(2, 1, 3, 5)], 256, shared=shared)
    assert [sorted(row) for row in at.tolist()] == [list(range(15))] * 2


def test_every_place_is_as_likely():
    torch.manual_seed(0)
    drawn = sum(torch.bincount(sample_locations([torch.zeros(50, 1, 4, 4)], 4, shared=False)[0].flatten(),
                               minlength=16) for _ in range(20))
    # 1,000 images, each place in a quarter of them: 250, std sqrt(1000 / 4 * 3 / 4) = 13.7
    assert (drawn - 250).abs().max() < 5 * 13.7


def test_gather_by_hand():
    # channel 1 is channel 0 plus 6; place 4 is row 1, column 1
    feature = torch.arange(12.0).reshape(1, 2, 2, 3)
    assert gather(feature, torch.tensor([[4, 0]])).tolist() == [[[4, 10], [0, 6]]]


# ---- embeddings

def test_unit_length_is_the_formula():
    x = picture(1, 1, 3, 4)[0]
    expected = x.numpy() / (np.sqrt((x.numpy() ** 2).sum(-1, keepdims=True)) + 1e-7)
    np.testing.assert_allclose(unit_length(x).numpy(), expected, rtol=1e-12)
    assert unit_length(torch.zeros(2, 5)).abs().max() == 0


def test_the_layout_is_the_published_one():
    shapes = {key: list(value.shape) for key, value in sorted(make("mlp_sample").state_dict().items())}
    text = json.dumps(shapes, separators=(",", ":"))
    assert hashlib.sha256(text.encode()).hexdigest() == GOLDEN["state_dict"]["sha256"]
    for name in PROJECTORS.keys() - {"mlp_sample"}:
        assert make(name).state_dict() == {}


@pytest.mark.parametrize("case", [f"{name}_batch{n}" for name in ("mlp_sample", "sample") for n in (1, 2)])
def test_matches_the_reference(case):
    name, batch = case.split("_batch")
    locations = [torch.tensor(at).expand(int(batch), -1) for at in GOLDEN["locations"]]
    with torch.no_grad():
        found = make(name)(features(int(batch)), locations)
    check(found, GOLDEN[case])


def test_pooling_matches_the_reference():
    check(make("reshape")([picture(2, 8, 12, 8, 0.3)], [None]), GOLDEN["reshape_batch2"])


def check(found: list[Tensor], expected: list[dict]) -> None:
    for patches, golden in zip(found, expected, strict=True):
        ours = summary(patches.flatten(0, 1), len(golden["values"]))
        assert ours["shape"] == golden["shape"]
        for field in ("mean", "std", "values"):
            assert ours[field] == pytest.approx(golden[field], rel=1e-6, abs=1e-8), field


@pytest.mark.parametrize("name", PROJECTORS)
def test_every_head_gives_unit_vectors_and_gradients(name):
    net, maps = make(name), [f.requires_grad_() for f in features(2)]
    locations = net.locations(maps, 5, shared=False)
    patches = net(maps, locations)
    for feature, patch in zip(maps, patches, strict=True):
        expected = {"mlp_sample": (2, 5, 16), "sample": (2, 5, feature.shape[1]),
                    "reshape": (2, 16, feature.shape[1])}[name]
        assert patch.shape == expected
        np.testing.assert_allclose(patch.detach().norm(dim=-1).numpy(), 1, atol=1e-6)
    sum(patch.sum() for patch in patches).backward()
    assert all(f.grad.abs().max() > 0 for f in maps)
    assert all(p.grad.abs().max() > 0 for p in net.parameters())


def test_pooling_averages_cells_by_hand():
    feature = picture(1, 2, 8, 12)
    cells = feature.numpy().reshape(2, 4, 2, 4, 3).mean(axis=(2, 4))     # 4 x 4 cells of 2 x 3 places
    patches, = make("reshape")([feature], [None])
    expected = cells.reshape(2, 16).T
    expected /= np.linalg.norm(expected, axis=1, keepdims=True) + 1e-7
    np.testing.assert_allclose(patches[0].numpy(), expected, rtol=1e-10)
