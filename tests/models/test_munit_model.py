"""MUNIT: steps in a plain loop, learning rate, directions, resume, number formats, files, flags."""

import copy

import pytest
import torch
from torch import Tensor, nn

from tests import adversarial
from tests.adversarial import fooling, l1, largest_difference, nets_of, update
from util.errors import UsageError

SIZES = ["--model", "munit", "--crop_size", "64", "--load_size", "64"]


def parse(*flags, train=True):
    return adversarial.parse(*SIZES, *flags, train=train)


def build(*flags, train=True):
    return adversarial.build(*SIZES, *flags, train=train)


def batch_of(size: int = 1, step: int = 0) -> dict[str, Tensor]:
    return adversarial.batch_of(size, step, side=64)


def adam_of(*nets: nn.Module, weight_decay: float = 1e-4) -> torch.optim.Optimizer:
    return torch.optim.Adam([p for net in nets for p in net.parameters()], lr=1e-4, betas=(0.5, 0.999),
                            weight_decay=weight_decay)


def test_defaults():
    opt = parse()
    assert (opt.lr, opt.beta1, opt.beta2, opt.weight_decay, opt.batch_size) == (1e-4, 0.5, 0.999, 1e-4, 1)
    assert (opt.lr_policy, opt.lr_halving_steps, opt.init_type, opt.gan_mode) == (
        "constant", 100_000, "kaiming", "lsgan")
    assert (opt.lambda_recon_x, opt.lambda_recon_s, opt.lambda_recon_c, opt.lambda_cycle) == (10, 1, 1, 0)
    assert (opt.style_dim, opt.n_epochs, opt.n_epochs_decay) == (8, 400, 0)
    assert not hasattr(opt, "num_styles") and not hasattr(opt, "nce_layers")
    opt = parse(train=False)
    assert (opt.num_styles, opt.same_styles, opt.style_image) == (1, False, None)
    assert not hasattr(opt, "lambda_cycle")


def discriminator_losses(nets, A, B):
    """Both domains' least squares, summed over three scales, not halved; styles drawn for A, then for B."""
    G_A, G_B = nets["G_A"], nets["G_B"]
    s_A, s_B = torch.randn(len(B), 8), torch.randn(len(A), 8)
    fake_A, fake_B = G_A.decode(G_B.encode_content(B), s_A), G_B.decode(G_A.encode_content(A), s_B)

    def telling(D, real, fake):
        return sum(((r - 1) ** 2).mean() + (f ** 2).mean()
                   for r, f in zip(D(real), D(fake.detach()), strict=True))
    return {"D_A": telling(nets["D_A"], A, fake_A), "D_B": telling(nets["D_B"], B, fake_B)}


def generator_losses(nets, A, B, weights):
    """Huang et al. 2018, eq. 1 to 5; the weights of images, styles, contents and cycle."""
    G_A, G_B = nets["G_A"], nets["G_B"]
    s_A, s_B = torch.randn(len(B), 8), torch.randn(len(A), 8)
    c_A, c_B, own_A, own_B = (G_A.encode_content(A), G_B.encode_content(B), G_A.encode_style(A),
                              G_B.encode_style(B))
    fake_A, fake_B = G_A.decode(c_B, s_A), G_B.decode(c_A, s_B)
    c_A_again, c_B_again = G_B.encode_content(fake_B), G_A.encode_content(fake_A)
    x, s, c, cycle = weights
    losses = {"G_A": sum(map(fooling, nets["D_A"](fake_A))), "G_B": sum(map(fooling, nets["D_B"](fake_B))),
              "recon_x_A": x * l1(G_A.decode(c_A, own_A), A), "recon_x_B": x * l1(G_B.decode(c_B, own_B), B),
              "recon_s_A": s * l1(G_A.encode_style(fake_A), s_A),
              "recon_s_B": s * l1(G_B.encode_style(fake_B), s_B),
              "recon_c_A": c * l1(c_A_again, c_A), "recon_c_B": c * l1(c_B_again, c_B)}
    if cycle:
        losses |= {"cycle_A": cycle * l1(G_A.decode(c_A_again, own_A), A),
                   "cycle_B": cycle * l1(G_B.decode(c_B_again, own_B), B)}
    return losses


@pytest.mark.parametrize("flags, weights, weight_decay", [
    ("", (10, 1, 1, 0), 1e-4),
    ("--grad_checkpoint", (10, 1, 1, 0), 1e-4),
    ("--lambda_recon_x 3 --lambda_recon_s 2 --lambda_recon_c 5 --lambda_cycle 7 --weight_decay 0.5",
     (3, 2, 5, 7), 0.5)])
def test_steps_are_those_of_a_plain_loop(flags, weights, weight_decay):
    """Three whole steps written out: both D, then both G, each on translations of its own."""
    model = build(*flags.split())
    nets = nets_of(model)
    optimizer_G, optimizer_D = (adam_of(nets[f"{kind}_A"], nets[f"{kind}_B"], weight_decay=weight_decay)
                                for kind in "GD")
    for step in range(3):
        batch = batch_of(2, step)
        torch.manual_seed(step)
        expected = discriminator_losses(nets, batch["A"], batch["B"])
        update(optimizer_D, expected["D_A"] + expected["D_B"])
        losses = generator_losses(nets, batch["A"], batch["B"], weights)
        expected |= losses | {"G": sum(losses.values())}
        update(optimizer_G, expected["G"])
        torch.manual_seed(step)
        found = model.train_step(batch)
        assert found.keys() == expected.keys()
        for name, loss in expected.items():
            assert found[name].item() == pytest.approx(loss.item(), rel=1e-4), (step, name)
    assert largest_difference(nets, model.networks) < 2e-5, 'of 3e-4 that three steps move a weight'


def test_the_target_of_the_content_loss_learns():
    """The encoder gets another gradient where the target alone is held fixed."""
    model, batch = build(), batch_of()
    model.set_input(batch)
    gradients = []
    for fixed in (False, True):
        model.content = {X: model.netG[X].encode_content(batch[X]) for X in "AB"}
        model.encoded = {X: model.netG[X].encode_style(batch[X]) for X in "AB"}
        torch.manual_seed(1)
        model.forward()
        if fixed:
            model.content = {X: content.detach() for X, content in model.content.items()}
        loss = model.compute_G_loss()
        gradients.append(torch.autograd.grad(loss, model.netG["A"].enc_content.model[0].conv.weight)[0])
    assert not torch.allclose(*gradients, rtol=1e-3)


def test_learning_rate_is_halved_by_steps_and_after_a_resume():
    model = build("--lr_halving_steps", "3", "--lr_G", "4e-4")
    rates = []
    for step in range(7):
        if step % 2 == 0:
            model.start_epoch(1 + step // 2)        # must not undo it
        model.train_step(batch_of(1, step))
        rates.append([o.param_groups[0]["lr"] for o in model.optimizers.values()])
    # the published code halves before steps 3 and 6, counted from 1
    factors = [1, 1, 0.5, 0.5, 0.5, 0.25, 0.25]
    assert rates == [[4e-4 * f, 4e-4 * f, 1e-4 * f, 1e-4 * f] for f in factors]
    other = build("--lr_halving_steps", "3", "--lr_G", "4e-4")
    other.load_state_dict(copy.deepcopy(model.state_dict()))
    other.start_epoch(9)
    assert other.learning_rate() == 1e-4 and other.steps == 7
    never = build("--lr_halving_steps", "0")
    never.train_step(batch_of())
    assert never.learning_rate() == 1e-4


def test_goes_on_exactly_from_its_state():
    model = build("--ema", "3", "--lambda_cycle", "1")
    for step in range(2):
        model.train_step(batch_of(1, step))
    other = build("--ema", "3", "--lambda_cycle", "1")
    other.load_state_dict(copy.deepcopy(model.state_dict()))
    assert other.ema.averages.keys() == {"G_A", "G_B"}
    for each in (model, other):
        torch.manual_seed(3)
        each.last = [loss.item() for loss in each.train_step(batch_of(1, 4)).values()]
    assert model.last == other.last
    assert largest_difference(model.networks, other.networks) == 0


def test_images_are_named_by_role_and_networks_by_domain():
    """With BtoA the input is domain B, which G_B encodes; trainA's images stay those of G_A and D_A."""
    model, batch = build("--direction", "BtoA"), batch_of()
    model.train_step(batch)
    shown = model.visuals()
    assert list(shown) == ["real_A", "fake_B", "rec_A", "real_B", "fake_A", "rec_B"]
    assert torch.equal(shown["real_A"], batch["B"]) and torch.equal(shown["real_B"], batch["A"])
    assert shown["fake_B"] is model.fake["A"] and shown["rec_A"] is model.recon["B"]
    forth = build()
    torch.manual_seed(2)
    backward = build("--direction", "BtoA")
    backward.load_state_dict(copy.deepcopy(forth.state_dict()))
    losses = []
    for each in (forth, backward):
        torch.manual_seed(0)
        losses.append({name: loss.item() for name, loss in each.train_step(batch).items()})
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_channels_belong_to_the_roles():
    model = build("--direction", "BtoA", "--input_nc", "1")
    batch = batch_of() | {"B": batch_of()["B"][:, :1]}
    model.train_step(batch)
    assert model.visuals()["fake_B"].shape[1] == 3 and model.visuals()["fake_A"].shape[1] == 1


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_files_and_translation_both_ways(direction, tmp_path):
    """One run translates both ways; a translation is the decoding of the content in its style, no more."""
    model = build()
    model.train_step(batch_of())
    model.save_weights(tmp_path, "7")
    assert {path.name for path in tmp_path.iterdir()} == {f"7_net_{k}_{X}.pth" for k in "GD" for X in "AB"}
    translator = build("--direction", direction, "--num_styles", "2", train=False)
    translator.load_weights(tmp_path, "7")
    source, target = direction.split("to")
    batch = batch_of() | {f"{source}_paths": ["x/one.png"]}
    shown = translator.test_step(batch)
    assert list(shown) == ["real_A", "fake_B", "fake_B_2", "real_B"]
    styles = translator.styles(batch)
    with torch.no_grad():
        content = model.networks[f"G_{source}"].encode_content(batch[source])
        for label, style in zip(("fake_B", "fake_B_2"), styles, strict=True):
            assert torch.equal(shown[label], model.networks[f"G_{target}"].decode(content, style))
    assert not torch.allclose(shown["fake_B"], shown["fake_B_2"])
    odd = translator.test_step({source: batch[source][..., :61, :50]})
    assert list(odd) == ["real_A", "fake_B", "fake_B_2"] and odd["fake_B"].shape == (1, 3, 61, 50)


def test_batches_and_single_images_agree():
    """No network mixes the images of a batch."""
    translator = build(train=False)
    together = translator.test_step(batch_of(3) | {"A_paths": ["a", "b", "c"]})["fake_B"]
    alone = translator.test_step({"A": batch_of(3)["A"][1:2], "A_paths": ["b"]})["fake_B"]
    assert torch.allclose(together[1], alone[0], atol=1e-5)


@pytest.mark.parametrize("flags", ["--precision bf16", "--channels_last",
                                   "--gan_mode hinge --spectral_norm --diffaugment translation,color,cutout"])
def test_common_flags(flags):
    model, plain = build(*flags.split()), build()
    for _ in range(2):
        losses = model.train_step(batch_of())
        reference = plain.train_step(batch_of())
    assert all(torch.isfinite(loss) and loss.dtype == torch.float32 for loss in losses.values())
    if "gan_mode" not in flags:
        for name in ("recon_x_A", "recon_x_B"):
            assert losses[name].item() == pytest.approx(reference[name].item(), rel=0.05)


def test_compiled_passes_are_those_that_are_used(monkeypatch):
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda method: compiled.append(method.__name__) or method)
    build("--compile").train_step(batch_of())
    assert {"encode_content", "encode_style", "decode", "forward"} == set(compiled)


@pytest.mark.parametrize("flags, words", [
    ("--crop_size 32", "--crop_size 32 is too small for --model munit, which needs 64"),
    ("--gan_mode wgangp", "--gan_mode wgangp does not work with --model munit"),
    ("--lambda_cycle -1", "--lambda_cycle is -1"), ("--weight_decay -1", "--weight_decay is -1"),
    ("--lr_halving_steps -1", "--lr_halving_steps is -1"), ("--num_styles 2", "no flag --num_styles")])
def test_wrong_flags_are_refused(flags, words):
    with pytest.raises(UsageError, match=words):
        build(*flags.split())


def test_uncropped_images_must_have_fitting_sides():
    model = build("--preprocess", "none")
    with pytest.raises(UsageError, match="--preprocess none gives an image of 60x64 pixels, but --model "
                                         "munit takes sides of 64 or more"):
        model.train_step({side: images[..., :60] for side, images in batch_of().items()})
