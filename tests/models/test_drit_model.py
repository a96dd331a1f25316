"""DRIT: its steps in a plain loop, the order of updates, sizes, files, translation both ways, flags."""

import copy
import inspect
import json

import pytest
import torch
import torch.nn.functional as F

from models import create_model
from models.base_model import BaseModel
from models.drit_flags import content_layers
from options.test_options import TestOptions
from options.train_options import TrainOptions
from tests.adversarial import l1, largest_difference, nets_of, update
from tests.formula import picture
from util.errors import UsageError

SMALL = "--model drit --ngf 2 --ndf 2 --crop_size 64 --load_size 64 --gpu_ids -1 --num_threads 0".split()
STYLES = ["", "--no_concat"]


def parse(*flags, train=True):
    return (TrainOptions() if train else TestOptions()).parse([*SMALL, *flags])


def build(*flags, train=True):
    torch.manual_seed(0)
    return create_model(parse(*flags, train=train))


def batch_of(size=2, step=0):
    return {"A": picture(size, 3, 64, 64, 0.1 * step).float(),
            "B": picture(size, 3, 64, 64, 0.1 * step + 2).flip(2).float()}


def test_defaults_are_the_published_ones():
    opt = TrainOptions().parse("--model drit --gpu_ids -1".split())
    assert (opt.batch_size, opt.load_size, opt.crop_size) == (2, 256, 216)
    assert (opt.lr, opt.weight_decay) == (1e-4, 1e-4)
    assert (opt.beta1, opt.beta2, opt.n_epochs, opt.n_epochs_decay) == (0.5, 0.999, 600, 600)
    assert (opt.d_iter, opt.dis_scale, opt.style_dim, opt.gan_mode) == (3, 3, 8, "vanilla")
    assert not opt.no_concat and not opt.no_ms and content_layers(opt) == 3
    assert (opt.lambda_rec, opt.lambda_latent, opt.lambda_KL, opt.lambda_ms) == (10, 10, 0.01, 1)
    assert not hasattr(parse(train=False), "lambda_ms")


@pytest.mark.parametrize("crop, layers", [(16, 0), (40, 0), (44, 1), (64, 1), (96, 1), (100, 2), (208, 2),
                                          (212, 3), (216, 3), (256, 3), (512, 3)])
def test_layers_of_the_content_discriminator_follow_the_crop(crop, layers):
    """By counting: 7x7 convolutions with stride 2 and padding 1 make (n - 5) // 2 + 1 of n; 4x4 needs 4."""
    opt = TrainOptions().parse(["--model", "drit", "--gpu_ids", "-1", "--crop_size", str(crop), "--load_size",
                                str(crop)])
    assert content_layers(opt) == layers
    side, count = crop // 4, 0
    while count < 3 and (side - 5) // 2 + 1 >= 4:
        side, count = (side - 5) // 2 + 1, count + 1
    assert count == layers


def test_learning_rates_and_weight_decay():
    model = build()
    rates = {name: optimizer.param_groups[0]["lr"] for name, optimizer in model.optimizers.items()}
    assert rates.pop("D_content") == pytest.approx(4e-5) and set(rates.values()) == {1e-4}
    assert len(rates) == 7
    assert {o.param_groups[0]["weight_decay"] for o in model.optimizers.values()} == {1e-4}
    model.start_epoch(901)      # half-way down: 1 - 301 / 601
    assert model.optimizers["D_content"].param_groups[0]["lr"] == pytest.approx(4e-5 * 300 / 601)


# ---- a step, written out

def bce(scores, target):
    return F.binary_cross_entropy(scores.sigmoid(), torch.full_like(scores, target))


def over_scales(net, images, target):
    return sum(bce(scores, target) for scores in net(images))


def noisy(net, images, domain):
    content = net(images, domain, False)
    return content + torch.randn_like(content)


def drawn(net, images, domain):
    mean, log_variance = net(images, domain)
    if log_variance is None:
        return mean, (mean ** 2).mean()
    z = mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance)
    return z, -0.5 * (1 + log_variance - mean ** 2 - log_variance.exp()).sum() / len(mean)


def content_step(D, optimizer, content_A, content_B):
    """A is 0, B is 1; the gradient is at most 5 long."""
    loss = bce(D(content_A), 0.0) + bce(D(content_B), 1.0)
    optimizer.zero_grad()
    loss.backward()
    length = torch.cat([p.grad.flatten() for p in D.parameters()]).norm()
    for p in D.parameters():
        p.grad *= min(1.0, 5.0 / (length.item() + 1e-6))
    optimizer.step()
    return loss


def whole_step(nets, optimizers, batch, ms):
    """One update of every network, as in the two papers; one image of each domain is encoded."""
    E_c, E_a, G = nets["G_enc_c"], nets["G_enc_a"], nets["G_gen"]
    A, A2, B, B2 = *batch["A"].chunk(2), *batch["B"].chunk(2)
    c_A, c_B = noisy(E_c, A, "A"), noisy(E_c, B, "B")
    (s_A, KL_A), (s_B, KL_B) = drawn(E_a, A, "A"), drawn(E_a, B, "B")
    fake_A, rec_A = G(c_B, s_A, "A"), G(c_A, s_A, "A")
    fake_B, rec_B = G(c_A, s_B, "B"), G(c_B, s_B, "B")
    back_B, back_A = noisy(E_c, fake_A, "A"), noisy(E_c, fake_B, "B")
    cycle_A = G(back_A, drawn(E_a, fake_A, "A")[0], "A")
    cycle_B = G(back_B, drawn(E_a, fake_B, "B")[0], "B")
    z = torch.randn(2 if ms else 1, len(A), 8)
    losses = {}
    with torch.no_grad():
        random_A, random_B = ([G(content, one, d) for one in z] for content, d in ((c_B, "A"), (c_A, "B")))
    for name, real, fakes in (("D_A", A, [fake_A.detach()]), ("D_B", B, [fake_B.detach()]),
                              ("D_A2", A2, random_A), ("D_B2", B2, random_B)):
        D = nets[name]
        losses[name] = sum(over_scales(D, real, 1.0) + over_scales(D, fake, 0.0) for fake in fakes)
        update(optimizers[name], losses[name])
    D_c = nets["D_content"]
    losses["D_content"] = content_step(D_c, optimizers["D_content"], c_A.detach(), c_B.detach())

    first = {"G_A": over_scales(nets["D_A"], fake_A, 1.0), "G_B": over_scales(nets["D_B"], fake_B, 1.0),
             "content": bce(D_c(c_A), 0.5) + bce(D_c(c_B), 0.5), "rec_A": 10 * l1(rec_A, A),
             "rec_B": 10 * l1(rec_B, B), "cycle_A": 10 * l1(cycle_A, A), "cycle_B": 10 * l1(cycle_B, B),
             "KL_style": 0.01 * (KL_A + KL_B), "KL_content": 0.01 * ((c_A ** 2).mean() + (c_B ** 2).mean())}
    for name in ("G_enc_c", "G_enc_a", "G_gen"):
        optimizers[name].zero_grad()
    sum(first.values()).backward()
    for name in ("G_enc_c", "G_enc_a", "G_gen"):
        optimizers[name].step()

    c_A, c_B = noisy(E_c, A, "A"), noisy(E_c, B, "B")
    second = {}
    for d, content in (("A", c_B), ("B", c_A)):
        fakes = [G(content, one, d) for one in z]
        second[f"G_{d}2"] = sum(over_scales(nets[f"D_{d}2"], fake, 1.0) for fake in fakes)
        second[f"latent_{d}"] = 10 * l1(E_a(fakes[0], d)[0], z[0])
        if ms:
            second[f"ms_{d}"] = 1 / (l1(fakes[1], fakes[0]) / l1(z[1], z[0]) + 1e-5)
    for name in ("G_enc_c", "G_gen"):
        optimizers[name].zero_grad()
    sum(second.values()).backward()
    for name in ("G_enc_c", "G_gen"):
        optimizers[name].step()
    losses["G"] = sum(first.values()) + sum(second.values())
    return losses | first | second


@pytest.fixture
def in_float64():
    """Adam makes much of gradients that are zero but for rounding: there are fewer of them in 64 bits."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("flags, size, iterations", [
    ("", 2, 3), ("--no_concat --no_ms", 2, 1), ("--direction BtoA --d_iter 2 --batch_size 4", 4, 2)])
def test_steps_are_those_of_a_plain_loop(flags, size, iterations, in_float64):
    """Two whole steps, and those for D_content alone between them; --direction changes nothing."""
    model = build(*flags.split(), *(["--d_iter", "1"] if iterations == 1 else []))
    nets = nets_of(model)
    optimizers = {name: torch.optim.Adam(net.parameters(), lr=4e-5 if name == "D_content" else 1e-4,
                                         betas=(0.5, 0.999), weight_decay=1e-4) for name, net in nets.items()}
    if "BtoA" in flags:     # the model encodes A first, whatever the direction
        assert (model.input_key, model.target_key) == ("B", "A")
    for step in range(2 * iterations):
        batch, rng = {d: x.double() for d, x in batch_of(size, step).items()}, torch.get_rng_state()
        if (step + 1) % iterations:
            with torch.no_grad():
                c_A, c_B = (noisy(nets["G_enc_c"], batch[d].chunk(2)[0], d) for d in "AB")
            expected = {"D_content": content_step(nets["D_content"], optimizers["D_content"], c_A, c_B)}
        else:
            expected = whole_step(nets, optimizers, batch, ms="--no_ms" not in flags)
        torch.set_rng_state(rng)
        found = model.train_step(batch)
        for name, loss in expected.items():
            assert found[name].item() == pytest.approx(loss.item(), rel=1e-6), (step, name)
    assert list(found) == [name for name in model.loss_names if name in expected]
    assert largest_difference(nets, model.networks) < 1e-7


def test_d_iter_updates_the_content_discriminator_alone_in_between():
    """Two of three steps; they show the other losses of the last whole step."""
    model = build()
    changed = []
    for step in range(6):
        before = {name: copy.deepcopy(net.state_dict()) for name, net in model.networks.items()}
        found = model.train_step(batch_of(2, step))
        changed.append({name for name, net in model.networks.items() if any(
            not torch.equal(x, before[name][key]) for key, x in net.state_dict().items())})
        others = {name: loss.item() for name, loss in found.items() if name != "D_content"}
        if step < 2:
            assert set(others.values()) == {0.0}
        elif step % 3 == 2:
            whole = others
        else:
            assert others == whole
    assert changed == [{"D_content"}, {"D_content"}, set(model.networks)] * 2


def gradient_length(model):
    """Of D_content's gradient in a step, as its optimizer gets it."""
    lengths = []
    model.optimizers["D_content"].register_step_pre_hook(lambda optimizer, *_: lengths.append(torch.cat(
        [p.grad.flatten() for p in optimizer.param_groups[0]["params"]]).norm().item()))
    torch.manual_seed(1)
    model.train_step(batch_of())
    return lengths[0]


def test_the_gradient_of_the_content_discriminator_is_clipped():
    for factor, clipped in ((1.0, False), (1e4, True)):
        model = build("--weight_decay", "0")
        with torch.no_grad():
            model.networks["D_content"].model[-1].weight.mul_(factor)
        length = gradient_length(model)
        assert (length == pytest.approx(5.0, rel=1e-3)) if clipped else length < 5


def test_fp16_clips_gradients_in_their_own_size():
    """Not those that the loss scale has made 65,536 times longer."""
    found, exact = (gradient_length(build("--precision", precision)) for precision in ("fp16", "fp32"))
    assert found == pytest.approx(exact, rel=0.05) and exact > 0


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_fewer_bits_give_nearly_the_same_losses(style, precision):
    model, exact = (build(*style.split(), "--d_iter", "1", "--precision", p) for p in (precision, "fp32"))
    rng = torch.get_rng_state()
    first = model.train_step(batch_of())
    torch.set_rng_state(rng)
    second = "G", "G_A2", "G_B2", "latent_A", "latent_B", "ms_A", "ms_B"     # behind an update of G
    for key, loss in exact.train_step(batch_of()).items():
        assert key in second or first[key].item() == pytest.approx(loss.item(), rel=0.05, abs=0.02), key
    for step in range(1, 4):
        losses = model.train_step(batch_of(2, step))
        assert all(loss.dtype == torch.float32 and loss.isfinite() for loss in losses.values())


def test_diffaugment_and_spectral_norm():
    """Augmented is what image discriminators see, not content; every discriminator is normalised."""
    model = build("--diffaugment", "translation,color,cutout", "--spectral_norm", "--d_iter", "1")
    hooks = {name: len(net._forward_pre_hooks) for name, net in model.networks.items()}
    assert hooks == {name: int(name in ("D_A", "D_A2", "D_B", "D_B2")) for name in model.networks}
    assert all(any("parametrizations" in key for key in net.state_dict()) == name.startswith("D")
               for name, net in model.networks.items())
    losses = model.train_step(batch_of())
    assert all(loss.isfinite() for loss in losses.values())


# ---- resuming, files, translation

def test_a_resumed_model_goes_on_with_the_same_step_and_losses():
    """In the middle between two whole steps."""
    model = build()
    for step in range(4):
        model.train_step(batch_of(2, step))
    other = build()
    other.load_state_dict(copy.deepcopy(model.state_dict()))
    for step in range(4, 7):
        rng = torch.get_rng_state()
        first = {name: loss.item() for name, loss in model.train_step(batch_of(2, step)).items()}
        torch.set_rng_state(rng)
        assert first == {name: loss.item() for name, loss in other.train_step(batch_of(2, step)).items()}


def test_a_run_may_go_on_with_and_without_mode_seeking():
    model, other = build("--d_iter", "1", "--no_ms"), build()
    found = model.train_step(batch_of())
    other.load_state_dict(copy.deepcopy(model.state_dict()))
    shown = other.train_step(batch_of())
    assert {name: shown[name].item() for name in ("ms_A", "ms_B")} == {"ms_A": 0, "ms_B": 0}
    assert all(shown[name].item() == loss.item() for name, loss in found.items() if name != "D_content")


def test_translation_takes_its_size_from_the_run(tmp_path):
    """What the networks saw were crops: an image is resized to their size, as for other models."""
    (tmp_path / "run").mkdir()
    record = {"options": {"model": "drit", "load_size": 72, "crop_size": 64, "no_concat": True}}
    (tmp_path / "run" / "opt.json").write_text(json.dumps(record))
    opt = TestOptions().parse(["--checkpoints_dir", str(tmp_path), "--name", "run", "--gpu_ids", "-1"])
    assert (opt.model, opt.load_size, opt.crop_size, opt.no_concat) == ("drit", 64, 64, True)


@pytest.mark.parametrize("style", STYLES)
def test_files_and_translation_both_ways(style, tmp_path):
    """The weights are those of both domains: test.py --direction BtoA needs no other run."""
    flags = style.split()
    model = build(*flags)
    model.save_weights(tmp_path, "7")
    trained = {"G_enc_c", "G_enc_a", "G_gen", "D_A", "D_A2", "D_B", "D_B2", "D_content"}
    assert {path.name for path in tmp_path.iterdir()} == {f"7_net_{name}.pth" for name in trained}
    batch = batch_of(1)
    for direction, (source, target) in {"AtoB": "AB", "BtoA": "BA"}.items():
        translator = build(*flags, "--direction", direction, "--num_styles", "3", train=False)
        translator.load_weights(tmp_path, "7")
        assert set(translator.networks) == {"G_enc_c", "G_enc_a", "G_gen"}
        translator.train(True)      # as test.py without --eval: no noise all the same
        shown = translator.translations(batch)
        assert list(shown) == ["real_A", "fake_B", "fake_B_2", "fake_B_3", "real_B"]
        assert torch.equal(shown["real_A"], batch[source]) and torch.equal(shown["real_B"], batch[target])
        content = model.networks["G_enc_c"](batch[source], source, False)
        for label, z in zip(("fake_B", "fake_B_2", "fake_B_3"), translator.styles(batch), strict=True):
            assert torch.equal(shown[label], model.networks["G_gen"](content, z, target))
        assert torch.equal(translator.translations(batch)["fake_B_2"], shown["fake_B_2"])
        mean = model.networks["G_enc_a"](batch[target], target)[0]
        torch.testing.assert_close(translator.encode_style(batch[target]), mean)


@pytest.mark.parametrize("style", STYLES)
def test_images_of_any_size_can_be_translated(style):
    translator = build(*style.split(), train=False)
    for height, width in ((37, 50), (9, 3)):
        shown = translator.test_step({"A": picture(1, 3, height, width).float()})
        assert shown["fake_B"].shape == (1, 3, height, width)


def test_images_shown_are_the_same_whenever_asked_and_draw_nothing():
    model = build()
    model.train_step(batch_of())
    rng = torch.get_rng_state()
    shown, again = model.visuals(), model.visuals()
    assert torch.equal(rng, torch.get_rng_state())
    assert list(shown) == ["real_A", "fake_B", "fake_B_2", "rec_A", "real_B"]
    assert all(torch.equal(images, again[label]) for label, images in shown.items())
    assert not torch.equal(shown["fake_B"], shown["fake_B_2"])
    assert not any(images.requires_grad for images in shown.values())


@pytest.mark.parametrize("direction, channels", [("AtoB", {"A": 1, "B": 3}), ("BtoA", {"A": 3, "B": 1})])
def test_gray_to_colour(direction, channels):
    model = build("--input_nc", "1", "--direction", direction, "--d_iter", "1")
    model.train_step({d: picture(2, count, 64, 64).float() for d, count in channels.items()})
    assert {label: x.shape[1] for label, x in model.visuals().items()} == {
        "real_A": 1, "fake_B": 3, "fake_B_2": 3, "rec_A": 1, "real_B": 3}


def test_averages_are_of_the_translating_networks():
    model = build("--ema", "10")
    assert set(model.ema.averages) == {"G_enc_c", "G_enc_a", "G_gen"}


def test_a_step_answers_for_its_graph():
    """CUDA graphs: the kind of step is the host's choice, what lasts is changed in place."""
    model = build()
    assert model.graph_obstacle() == "" and isinstance(model, BaseModel)
    place = model.latest.data_ptr()
    choices = [model.draw_choices() for _ in range(6)]
    assert choices == [(True,), (True,), (False,)] * 2
    for step in range(3):
        model.train_step(batch_of(2, step))
    assert model.latest.data_ptr() == place
    assert "graph_obstacle" in vars(type(model)) and inspect.isfunction(type(model).graph_obstacle)


@pytest.mark.parametrize("flags, words", [
    ("--batch_size 3", "--batch_size 3 is odd, but --model drit halves each minibatch: use 4"),
    ("--batch_size 1", "use 2"), ("--grad_checkpoint", "--grad_checkpoint does not work with --model drit"),
    ("--gan_mode wgangp", "--gan_mode wgangp does not work"), ("--d_iter 0", "--d_iter is 0"),
    ("--content_D_layers 2", "--crop_size 64 is too small for --content_D_layers 2, which needs 100"),
    ("--content_D_layers 4", "--content_D_layers: invalid choice"), ("--lambda_ms -1", "--lambda_ms is -1"),
    ("--crop_size 60", "--crop_size 60 is too small for --dis_scale 3, which needs 61"),
    ("--crop_size 32 --dis_scale 1", "--crop_size 32 is too small for --dis_scale 1, which needs 33"),
    ("--nce_layers 0", "there is no flag --nce_layers")])
def test_wrong_flags_are_refused(flags, words):
    with pytest.raises(UsageError, match=words):
        build(*flags.split())


@pytest.mark.parametrize("A, B, shown", [((64, 66), (64, 66), "66x64"), ((48, 64), (48, 64), "64x48"),
                                         ((64, 64), (64, 68), "64x64 and 68x64")])
def test_images_that_are_not_cropped_must_fit(A, B, shown):
    model = build("--preprocess", "none")
    with pytest.raises(UsageError, match=f"--preprocess none gives .* {shown} pixels.*--model drit takes"):
        model.train_step({"A": picture(2, 3, *A).float(), "B": picture(2, 3, *B).float()})
