"""--spectral_norm: singular values against NumPy's, gradients, every --netD, checkpoints."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from models.networks import DISCRIMINATORS
from models.networks.spectral_norm import SpectralNorm, normalize_spectrally
from models.networks.stylegan2_ops import EqualConv2d, EqualLinear
from tests.adversarial import batch_of, build
from util.errors import UsageError


def layers_of(net: nn.Module) -> list[nn.Module]:
    """Those with a weight that is a matrix or more; a norm's is a vector."""
    return [module for module in net.modules()
            if isinstance(getattr(module, "weight", None), torch.Tensor) and module.weight.ndim > 1]


def largest(weight: torch.Tensor) -> float:
    """The largest singular value of a weight [C_out, ...] as a matrix."""
    return np.linalg.svd(weight.detach().flatten(1).double().numpy(), compute_uv=False)[0]


@pytest.mark.parametrize("kind", DISCRIMINATORS)
def test_every_discriminator_has_layers_of_norm_1(kind):
    torch.manual_seed(0)
    net = DISCRIMINATORS[kind](in_channels=3, width=4, norm="instance", layers=2, crop_size=32, tile=16)
    count = len(layers_of(net))
    normalize_spectrally(net)
    net(torch.rand(2, 3, 32, 32))
    layers = layers_of(net)
    assert len(layers) == count >= 3
    for layer in layers:
        weights = [layer.weight for _ in range(100)]        # each takes an iteration
        scale = layer.scale if isinstance(layer, (EqualConv2d, EqualLinear)) else 1
        assert largest(weights[-1] * scale) == pytest.approx(1, abs=0.02)


def test_the_weight_and_its_gradient_in_float64():
    """W / s with s the largest singular value, whose derivative is u v^T."""
    torch.manual_seed(0)
    layer = nn.Linear(7, 5).double()
    plain = layer.weight.detach().clone()
    normalize_spectrally(layer)
    for _ in range(300):
        layer(torch.zeros(1, 7).double())
    layer.eval()
    u, s, vt = np.linalg.svd(plain.numpy())
    torch.testing.assert_close(layer.weight, plain / s[0])
    towards = torch.rand(5, 7).double()
    (layer.weight * towards).sum().backward()
    slope = torch.from_numpy(np.outer(u[:, 0], vt[0]))
    expected = towards / s[0] - (towards * plain).sum() / s[0] ** 2 * slope
    torch.testing.assert_close(layer.parametrizations.weight.original.grad, expected)


def test_one_power_iteration_a_pass_in_training_and_none_else():
    norm = SpectralNorm(torch.rand(4, 3, 2, 2))
    weight = torch.rand(4, 3, 2, 2)
    matrix, u = weight.flatten(1).double().numpy(), norm.u.double().numpy()
    norm.eval()
    norm(weight)
    np.testing.assert_array_equal(norm.u, u.astype(np.float32))
    norm.train()
    v = matrix.T @ u
    v /= np.linalg.norm(v)
    u = matrix @ v
    expected = matrix / np.linalg.norm(u)
    np.testing.assert_allclose(norm(weight).flatten(1), expected, rtol=1e-5)
    np.testing.assert_allclose(norm.u, u / np.linalg.norm(u), rtol=1e-5)


def test_bf16_does_not_round_the_norm():
    torch.manual_seed(0)
    layer = nn.Conv2d(16, 16, 3)
    normalize_spectrally(layer)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = copy.deepcopy(layer).weight
    assert rounded.dtype == torch.float32 and torch.equal(rounded, layer.weight)


@pytest.mark.parametrize("flags", [["--gan_mode", "hinge"], ["--gan_mode", "wgangp"], ["--precision", "bf16"],
                                   ["--normD", "batch", "--model", "cycle_gan"]])
def test_a_resumed_run_takes_the_same_next_step(flags):
    flags = "--spectral_norm", "--diffaugment", "translation,color,cutout", *flags
    whole, resumed = build(*flags), build(*flags)
    whole.train_step(batch_of())
    resumed.load_state_dict(copy.deepcopy(whole.state_dict()))
    for model in (whole, resumed):
        torch.manual_seed(5)
        assert all(loss.isfinite() for loss in model.train_step(batch_of(1, 1)).values())
    for name, net in whole.networks.items():
        state = resumed.networks[name].state_dict()
        assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())


def test_weights_load_into_the_same_networks_and_others_name_the_flag(tmp_path):
    normalised, plain = build("--spectral_norm"), build()
    normalised.save_weights(tmp_path, "latest")
    build("--spectral_norm").load_weights(tmp_path, "latest")
    assert normalised.networks["G"].state_dict().keys() == plain.networks["G"].state_dict().keys()
    with pytest.raises(UsageError, match="latest_net_D.pth does not fit .* look at --spectral_norm, "):
        plain.load_weights(tmp_path, "latest")
