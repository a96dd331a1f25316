"""GcGAN: geometry by hand, losses and order of updates in a plain loop, pools, files, flags."""

import copy

import numpy as np
import pytest
import torch

from models.gcgan_model import GEOMETRIES
from tests import adversarial
from tests.adversarial import adam_of, batch_of, fooling, l1, largest_difference, nets_of, telling, update
from util.errors import UsageError

# Index arithmetic, apart from torch's own flip and rot90: the pixel that stands at (i, j) afterwards.
SOURCES = {"rot": lambda i, j, height: (height - 1 - j, i), "vf": lambda i, j, height: (height - 1 - i, j)}


def parse(*flags, train=True):
    return adversarial.parse("--model", "gcgan", *flags, train=train)


def build(*flags, train=True):
    return adversarial.build("--model", "gcgan", *flags, train=train)


@pytest.mark.parametrize("name", sorted(GEOMETRIES))
def test_geometries_move_pixels_and_have_an_inverse(name):
    x = torch.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    there, back = GEOMETRIES[name]
    moved = there(x)
    for i, j in np.ndindex(*moved.shape[2:]):
        row, column = SOURCES[name](i, j, 4)
        assert torch.equal(moved[..., i, j], x[..., row, column])
    assert torch.equal(back(moved), x) and torch.equal(there(back(x)), x)


def test_defaults():
    opt = parse()
    assert (opt.geometry, opt.lambda_gc, opt.lambda_identity, opt.pool_size) == ("rot", 20, 5, 50)
    assert not opt.separate_generators and not hasattr(opt, "nce_layers")
    assert not hasattr(parse(train=False), "geometry")


def generator_losses(nets, A, B, f, inverse, lambda_gc, identity):
    """Fu et al. 2019, section 3, with least squares: both views and both terms of the consistency."""
    G, G_gc = nets["G"], nets.get("G_gc", nets["G"])
    fake, fake_gc = G(A), G_gc(f(A))
    losses = {"G_GAN": fooling(nets["D"](fake)), "G_GAN_gc": fooling(nets["D_gc"](fake_gc)),
              "gc": lambda_gc * (l1(fake, inverse(fake_gc)) + l1(fake_gc, f(fake)))}
    if identity:
        losses |= {"idt": identity * l1(G(B), B), "idt_gc": identity * l1(G_gc(f(B)), f(B))}
    return losses, fake, fake_gc


@pytest.mark.parametrize("flags,f,inverse,lambda_gc,identity", [
    ("", lambda x: x.transpose(2, 3).flip(3), lambda x: x.transpose(2, 3).flip(2), 20.0, 5.0),
    ("--geometry vf --separate_generators", lambda x: x.flip(2), lambda x: x.flip(2), 20.0, 5.0),
    ("--geometry vf --lambda_gc 3 --lambda_identity 0", lambda x: x.flip(2), lambda x: x.flip(2), 3.0, 0.0)])
def test_steps_are_those_of_a_plain_loop(flags, f, inverse, lambda_gc, identity):
    """Three whole steps written out: forward, G, then both D on the images made before."""
    model = build(*flags.split())
    nets = nets_of(model)
    optimizer_G = adam_of(*(nets[name] for name in ("G", "G_gc") if name in nets))
    optimizer_D = adam_of(nets["D"], nets["D_gc"])
    for step in range(3):
        batch = batch_of(2, step)
        A, B = batch["A"], batch["B"]
        expected, fake, fake_gc = generator_losses(nets, A, B, f, inverse, lambda_gc, identity)
        expected["G"] = sum(expected.values())
        update(optimizer_G, expected["G"])
        expected |= {"D": telling(nets["D"], B, fake), "D_gc": telling(nets["D_gc"], f(B), fake_gc)}
        update(optimizer_D, expected["D"] + expected["D_gc"])
        found = model.train_step(batch)
        assert found.keys() == expected.keys()
        for name, loss in expected.items():
            assert found[name].item() == pytest.approx(loss.item(), rel=1e-4), (step, name)
    assert largest_difference(nets, model.networks) < 1e-4


def test_images_of_unequal_sides_can_be_turned():
    model = build()
    batch = {side: images[..., :12] for side, images in batch_of().items()}
    model.train_step(batch)
    assert model.visuals()["fake_gc"].shape == model.visuals()["fake_B"].shape == (1, 3, 16, 12)
    assert list(model.visuals()) == ["real_A", "fake_B", "fake_gc", "real_B", "idt_B"]


def test_pools_feed_both_discriminators_and_go_on_after_a_resume():
    model = build("--pool_size", "1")
    for step in range(2):
        model.train_step(batch_of(1, step))
    assert [len(model.pools[name].images) for name in ("D", "D_gc")] == [1, 1]
    other = build("--pool_size", "1")
    other.load_state_dict(copy.deepcopy(model.state_dict()))
    rng = torch.get_rng_state()
    first = [loss.item() for loss in model.train_step(batch_of(1, 4)).values()]
    torch.set_rng_state(rng)
    assert first == [loss.item() for loss in other.train_step(batch_of(1, 4)).values()]


@pytest.mark.parametrize("flags,names", [("", {"G", "D", "D_gc"}),
                                         ("--separate_generators", {"G", "G_gc", "D", "D_gc"})])
def test_files_and_translation(flags, names, tmp_path):
    model = build(*flags.split())
    model.save_weights(tmp_path, "7")
    assert {path.name for path in tmp_path.iterdir()} == {f"7_net_{name}.pth" for name in names}
    translator = build(train=False)
    translator.load_weights(tmp_path, "7")
    shown = translator.translations(batch_of())
    assert list(shown) == ["real_A", "fake_B", "real_B"]
    with torch.no_grad():
        assert torch.equal(shown["fake_B"], model.networks["G"](batch_of()["A"]))


@pytest.mark.parametrize("flags,words", [
    ("--lambda_gc -2", "--lambda_gc is -2"), ("--lambda_identity inf", "--lambda_identity"),
    ("--output_nc 1", "--lambda_identity 0")])
def test_wrong_flags_are_refused(flags, words):
    with pytest.raises(UsageError, match=words):
        build(*flags.split())
