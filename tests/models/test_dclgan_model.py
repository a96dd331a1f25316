"""DCLGAN and SimDCL: losses against the paper's formulas in float64, layouts, directions, files, flags."""

import copy

import pytest
import torch
from torch.nn import functional as F

from models.networks import PROJECTORS
from models.networks.patch_sampler import SimilarityHead
from tests import adversarial
from tests.adversarial import batch_of, l1, largest_difference, nets_of, update
from tests.formula import fill_, picture
from util.errors import UsageError

LAYERS = (4, 8, 12, 15)
HEADS = {"dcl": ["F1", "F2"], "simdcl": ["F1", "F2", "F3", "F4", "F5", "F6"]}
SMALL_F = ("--netF_nc", "8", "--num_patches", "8")


def parse(*flags, train=True):
    return adversarial.parse("--model", "dclgan", *flags, train=train)


def build(*flags, train=True):
    return adversarial.build("--model", "dclgan", *flags, train=train)


def exact(*flags):
    """A model in float64, with weights by formula, that compares all places, in their order."""
    model = build(*flags, "--netF_nc", "8")
    for net in model.networks.values():
        fill_(net.double())
    for name in ("F1", "F2"):
        model.networks[name].locations = lambda features, count, shared: [
            torch.arange(f.shape[2] * f.shape[3]).expand(len(f), -1) for f in features]
    return model


def batch64(step):
    return {key: images.double() for key, images in batch_of(2, step).items()}


# ---- the formulas


def embed(G, netF, x):
    """For each layer, the unit vectors of all places, row by row: [B, S, C]."""
    mlps = [getattr(netF, f"mlp_{i}") for i in range(len(LAYERS))]
    vectors = [mlp(f.flatten(2).mT) for mlp, f in zip(mlps, G.encode(x, LAYERS), strict=True)]
    return [v / (v.square().sum(2, keepdim=True).sqrt() + 1e-7) for v in vectors]


def nce(queries, keys):
    """The mean over the layers, places and images of -log of the positive's part (Park et al. 2020)."""
    losses = []
    for q, k in zip(queries, keys, strict=True):
        s = q @ k.detach().mT / 0.07
        losses.append((s.logsumexp(2) - s.diagonal(dim1=1, dim2=2)).mean())
    return sum(losses) / len(losses)


def code(net, embeddings):
    """SimDCL: a 3x3 convolution with stride 2, the mean, two linear layers, unit length."""
    w = net.state_dict(keep_vars=True)
    count = min(e.shape[1] for e in embeddings)
    x = torch.stack([e[:, :count] for e in embeddings], 1)
    x = F.conv2d(x, w["model.0.weight"], w["model.0.bias"], stride=2).clamp_min(0).mean((2, 3))
    x = (x @ w["model.4.weight"].T + w["model.4.bias"]).clamp_min(0) @ w["model.6.weight"].T
    x = x + w["model.6.bias"]
    return x / (x.square().sum(1, keepdim=True).sqrt() + 1e-7)


def telling(net, real, fake):
    return ((1 - net(real)).clamp_min(0).mean() + (1 + net(fake.detach())).clamp_min(0).mean()) / 2


def generator_losses(nets, A, B, fake_A, fake_B, mode):
    """Han et al. 2021, eqs. 3 to 8, as their code weighs them: what is shown, and the sum G."""
    G_A, G_B, F1, F2 = (nets[name] for name in ("G_A", "G_B", "F1", "F2"))
    real_A, made_B = embed(G_A, F1, A), embed(G_B, F2, fake_B)
    real_B, made_A = embed(G_B, F2, B), embed(G_A, F1, fake_A)
    weight = {"dcl": 2, "simdcl": 1}[mode]
    losses = {"G_A": (1 - nets["D_A"](fake_B)).clamp_min(0).mean(),
              "G_B": (1 - nets["D_B"](fake_A)).clamp_min(0).mean(),
              "NCE_A": weight * nce(made_B, real_A), "NCE_B": weight * nce(made_A, real_B),
              "idt_A": l1(G_A(B), B), "idt_B": l1(G_B(A), A)}
    total = sum(losses.values()) / 2
    if mode == "simdcl":
        losses["sim"] = 10 * (l1(code(nets["F3"], real_A), code(nets["F6"], made_A))
                              + l1(code(nets["F4"], made_B), code(nets["F5"], real_B)))
        total = total + losses["sim"]
    return losses | {"G": total}


def adam(nets, lr, beta):
    return torch.optim.Adam([p for net in nets for p in net.parameters()], lr=lr, betas=(beta, 0.999))


# ---- the tests


@pytest.mark.parametrize("mode", HEADS)
def test_steps_are_those_of_a_plain_loop(mode):
    """Three whole steps written out: both D on the images made before, then all others against them."""
    model = exact("--dcl_mode", mode)
    nets = nets_of(model)
    optimizer_D = adam([nets["D_A"], nets["D_B"]], 2e-4, 0.5)
    optimizer_G = adam([nets["G_A"], nets["G_B"]], 2e-4, 0.5)
    rate = (1e-3, 0.9) if mode == "dcl" else (2e-4, 0.5)
    optimizer_F = adam([nets[name] for name in HEADS[mode]], *rate)
    for step in range(3):
        A, B = batch64(step)["A"], batch64(step)["B"]
        fake_B, fake_A = nets["G_A"](A), nets["G_B"](B)
        expected = {"D_A": telling(nets["D_A"], B, fake_B), "D_B": telling(nets["D_B"], A, fake_A)}
        update(optimizer_D, expected["D_A"] + expected["D_B"])
        expected |= generator_losses(nets, A, B, fake_A, fake_B, mode)
        optimizer_F.zero_grad()
        update(optimizer_G, expected["G"])
        optimizer_F.step()
        found = model.train_step(batch64(step))
        assert set(found) == set(expected)
        for name, loss in expected.items():
            assert found[name].item() == pytest.approx(loss.item(), rel=1e-9), (step, name)
    assert largest_difference(nets, model.networks) < 1e-8
    moved = largest_difference(nets_of(exact("--dcl_mode", mode)), model.networks)
    assert moved > 1e-4


@pytest.mark.parametrize("mode", HEADS)
def test_direction_does_not_change_what_is_learnt(mode):
    """A and B are the domains themselves, so that either way can be translated by either run."""
    one, other = (exact("--direction", way, "--dcl_mode", mode) for way in ("AtoB", "BtoA"))
    for step in range(2):
        first, second = one.train_step(batch64(step)), other.train_step(batch64(step))
        for name, loss in first.items():
            assert second[name].item() == pytest.approx(loss.item(), rel=1e-9), name
    assert largest_difference(one.networks, other.networks) < 1e-8
    assert one.translator() is one.networks["G_A"] and other.translator() is other.networks["G_B"]


def test_direction_decides_which_domain_the_numbers_of_channels_are_of():
    for way, gray in (("AtoB", "A"), ("BtoA", "B")):
        model = build("--direction", way, "--input_nc", "1", "--lambda_IDT", "0", *SMALL_F)
        batch = batch_of() | {gray: picture(1, 1, 16, 16).float()}
        assert not any(name.startswith("idt") for name in model.train_step(batch))
        shapes = {label: images.shape[1] for label, images in model.visuals().items()}
        other = "AB".replace(gray, "")
        assert shapes == {f"real_{gray}": 1, f"fake_{gray}": 1, f"real_{other}": 3, f"fake_{other}": 3}


def test_keys_and_numbers_of_parameters_are_those_of_the_published_files():
    opt = parse()
    assert opt.nce_layers == "4,8,12,15"       # of resnet_4blocks; layer 16 is that of the default
    channels = [128, 256, 256, 256]
    with torch.device("meta"):
        F1 = PROJECTORS[opt.netF](channels=channels, width=256)
        F3 = SimilarityHead(layers=4)
    shapes = {key: tuple(value.shape) for key, value in F1.state_dict().items()}
    assert shapes == {f"mlp_{i}.{j}.{kind}": (256, *((channels[i] if j == 0 else 256,) * (kind == "weight")))
                      for i in range(4) for j in (0, 2) for kind in ("weight", "bias")}
    assert {key: tuple(value.shape) for key, value in F3.state_dict().items()} == {
        "model.0.weight": (64, 4, 3, 3), "model.0.bias": (64,), "model.4.weight": (64, 64),
        "model.4.bias": (64,), "model.6.weight": (64, 64), "model.6.bias": (64,)}
    assert [sum(p.numel() for p in net.parameters()) for net in (F1, F3)] == [493_568, 10_688]


def test_defaults_are_the_published_ones():
    dcl, sim = parse(), parse("--dcl_mode", "simdcl")
    assert (dcl.lambda_GAN, dcl.lambda_NCE, dcl.lambda_IDT, dcl.lambda_SIM) == (1, 2, 1, 10)
    assert (sim.lambda_GAN, sim.lambda_NCE, sim.lambda_IDT, sim.lambda_SIM) == (1, 1, 1, 10)
    assert (dcl.lr_F, dcl.beta1_F, sim.lr_F, sim.beta1_F) == (1e-3, 0.9, 2e-4, 0.5)
    for opt in (dcl, sim):
        assert (opt.gan_mode, opt.pool_size, opt.nce_T, opt.num_patches) == ("hinge_real", 0, 0.07, 256)
        assert (opt.n_epochs, opt.n_epochs_decay, opt.netF_nc) == (200, 200, 256)
    assert parse("--netG", "resnet_9blocks").nce_layers == "4,8,12,16"
    assert parse("--netG", "stylegan2").nce_layers == "2,4"
    assert parse("--lambda_NCE", "3", "--lr_F", "0.1", "--gan_mode", "lsgan").lambda_NCE == 3
    assert not hasattr(parse(train=False), "lambda_NCE")


@pytest.mark.parametrize("flags,rate,beta", [
    ((), 1e-3, 0.9), (("--dcl_mode", "simdcl"), 4e-4, 0.7),
    (("--lr_F", "0.01", "--beta1_F", "0.6"), 0.01, 0.6)])
def test_rate_and_moments_of_F_and_their_schedule(flags, rate, beta):
    model = build(*flags, "--lr", "4e-4", "--lr_G", "1e-4", "--beta1", "0.7", *SMALL_F, "--n_epochs", "1",
                  "--n_epochs_decay", "3")
    model.start_epoch(3)        # 1 - 2/4
    for name, optimizer in model.optimizers.items():
        group, = optimizer.param_groups
        first = {"G": (1e-4, 0.7), "D": (4e-4, 0.7), "F": (rate, beta)}[name[0]]
        assert (group["lr"], group["betas"]) == (pytest.approx(first[0] / 2), (first[1], 0.999)), name


@pytest.mark.parametrize("flags", [
    ("--nce_loss", "dce", "--nce_weighting", "semantic", "--lambda_SRC", "0.05"),
    ("--nce_sampling", "dag", "--nce_layer_weights", "1,2,3,4", "--gan_mode", "wgangp"),
    ("--nce_sampling", "query", "--nce_weighting", "ot", "--dcl_mode", "simdcl"),
    ("--normG", "batch", "--no_dropout", "false", "--dcl_mode", "simdcl"),
    ("--netF", "sample", "--netG", "unet_128", "--crop_size", "128", "--load_size", "128"),
    ("--netF", "reshape", "--spectral_norm", "--grad_checkpoint", "--nce_shared_locations"),
    ("--nce_includes_all_negatives_from_minibatch", "--num_patches", "1", "--lambda_GAN", "0")])
def test_the_switches_of_the_contrastive_loss_work_here_too(flags):
    """Every network learns, and G is the mean of both ways and, with simdcl, the similarity loss."""
    side = 128 if "128" in flags else 16
    model = build(*SMALL_F, *flags, "--batch_size", "2")
    before = nets_of(model)
    batch = {key: picture(2, 3, side, side, phase).float() for key, phase in (("A", 0), ("B", 2))}
    losses = model.train_step(batch)
    assert all(loss.isfinite() for loss in losses.values())
    halves = [loss for name, loss in losses.items() if name not in ("D_A", "D_B", "sim", "G")]
    assert len(halves) == (8 if "--lambda_SRC" in flags else 6)
    assert losses["G"].item() == pytest.approx((sum(halves) / 2 + losses.get("sim", 0)).item(), rel=1e-5)
    for name, net in model.networks.items():
        for key, value in net.named_parameters():
            if key.endswith("weight"):      # of biases some gradients are 0, as before a norm
                assert not torch.equal(value, before[name].get_parameter(key)), f"{name} {key}"


def test_weighted_negatives_follow_their_curriculum():
    model = build("--nce_weighting", "semantic", *SMALL_F, "--n_epochs", "2", "--n_epochs_decay", "3")
    model.start_epoch(5)
    for nce_of_way in (model.nce_A, model.nce_B):
        assert nce_of_way.weighting.keywords["gamma"].item() == 10


def test_a_step_keeps_no_features():
    model = build(*SMALL_F)
    model.train_step(batch_of())
    assert model.features == {} and model.nce_A._kept is model.nce_B._kept is None


def test_state_holds_all_that_a_step_needs():
    model, other = build(*SMALL_F, "--dcl_mode", "simdcl"), build(*SMALL_F, "--dcl_mode", "simdcl")
    model.train_step(batch_of())
    other.load_state_dict(copy.deepcopy(model.state_dict()))
    for each in (model, other):
        torch.manual_seed(3)
        each.train_step(batch_of(1, 1))
    assert largest_difference(model.networks, other.networks) == 0


@pytest.mark.parametrize("way,name", [("AtoB", "G_A"), ("BtoA", "G_B")])
def test_one_way_needs_one_file(tmp_path, way, name):
    """The names of the files are the published ones; those of the other networks may be missing."""
    model = build(*SMALL_F, "--dcl_mode", "simdcl")
    model.save_weights(tmp_path, "latest")
    files = {path.name: path for path in tmp_path.iterdir()}
    networks = "G_A G_B D_A D_B F1 F2 F3 F4 F5 F6".split()
    assert files.keys() == {f"latest_net_{n}.pth" for n in networks}
    for file, path in files.items():
        if file != f"latest_net_{name}.pth":
            path.unlink()
    translator = build("--direction", way, train=False)
    translator.load_weights(tmp_path, "latest")
    batch = batch_of()
    shown = translator.translations({way[0]: batch[way[0]]})
    assert set(shown) == {"real_A", "fake_B"} and set(translator.networks) == {name}
    with torch.no_grad():
        assert torch.equal(shown["fake_B"], model.networks[name](batch[way[0]]))
    assert set(translator.translations(batch)) == {"real_A", "fake_B", "real_B"}


def test_a_projection_head_of_another_run_names_its_flags(tmp_path):
    build(*SMALL_F).save_weights(tmp_path, "latest")
    with pytest.raises(UsageError, match="F1.pth does not fit .* look at --nce_layers, --netF"):
        build("--netF_nc", "4").load_weights(tmp_path, "latest")


@pytest.mark.parametrize("flags,words", [
    ("--dcl_mode sim", "--dcl_mode: invalid choice: 'sim'"), ("--lambda_NCE 0", "--lambda_NCE is 0"),
    ("--lambda_SIM 0", "--lambda_SIM is 0"), ("--lambda_IDT -1", "--lambda_IDT is -1"),
    ("--lr_F 0", "--lr_F is 0"), ("--beta1_F 1", "--beta1_F is 1"), ("--input_nc 1", "--lambda_IDT 0"),
    ("--nce_negatives external", "--nce_negatives external keeps"), ("--nce_layers 4,99", "layer 99"),
    ("--dcl_mode simdcl --netF reshape", "--netF reshape leaves"),
    ("--input_nc 1 --lambda_IDT 0 --netF sample", "--netF sample leaves"),
    ("--dcl_mode simdcl --num_patches 2", "--num_patches is 2"),
    ("--dcl_mode simdcl --netF_nc 2", "--netF_nc is 2"), ("--num_patches 1", "--num_patches 1 leaves"),
    ("--CUT_mode CUT", "there is no flag --CUT_mode")])
def test_wrong_flags_are_refused(flags, words):
    with pytest.raises(UsageError, match=words):
        build(*flags.split())
