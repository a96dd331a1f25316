"""EnCo: heads and losses in a plain loop, its one pass through G, its places, flags and files."""

import copy

import pytest
import torch
from torch.nn import functional

from models.networks import GENERATORS
from models.networks.patch_sampler import PairedHeads, PatchNorm
from tests import adversarial
from tests.adversarial import adam_of, batch_of, fooling, l1, largest_difference, nets_of, telling, update
from util.errors import UsageError

ALL = "--num_patches 9999"      # every place of every layer, so that chance plays no part


def build(*flags, train=True):
    return adversarial.build("--model", "enco", "--netF_nc", "8", *flags, train=train)


# ---- F

def norm(x):
    """Over all patches of the minibatch: [B, S, C]."""
    return (x - x.mean((0, 1))) / (x.var((0, 1), correction=0) + 1e-5).sqrt()


def embedded(weights, x):
    """Linear, norm, ReLU, Linear, norm, by the heads' state dict."""
    scale, shift = weights.get("1.weight"), weights.get("1.bias")
    return norm((norm(x @ weights["0.weight"].T) * scale + shift).relu() @ weights["3.weight"].T)


def part(state, name):
    return {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}


def content(heads, features):
    """2 - 2 cos of the decoder's prediction and the encoder's embedding, mean of all places and pairs."""
    state, count, losses = heads.state_dict(keep_vars=True), len(features), []
    for first in range(count // 2):
        last = count - 1 - first
        e, d = (f.flatten(2).transpose(1, 2) for f in (features[first], features[last]))
        target = embedded(part(state, f"mlp_{first}"), e).detach()
        head = part(state, f"predictor_{last}")
        hidden = norm(embedded(part(state, f"mlp_{last}"), d) @ head["0.weight"].T)
        hidden = (hidden * head["1.weight"] + head["1.bias"]).relu()
        guess = hidden @ head["3.weight"].T + head["3.bias"]
        losses.append((2 - 2 * functional.cosine_similarity(guess, target, dim=2)).mean())
    return sum(losses) / len(losses)


def test_heads_are_counted_by_hand():
    """Cai et al. 2024: two linear layers and two norms a layer; of the decoder, a predictor half as wide."""
    heads = PairedHeads(channels=[64, 128, 256, 256, 128, 64], width=256)
    learnt = [c * 256 + 2 * 256 + 256 * 256 for c in (64, 128, 256)]
    predictor = 256 * 128 + 2 * 128 + 128 * 256 + 256
    assert sum(p.numel() for p in heads.parameters() if p.requires_grad) == sum(learnt) + 3 * predictor
    assert sum(p.numel() for p in heads.parameters()) == 2 * sum(learnt) + 3 * predictor
    assert {name for name, _ in heads.named_children()} == {
        *(f"mlp_{i}" for i in range(6)), *(f"predictor_{i}" for i in range(3, 6))}
    assert not list(heads.buffers())        # nothing is carried from step to step


def test_norm_is_over_all_patches_in_float32():
    x = torch.randn(3, 5, 4, dtype=torch.bfloat16)
    found = PatchNorm(4, affine=False)(x)
    assert found.dtype == torch.float32 and torch.allclose(found, norm(x.float()), atol=1e-5)


# ---- the step

def expected_losses(nets, A, B, layers, identity):
    """Of G, with least squares, after D has learnt; the content loss takes G's features of that pass."""
    fake, features = nets["G"].forward_with_features(A, layers)
    losses = {"content": 2 * content(nets["F"], features)}
    if identity:
        losses["idt"] = 10 * l1(nets["G"](B), B)
    return losses, fake


@pytest.mark.parametrize("flags", ["", "--nce_sampling random", "--lambda_IDT 0", "--nce_layers 3,7,19,23"])
def test_steps_are_those_of_a_plain_loop(flags):
    """Three whole steps written out, two images each. F is so wide that no patch loses all its ReLUs."""
    model = build("--netF_nc", "64", *ALL.split(), *flags.split())
    layers = [int(n) for n in model.opt.nce_layers.split(",")]
    nets, identity = nets_of(model), "IDT" not in flags
    optimizers = {name: adam_of(nets[name]) for name in "GDF"}
    for step in range(3):
        batch = batch_of(2, step)
        A, B = batch["A"], batch["B"]
        losses, fake = expected_losses(nets, A, B, layers, identity)
        losses["D"] = telling(nets["D"], B, fake)
        update(optimizers["D"], losses["D"])
        losses, fake = {**expected_losses(nets, A, B, layers, identity)[0], "D": losses["D"]}, nets["G"](A)
        losses["G_GAN"] = fooling(nets["D"](fake))
        losses["G"] = losses["G_GAN"] + (losses["content"] + losses.get("idt", 0)) / 2
        optimizers["F"].zero_grad()
        update(optimizers["G"], losses["G"])
        optimizers["F"].step()
        found = model.train_step(batch)
        assert found.keys() == losses.keys()
        for name, loss in losses.items():
            assert found[name].item() == pytest.approx(loss.item(), rel=1e-4), (step, name)
    assert largest_difference({name: nets[name] for name in "GD"}, model.networks) < 1e-4


def test_the_encoders_heads_stay_and_the_decoders_learn():
    model = build()
    before = copy.deepcopy(model.netF.state_dict())
    model.train_step(batch_of())
    moved = {key.split(".")[0] for key, value in model.netF.state_dict().items()
             if not torch.equal(value, before[key])}
    assert moved == {"mlp_3", "mlp_4", "mlp_5", "predictor_3", "predictor_4", "predictor_5"}


def test_no_gradient_reaches_the_encoder_as_a_target():
    """The loss's gradient stops at the encoder's features; those of the decoder get one."""
    heads = PairedHeads(channels=[3, 4], width=8)
    features = [torch.randn(1, c, 4, 4, requires_grad=True) for c in (3, 4)]
    (prediction, target), = heads(features, [torch.arange(16)[None]])
    (prediction * target).sum().backward()
    assert not target.requires_grad and features[0].grad is None and features[1].grad.any()


def test_G_sees_each_image_once_and_its_output_never():
    """One pass of G, no encoder's; D sees both images for itself, and the output once for G."""
    model, seen = build("--batch_size", "2"), {"G": [], "D": []}
    encode = model.netG.encode
    model.netG.encode = lambda *args: seen["G"].append("encoded") or encode(*args)
    run = model.netG.forward_with_features
    model.netG.forward_with_features = lambda x, layers: seen["G"].append(len(x)) or run(x, layers)
    model.netD.register_forward_pre_hook(lambda _, inputs: seen["D"].append(len(inputs[0])))
    model.train_step(batch_of(2))
    assert seen == {"G": [4], "D": [4, 2]}


def test_the_identity_loss_ends_where_the_rate_begins_to_fall():
    model = build("--n_epochs", "2", "--n_epochs_decay", "2")
    shown = []
    for epoch in range(1, 5):
        model.start_epoch(epoch)
        shown.append("idt" in model.train_step(batch_of()))
    assert shown == [True, True, False, False]


# ---- places

@pytest.mark.parametrize("flags", ["", "--diffaugment translation,color,cutout"])
def test_half_of_the_places_are_where_D_sees_the_least(flags, monkeypatch):
    """D's scores of the image itself, whatever --diffaugment does to what D learns from."""
    model = build("--num_patches", "8", "--netD", "pixel", *flags.split())
    columns = torch.linspace(-1, 1, 16).expand(1, 1, 16, 16)
    monkeypatch.setattr(model.netD, "forward", lambda x: columns + 0 * x.mean(1, keepdim=True))
    monkeypatch.setattr("models.contrastive.sampling.OVERSAMPLING", 10**6)      # of all places
    found = []
    model.netF.register_forward_pre_hook(lambda _, inputs: found.extend(inputs[1]))
    model.set_input(batch_of())
    model.forward()
    model.compute_G_loss()
    for feature, places in zip(model.features, found, strict=False):
        width = feature.shape[3]
        lowest = places[0].remainder(width).sort().values[:4]
        assert places.shape == (1, 8) and len(set(places[0].tolist())) == 8
        assert lowest.max() <= -(-4 // width)       # four places of the first columns


# ---- layers and flags

@pytest.mark.parametrize("name", [name for name, choice in GENERATORS.items() if choice.pairs])
def test_the_pairs_of_a_generator_mirror_each_other(name):
    """Layer l of the encoder goes with layer L - l, and both have one shape; three sizes in all."""
    opt = adversarial.parse("--model", "enco", "--netG", name)
    layers = [int(n) for n in opt.nce_layers.split(",")]
    net = adversarial.build("--model", "enco", "--netG", name).netG
    shapes = net.feature_shapes(layers, 3)
    assert [a + b for a, b in zip(layers, layers[::-1], strict=True)] == [net.layer_count() - 1] * 6
    assert shapes == shapes[::-1] and [shape[1:] for shape in shapes[:3]] == [(32, 32), (16, 16), (8, 8)]
    assert net.feature_channels(layers, 3) == [2, 4, 8, 8, 4, 2]


def test_published_layers_and_defaults():
    opt = adversarial.parse("--model", "enco", "--netG", "resnet_9blocks")
    assert (opt.nce_layers, opt.lambda_NCE, opt.lambda_IDT) == ("3,7,13,18,24,28", 2, 10)
    assert (opt.netF_nc, opt.num_patches, opt.nce_sampling, opt.pool_size) == (256, 256, "dag", 0)
    assert not hasattr(adversarial.parse("--model", "enco", train=False), "nce_layers")
    assert list(adversarial.build("--model", "enco", train=False).networks) == ["G"]


@pytest.mark.parametrize("flags", ["--precision bf16", "--precision fp16", "--normG batch --no_dropout false",
                                   "--netG stylegan2 --nce_layers 0,9", "--batch_size 3 --num_patches 1",
                                   "--channels_last --grad_checkpoint", "--netD patch --nce_sampling random",
                                   "--ema 4 --diffaugment color --spectral_norm --gan_mode hinge",
                                   "--gan_mode wgangp", "--crop_size 8 --load_size 8 --netD pixel"])
def test_trains_with(flags):
    model = build(*flags.split())
    side = model.opt.crop_size
    for step in range(3):
        batch = {key: x[..., :side, :side] for key, x in batch_of(model.opt.batch_size, step).items()}
        losses = model.train_step(batch)
    assert all(loss.isfinite() and loss.dtype == torch.float32 for loss in losses.values())
    assert 0 <= losses["content"] <= 8


@pytest.mark.parametrize("flags, message", [
    ("--lambda_GAN 0 --lambda_NCE 0", "--lambda_GAN and --lambda_NCE are both 0"),
    ("--input_nc 1", "use --lambda_IDT 0"),
    ("--num_patches 1", "--num_patches 1 leaves nothing to normalise over"),
    ("--netD stylegan2", "--nce_sampling dag needs scores of D all over the image, and --netD stylegan2"),
    ("--netG smallstylegan2", "--netG smallstylegan2 has no pairs of layers"),
    ("--nce_layers 3,7,19", "--nce_layers 3,7,19 names 3 layers"),
    ("--nce_layers 3,7", "compares layers 3 and 7 of G, whose maps differ in size"),
    ("--no_antialias", "whose maps differ in size"),
    ("--nce_layers 3,99", "--nce_layers names layer 99"),
])
def test_what_cannot_work_is_refused(flags, message):
    with pytest.raises(UsageError) as error:
        build(*flags.split())
    assert message in str(error.value) and "\n" not in str(error.value)
