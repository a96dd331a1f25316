"""CycleGAN: its losses against the paper's formulas, order of updates, pools, files, images shown."""

import copy

import pytest
import torch

from tests import adversarial
from tests.adversarial import adam_of, batch_of, fooling, l1, largest_difference, nets_of, telling, update
from tests.formula import picture
from util.errors import UsageError

ORDER = ["D_A", "G_A", "cycle_A", "idt_A", "D_B", "G_B", "cycle_B", "idt_B", "G"]


def parse(*flags, train=True):
    return adversarial.parse("--model", "cycle_gan", *flags, train=train)


def build(*flags, train=True):
    return adversarial.build("--model", "cycle_gan", *flags, train=train)


def generator_losses(nets, A, B, lambda_A=10.0, lambda_B=10.0, identity=0.5):
    """Zhu et al. 2017, eqs. 1 to 3 with least squares, and the identity loss of section 5.2."""
    fake_B, fake_A = nets["G_A"](A), nets["G_B"](B)
    losses = {"G_A": fooling(nets["D_A"](fake_B)), "G_B": fooling(nets["D_B"](fake_A)),
              "cycle_A": lambda_A * l1(nets["G_B"](fake_B), A),
              "cycle_B": lambda_B * l1(nets["G_A"](fake_A), B),
              "idt_A": lambda_B * identity * l1(nets["G_A"](B), B),
              "idt_B": lambda_A * identity * l1(nets["G_B"](A), A)}
    return losses, fake_A, fake_B


def test_defaults_are_those_of_the_field():
    opt = parse()
    assert (opt.lambda_A, opt.lambda_B, opt.lambda_identity, opt.pool_size) == (10, 10, 0.5, 50)
    assert (opt.normG, opt.normD, opt.no_dropout) == ("instance", "instance", True)
    assert (opt.gan_mode, opt.lr) == ("lsgan", 2e-4)
    assert not any(name.startswith(("nce", "netF", "CUT")) for name in vars(opt))
    assert not hasattr(parse(train=False), "lambda_A")


@pytest.mark.parametrize("direction,weights", [
    ("AtoB", {}), ("BtoA", dict(lambda_A=3.0, lambda_B=7.0, identity=0.25))])
def test_steps_are_those_of_a_plain_loop(direction, weights):
    """Three whole steps written out: forward, both G together, then both D on the images made before."""
    flags = [f"--{'lambda_identity' if k == 'identity' else k}={v}" for k, v in weights.items()]
    model = build("--direction", direction, *flags)
    nets = nets_of(model)
    optimizer_G, optimizer_D = adam_of(nets["G_A"], nets["G_B"]), adam_of(nets["D_A"], nets["D_B"])
    for step in range(3):
        batch = batch_of(2, step)
        A, B = (batch["A"], batch["B"]) if direction == "AtoB" else (batch["B"], batch["A"])
        expected, fake_A, fake_B = generator_losses(nets, A, B, **weights)
        expected["G"] = sum(expected.values())
        update(optimizer_G, expected["G"])
        expected |= {"D_A": telling(nets["D_A"], B, fake_B), "D_B": telling(nets["D_B"], A, fake_A)}
        update(optimizer_D, expected["D_A"] + expected["D_B"])
        found = model.train_step(batch)
        assert list(found) == ORDER
        for name, loss in expected.items():
            assert found[name].item() == pytest.approx(loss.item(), rel=1e-4), (step, name)
    assert largest_difference(nets, model.networks) < 1e-4


def test_without_identity_loss_nothing_is_computed_or_shown_for_it():
    model = build("--lambda_identity", "0")
    assert not any(name.startswith("idt") for name in model.train_step(batch_of()))
    assert list(model.visuals()) == ["real_A", "fake_B", "rec_A", "real_B", "fake_A", "rec_B"]


def test_discriminators_see_images_from_the_pools():
    model = build("--pool_size", "1")
    marker_A, marker_B = torch.full((3, 16, 16), 0.5), torch.full((3, 16, 16), -0.5)
    seen = {"D_A": set(), "D_B": set()}
    for step in range(10):
        model.pools["A"].images, model.pools["B"].images = [marker_A], [marker_B]
        before, batch = nets_of(model), batch_of(1, step)
        found = model.train_step(batch)
        for name, real, old, new in (("D_A", batch["B"], marker_B, model.fake_B),
                                     ("D_B", batch["A"], marker_A, model.fake_A)):
            errors = {which: abs(telling(before[name], real, fake).item() - found[name].item())
                      for which, fake in (("old", old[None]), ("new", new))}
            seen[name].add(min(errors, key=errors.get))
            assert min(errors.values()) < 1e-5
    assert seen == {"D_A": {"old", "new"}, "D_B": {"old", "new"}}


def test_pools_keep_at_most_their_size_and_go_on_after_a_resume():
    model = build("--pool_size", "2")
    for step in range(3):
        model.train_step(batch_of(1, step))
    assert [len(model.pools[side].images) for side in "AB"] == [2, 2]
    other = build("--pool_size", "2")
    other.load_state_dict(copy.deepcopy(model.state_dict()))
    rng = torch.get_rng_state()
    first = [loss.item() for loss in model.train_step(batch_of(1, 4)).values()]
    torch.set_rng_state(rng)
    assert first == [loss.item() for loss in other.train_step(batch_of(1, 4)).values()]
    empty = build("--pool_size", "0")
    empty.train_step(batch_of())
    assert not empty.pools["A"].images and not empty.pools["B"].images


def test_gan_mode_wgangp_adds_its_penalty():
    model = build("--gan_mode", "wgangp")
    nets, batch = nets_of(model), batch_of()
    found = model.train_step(batch)
    plain = (nets["D_A"](model.fake_B).mean() - nets["D_A"](batch["B"]).mean()) / 2
    assert found["D_A"].item() > plain.item() + 1     # 10 (|gradient| - 1)^2, with small gradients at first


def test_checkpoints_carry_the_names_of_the_field(tmp_path):
    model = build()
    model.save_weights(tmp_path, "latest")
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {f"latest_net_{name}.pth" for name in ("G_A", "G_B", "D_A", "D_B")}
    translator = build(train=False)
    translator.load_weights(tmp_path, "latest")
    assert set(translator.networks) == {"G_A", "G_B"}
    A, B = batch_of()["A"], batch_of()["B"]
    with torch.no_grad():
        shown = translator.translations({"A": A, "B": B})
        assert set(shown) == {"real_A", "fake_B", "rec_A", "real_B", "fake_A", "rec_B"}
        assert torch.equal(shown["fake_B"], model.netG_A(A)) and torch.equal(shown["fake_A"], model.netG_B(B))
        assert torch.equal(shown["rec_A"], model.netG_B(model.netG_A(A)))
        assert torch.equal(shown["rec_B"], model.netG_A(model.netG_B(B)))
    assert set(translator.translations({"A": A})) == {"real_A", "fake_B", "rec_A"}


def test_gray_to_colour():
    model = build("--input_nc", "1", "--lambda_identity", "0")
    model.train_step({"A": picture(1, 1, 16, 16).float(), "B": batch_of()["B"]})
    shapes = {label: images.shape[1] for label, images in model.visuals().items()}
    assert shapes == {"real_A": 1, "fake_B": 3, "rec_A": 1, "real_B": 3, "fake_A": 1, "rec_B": 3}


@pytest.mark.parametrize("flags,words", [
    ("--lambda_A -1", "--lambda_A is -1"), ("--lambda_B nan", "--lambda_B"),
    ("--lambda_identity inf", "--lambda_identity"), ("--input_nc 1", "--lambda_identity 0"),
    ("--nce_layers 0", "there is no flag --nce_layers")])
def test_wrong_flags_are_refused(flags, words):
    with pytest.raises(UsageError, match=words):
        build(*flags.split())
