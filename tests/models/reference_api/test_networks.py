"""The reference's functions: what they make, against NumPy and against our tables."""

from argparse import Namespace

import numpy as np
import pytest
import torch
from torch import nn

from models.networks import GENERATORS
from models.reference_api import networks
from models.reference_api.patchnce import PatchNCELoss
from options.train_options import TrainOptions
from util.errors import UsageError


def options(*flags: str) -> Namespace:
    return TrainOptions().parse(["--gpu_ids", "-1", "--ngf", "2", "--ndf", "2", "--crop_size", "16",
                                 "--load_size", "16", "--netG", "resnet_4blocks", *flags])


def generator() -> nn.Module:
    torch.manual_seed(0)
    return networks.define_G(3, 3, 2, "resnet_4blocks", "instance", False, "xavier", 0.02, False, False, [],
                             options())


def test_a_generator_gives_features_as_the_reference_asks_for_them():
    net, x = generator(), torch.rand(2, 3, 16, 16)
    both, alone = net(x, [4, 0], encode_only=False), net(x, layers=[0, 4], encode_only=True)
    assert torch.equal(both[0], net(x)) and [f.shape[1] for f in alone] == [3, 4]
    assert all(torch.equal(one, other) for one, other in zip(both[1], alone, strict=True))
    last, = net(x, [-1], encode_only=True)
    assert torch.equal(last, net(x))


@pytest.mark.parametrize("name", [name for name in GENERATORS if "resnet" in name])
def test_called_as_in_pix2pix_nothing_is_blurred(name):
    net = networks.define_G(3, 3, 2, name, "batch", True, "normal", 0.02, [])
    assert not any(key.endswith("filt") for key in net.state_dict())
    assert any(isinstance(module, nn.ConvTranspose2d) for module in net.modules())
    D = networks.define_D(6, 2, "basic", 3, "batch", "normal", 0.02, [])
    assert D(torch.rand(1, 6, 64, 64)).shape[1] == 1
    assert not any(key.endswith("filt") for key in D.state_dict())


def test_F_draws_places_once_and_takes_them_again():
    netF = networks.define_F(3, "mlp_sample", opt=options("--nce_layers", "0,4", "--netF_nc", "5"))
    assert sorted(netF.state_dict())[0] == "mlp_0.0.bias" and len(netF.state_dict()) == 8
    features = [torch.rand(2, 3, 6, 5), torch.rand(2, 4, 3, 3)]
    vectors, ids = netF(features, 7, None)
    assert [v.shape for v in vectors] == [(14, 5), (14, 5)] and [i.shape for i in ids] == [(7,), (7,)]
    again, _ = netF(features, 7, [i.tolist() for i in ids])
    assert all(torch.equal(one, other) for one, other in zip(vectors, again, strict=True))
    embedded = netF.mlp_0(features[0].flatten(2)[1, :, ids[0][2]])     # of the second image, the third place
    assert torch.allclose(vectors[0][7 + 2], embedded / (embedded.norm() + 1e-7), rtol=1e-4)
    every, none = netF(features, 0)
    assert [v.shape for v in every] == [(2, 5, 6, 5), (2, 5, 3, 3)] and none == []


def test_F_waits_for_features_that_the_options_do_not_tell():
    netF = networks.define_F(3, "mlp_sample", opt=options("--nce_layers", "0,4", "--netF_nc", "5"))
    netF([torch.rand(1, 9, 4, 4)], 4)
    assert netF.mlp_0[0].in_features == 9 and netF.channels == [9]
    bare = networks.PatchSampleF(use_mlp=True, nc=6)
    assert not list(bare.parameters()) and bare([torch.rand(1, 2, 4, 4)], 4)[0][0].shape == (4, 6)
    plain, _ = networks.PatchSampleF()([torch.rand(1, 2, 4, 4)], 4)
    assert torch.allclose(plain[0].norm(dim=1), torch.ones(4), atol=1e-5)
    cells, ids = networks.define_F(3, "reshape")([torch.rand(2, 3, 8, 8)], 4)
    assert cells[0].shape == (2 * 16, 3) and len(ids[0]) == 16


@pytest.mark.parametrize("together", [False, True])
def test_patchnce_loss_is_equation_3(together):
    """Cross entropy of each patch over the S patches of its image, or the B S of all, in float64."""
    rng = np.random.default_rng(0)
    q, k = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in rng.normal(size=(2, 6, 4)))
    opt = Namespace(batch_size=2, nce_T=0.07, nce_includes_all_negatives_from_minibatch=together)
    found = PatchNCELoss(opt)(torch.tensor(q), torch.tensor(k)).numpy()
    logits = q @ k.T / 0.07
    same_image = np.arange(6)[:, None] // 3 == np.arange(6) // 3
    logits = logits if together else np.where(same_image, logits, -np.inf)
    expected = np.log(np.exp(logits).sum(1)) - np.diag(logits)
    assert found.shape == (6,) and np.allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("mode, formula", [
    ("lsgan", lambda s, t: (s - t) ** 2), ("vanilla", lambda s, t: np.log1p(np.exp(s)) - t * s),
    ("nonsaturating", lambda s, t: np.log1p(np.exp(s)) - t * s), ("wgangp", lambda s, t: s * (1 - 2 * t))])
def test_gan_losses(mode, formula):
    scores = np.random.default_rng(1).normal(size=(2, 1, 3, 3))
    for real in (True, False):
        found = networks.GANLoss(mode)(torch.tensor(scores), real)
        assert found.item() == pytest.approx(formula(scores, float(real)).mean(), rel=1e-6)


def test_softer_labels():
    scores = torch.tensor([[0.5]])
    assert networks.GANLoss("lsgan", target_real_label=0.9)(scores, True).item() == pytest.approx(0.16)


def test_gradient_penalty_of_a_linear_discriminator():
    """Its gradient is its weight everywhere: (|w| - 1)^2."""
    weight = torch.arange(12.0).reshape(1, 3, 2, 2)
    net = nn.Conv2d(3, 1, 2, bias=False)
    net.weight.data = weight
    real, fake = torch.rand(2, 2, 3, 2, 2)
    for kind in ("mixed", "real", "fake"):
        penalty, gradients = networks.cal_gradient_penalty(net, real, fake, "cpu", kind, lambda_gp=2.0)
        assert penalty.item() == pytest.approx(2 * (weight.norm().item() - 1) ** 2, rel=1e-5)
        assert torch.allclose(gradients, weight.flatten().expand(2, -1))
    assert networks.cal_gradient_penalty(net, real, fake, "cpu", lambda_gp=0.0) == (0.0, None)


def test_norms_and_initial_weights():
    assert networks.get_norm_layer("instance").func is nn.InstanceNorm2d
    net = nn.Sequential(nn.Conv3d(2, 3, 1), nn.BatchNorm2d(3), nn.Linear(2, 2))
    networks.init_net(net, "normal", 0.0)
    assert not net[0].weight.any() and not net[0].bias.any() and not net[2].weight.any()
    assert torch.equal(net[1].weight, torch.ones(3))


def test_schedulers_give_the_programs_rates():
    opt = options("--n_epochs", "2", "--n_epochs_decay", "2")
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler, rates = networks.get_scheduler(optimizer, opt), []
    for _ in range(4):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates == pytest.approx([1, 1, 2 / 3, 1 / 3])


@pytest.mark.parametrize("make, words", [
    (lambda: networks.define_G(3, 3, 2, "mine"), "--netG 'mine' is none of resnet_4blocks"),
    (lambda: networks.define_D(3, 2, "mine"), "--netD 'mine' is none of basic"),
    (lambda: networks.GANLoss("hinge"), "--gan_mode hinge needs to know")])
def test_one_line(make, words):
    with pytest.raises(UsageError, match=words):
        make()
