"""Every discriminator builds and learns; those of the reference match it; tiles and fields of view."""

import hashlib
import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from models.adversarial import build_discriminator
from models.networks import DISCRIMINATORS
from models.networks.norm import NORMS
from models.networks.patchgan import PatchDiscriminator, tiles
from options.train_options import TrainOptions
from tests.formula import fill_, picture, summary

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "discriminators.json").read_text())
CASES = [name for name in GOLDEN if name != "provenance"]
ONE_WAY = {"stylegan2", "tilestylegan2"}     # neither norm nor antialiasing is theirs to choose
VARIANTS = [(name, norm, antialias) for name, norm, antialias in product(DISCRIMINATORS, NORMS, (True, False))
            if name not in ONE_WAY or (norm, antialias) == ("instance", True)]


def make(name: str, **changes):
    sizes = dict(in_channels=3, width=2, norm="instance", antialias=True, layers=2, crop_size=32, tile=16)
    net = DISCRIMINATORS[name](**sizes | changes)
    fill_(net, equalized="stylegan2" in name)
    return net


@pytest.mark.parametrize("case", CASES)
def test_matches_the_reference(case):
    golden = GOLDEN[case]
    flags = golden["flags"].split(" (")[0]
    net = build_discriminator(TrainOptions().parse([*flags.split(), "--ndf", "8", "--gpu_ids", "-1"]))
    net = net.double().train(golden["mode"] == "train")
    fill_(net)

    shapes = {key: list(value.shape) for key, value in sorted(net.state_dict().items())}
    assert sum(p.numel() for p in net.parameters()) == golden["state_dict"]["parameters"]
    text = json.dumps(shapes, separators=(",", ":"))
    assert hashlib.sha256(text.encode()).hexdigest() == golden["state_dict"]["sha256"]

    with torch.no_grad():
        output = net(picture(golden["batch"], 3, golden["size"], golden["size"]))
    found = summary(output, len(golden["output"]["values"]))
    assert found["shape"] == golden["output"]["shape"]
    for field in ("mean", "std", "values"):
        assert found[field] == pytest.approx(golden["output"][field], rel=1e-6, abs=1e-8), field


@pytest.mark.parametrize("name, norm, antialias", VARIANTS)
def test_builds_and_learns(name, norm, antialias):
    net = make(name, norm=norm, antialias=antialias)
    scores = net(picture(2, 3, 32, 32).float())
    assert scores.shape[1] == 1 and len(scores) % 2 == 0
    scores.square().mean().backward()
    for key, parameter in net.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), key
        assert parameter.grad.abs().max() > 0 or key.endswith("bias"), key     # a norm may cancel a bias


def footprint(net: PatchDiscriminator, side: int) -> tuple[int, int]:
    """Height and width of the input region that one score in the middle depends on."""
    x = picture(1, 3, side, side).requires_grad_()
    scores = net(x)
    scores[0, 0, scores.shape[2] // 2, scores.shape[3] // 2].backward()
    seen = x.grad[0].abs().amax(0) > 0
    return tuple(int(seen.any(axis).sum()) for axis in (1, 0))


# By hand, back from one score, k being a kernel's size and s its stride: n -> s (n - 1) + k.
#   strided: conv4 4, conv4 7, three conv4 with stride 2: 16, 34, 70 (Isola et al. 2017).
#   blurred: 4, 7, then three times blur3 with stride 2 and conv4: 15 18, 37 40, 81 84.
@pytest.mark.parametrize("antialias, layers, field", [(False, 3, 70), (False, 1, 16), (True, 3, 84),
                                                      (True, 2, 40)])
def test_one_score_sees_this_many_pixels(antialias, layers, field):
    net = PatchDiscriminator(in_channels=3, width=2, layers=layers, norm="none", antialias=antialias).double()
    fill_(net)
    assert footprint(net, 128) == (field, field)


def test_pixel_judges_every_pixel_by_itself():
    net = make("pixel", norm="none")
    x = picture(1, 3, 4, 5).float().requires_grad_()
    scores = net(x)
    assert scores.shape == (1, 1, 4, 5)
    scores[0, 0, 1, 3].backward()
    assert x.grad[0].abs().amax(0).nonzero().tolist() == [[1, 3]]


def test_tiles_by_hand():
    x = torch.arange(2 * 5 * 7).reshape(2, 1, 5, 7)
    # 2 x 2 pixels each, row of tiles by row of tiles; row 4 and column 6 are left over.
    squares = [[[0, 1], [7, 8]], [[2, 3], [9, 10]], [[4, 5], [11, 12]],
               [[14, 15], [21, 22]], [[16, 17], [23, 24]], [[18, 19], [25, 26]]]
    found = tiles(x, 2)[:, 0].tolist()
    assert found[:6] == squares
    assert found[6:] == (np.array(squares) + 35).tolist()


def test_tiles_keep_channels_together():
    x = picture(1, 3, 4, 4)
    assert torch.equal(tiles(x, 2)[1], x[0, :, 0:2, 2:4])


def test_a_image_without_a_tile_is_refused():
    with pytest.raises(ValueError, match="15x40 pixels holds no tile of 16x16"):
        tiles(torch.zeros(1, 3, 40, 15), 16)


def test_tiled_scores_are_those_of_the_tiles_alone():
    net = make("patch", norm="none")
    x = picture(1, 3, 32, 48).float()
    scores = net(x)
    alone = net.model(x[:, :, 16:32, 32:48])
    assert len(scores) == 6
    torch.testing.assert_close(scores[5:6], alone)
