"""Adversarial objectives against their papers' formulas in NumPy, and numbers measured on the reference."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from models.losses.gan import OBJECTIVES, gradient_penalty
from models.networks.patchgan import PatchDiscriminator
from tests.formula import fill_, noise, picture, summary

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "gan_objectives.json").read_text())


def sigmoid(s):
    return 1 / (1 + np.exp(-s))


# real, fake, generator: what the papers write, for scores s; the last is the weight of the gradient penalty.
LOGISTIC = (lambda s: -np.log(sigmoid(s)), lambda s: -np.log(1 - sigmoid(s)),
            lambda s: -np.log(sigmoid(s)), 0)
FORMULAS = {
    "lsgan": (lambda s: (s - 1) ** 2, lambda s: s ** 2, lambda s: (s - 1) ** 2, 0),
    "vanilla": LOGISTIC,
    "nonsaturating": LOGISTIC,
    "hinge": (lambda s: np.maximum(0, 1 - s), lambda s: np.maximum(0, 1 + s), lambda s: -s, 0),
    "hinge_real": (lambda s: np.maximum(0, 1 - s), lambda s: np.maximum(0, 1 + s),
                   lambda s: np.maximum(0, 1 - s), 0),
    "wgangp": (lambda s: -s, lambda s: s, lambda s: -s, 10),
}


def scores() -> torch.Tensor:
    return 2 * noise(50, 3).reshape(2, 1, 5, 5)


def test_every_objective_has_its_formula_here():
    assert OBJECTIVES.keys() == FORMULAS.keys()


@pytest.mark.parametrize("name", OBJECTIVES)
def test_is_its_formula(name):
    objective, (real, fake, generator, weight) = OBJECTIVES[name], FORMULAS[name]
    for ours, formula in ((objective.real, real), (objective.fake, fake), (objective.generator, generator)):
        assert ours(scores()).item() == pytest.approx(formula(scores().numpy()).mean(), rel=1e-12)
    assert objective.penalty_weight == weight


@pytest.mark.parametrize("name", [name for name in OBJECTIVES if isinstance(GOLDEN.get(name), dict)])
@pytest.mark.parametrize("side", ["real", "fake"])
def test_matches_the_reference(name, side):
    golden, prediction = GOLDEN[name][side], scores().requires_grad_()
    loss = getattr(OBJECTIVES[name], side)(prediction)
    loss.backward()
    gradient = summary(prediction.grad, len(golden["grad"]["values"]))
    assert loss.item() == pytest.approx(golden["mean"], rel=1e-7)
    for field, value in golden["grad"].items():
        assert gradient[field] == pytest.approx(value, rel=1e-6, abs=1e-12), field


@pytest.mark.parametrize("name", ["vanilla", "nonsaturating", "hinge"])
def test_large_scores_stay_finite(name):
    extreme = torch.tensor([-1e4, 1e4])
    for loss in OBJECTIVES[name][:3]:
        assert torch.isfinite(loss(extreme))


class Linear(nn.Module):
    """D(x) = sum(w x), whose gradient is w everywhere."""

    def __init__(self, w: torch.Tensor):
        super().__init__()
        self.w = nn.Parameter(w)

    def forward(self, x):
        self.seen = x.detach()
        return (self.w * x).sum((1, 2, 3))


def test_penalty_of_a_linear_discriminator_is_known():
    w = noise(3 * 4 * 4, 5).reshape(3, 4, 4)
    D = Linear(w)
    penalty = gradient_penalty(D, picture(2, 3, 4, 4, 0), picture(2, 3, 4, 4, 1))
    length = np.linalg.norm(w.numpy())
    assert penalty.item() == pytest.approx((length - 1) ** 2, rel=1e-12)
    penalty.backward()      # d (|w| - 1)^2 / dw = 2 (|w| - 1) w / |w|
    np.testing.assert_allclose(D.w.grad.numpy(), 2 * (length - 1) * w.numpy() / length, rtol=1e-10)


def test_penalty_looks_between_real_and_fake_at_a_place_per_image():
    D = Linear(torch.ones(3, 4, 4).double())
    real, fake = picture(8, 3, 4, 4, 0), picture(8, 3, 4, 4, 1)
    gradient_penalty(D, real, fake)
    share = ((D.seen - fake) / (real - fake)).flatten(1)
    torch.testing.assert_close(share, share[:, :1].expand_as(share))
    assert 0 <= share.min() and share.max() <= 1 and share[:, 0].std() > 0.05


def test_penalty_of_unlike_sizes_uses_what_both_have():
    D = Linear(torch.ones(3, 4, 5).double())
    real, fake = picture(2, 3, 4, 8, 0), picture(3, 3, 6, 5, 0)
    gradient_penalty(D, real, fake)     # the same image: what lies between is that image itself
    torch.testing.assert_close(D.seen, real[:, :, :, :5])


@pytest.mark.parametrize("where, phase", [("real", 0.0), ("fake", 1.0)])
def test_penalty_matches_the_reference(where, phase):
    D = PatchDiscriminator(in_channels=3, width=8).double()
    fill_(D)
    x = picture(2, 3, 32, 32, phase)
    penalty = OBJECTIVES["wgangp"].penalty_weight * gradient_penalty(D, x, x)
    assert penalty.item() == pytest.approx(GOLDEN["gradient_penalty"][where], rel=1e-6)
