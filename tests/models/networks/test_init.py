"""Initial weights against the statistics that their inventors give."""

import math

import pytest
import torch
from torch import nn

from models.networks import DISCRIMINATORS, GENERATORS
from models.networks.init import INITS, init_weights


def some_net() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(40, 60, 3), nn.BatchNorm2d(60), nn.ConvTranspose2d(60, 30, 4),
                         nn.Flatten(), nn.Linear(50, 400))


# Std by fan_in and fan_out: that of a sample lies within 2 % at 20,000 weights.
FORMULAS = {
    "normal": lambda fan_in, fan_out, gain: gain,
    "xavier": lambda fan_in, fan_out, gain: gain * math.sqrt(2 / (fan_in + fan_out)),   # Glorot, Bengio 2010
    "kaiming": lambda fan_in, fan_out, gain: math.sqrt(2 / fan_in),                     # He et al. 2015
    "orthogonal": lambda fan_in, fan_out, gain: gain / math.sqrt(max(fan_in, fan_out)), # |row| = gain
}


def test_every_init_has_its_formula_here():
    assert INITS.keys() == FORMULAS.keys()


@pytest.mark.parametrize("gain", [0.02, 0.5])
@pytest.mark.parametrize("name", INITS)
def test_weights_follow_the_formula(name, gain):
    torch.manual_seed(0)
    net = init_weights(some_net(), name, gain)
    conv, linear = net[0], net[4]
    # orthogonal counts an output channel as a row: its fan_out is the number of rows alone
    rows = 60 if name == "orthogonal" else 60 * 9
    for weight, fan_in, fan_out in ((conv.weight, 40 * 9, rows), (linear.weight, 50, 400)):
        expected = FORMULAS[name](fan_in, fan_out, gain)
        assert weight.std().item() == pytest.approx(expected, rel=0.02)
        assert weight.mean().item() == pytest.approx(0, abs=0.03 * expected)


def test_transposed_convolutions_are_filled_too():
    torch.manual_seed(0)
    assert init_weights(some_net(), "normal", 0.02)[2].weight.std().item() == pytest.approx(0.02, rel=0.02)


def test_orthogonal_rows_are_orthogonal():
    rows = init_weights(some_net(), "orthogonal", 0.5)[0].weight.flatten(1)
    torch.testing.assert_close(rows @ rows.T, 0.25 * torch.eye(60), atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", INITS)
def test_biases_are_zero_and_batch_norm_is_near_one(name):
    torch.manual_seed(0)
    net = init_weights(nn.Sequential(nn.Conv2d(2, 4000, 1), nn.BatchNorm2d(4000)), name, 0.02)
    assert net[0].bias.abs().max() == 0 and net[1].bias.abs().max() == 0
    assert net[1].weight.mean().item() == pytest.approx(1, abs=0.002)
    assert net[1].weight.std().item() == pytest.approx(0.02, rel=0.05)


@pytest.mark.parametrize("build", [GENERATORS["stylegan2"], GENERATORS["smallstylegan2"],
                                   DISCRIMINATORS["stylegan2"], DISCRIMINATORS["tilestylegan2"]])
def test_stylegan2_keeps_its_own_weights(build):
    torch.manual_seed(0)
    net = build(in_channels=3, out_channels=3, width=2, crop_size=16, num_downsampling=1, tile=16)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    init_weights(net, "normal", 0.02)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    weights = torch.cat([v.flatten() for k, v in before.items() if k.endswith("weight") and v.dim() > 1])
    assert weights.std().item() == pytest.approx(1, rel=0.05)


def test_an_unknown_name_lists_those_that_exist():
    with pytest.raises(ValueError, match="--init_type is 'he'; choose one of normal, xavier, kaiming, ortho"):
        init_weights(some_net(), "he", 0.02)
