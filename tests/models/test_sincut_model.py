"""SinCUT's defaults, its step against numbers measured on the reference, R1, identity loss, translation."""

import json
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data import create_loader
from models import create_model
from models.base_model import translate
from models.losses.gan import r1_penalty
from models.networks.stylegan2 import StyleGAN2Generator
from models.networks.tiled import Tiled
from options.test_options import TestOptions
from options.train_options import TrainOptions
from tests.formula import fill_, picture, summary
from util.errors import UsageError

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "sincut.json").read_text())
# What the published SinCUT sets, for training and (where it differs) for translation.
SHARED = dict(dataset_mode="singleimage", netG="stylegan2", netD="stylegan2", stylegan2_G_num_downsampling=1,
              ngf=10, ndf=8, netF="mlp_sample", netF_nc=256, load_size=1024, crop_size=64, num_patches=1,
              nce_layers="0,2,4", lambda_NCE=4.0, lambda_GAN=1.0, lambda_R1=1.0, lambda_identity=1.0,
              nce_idt=True, nce_includes_all_negatives_from_minibatch=True, nce_T=0.07,
              flip_equivariance=False, random_scale_max=3.0)
TRAINING = dict(preprocess="zoom_and_patch", batch_size=16, gan_mode="nonsaturating", lr=0.002, beta1=0.0,
                beta2=0.99, n_epochs=8, n_epochs_decay=8, save_epoch_freq=1, save_latest_freq=20000,
                pool_size=0, crops_per_epoch=100_000, R1_every=1, mix_zooms=False)
TRANSLATION = dict(preprocess="none", batch_size=1, num_test=1, no_noise=False)
SMALL = "--ngf 2 --ndf 2 --netF_nc 16 --crop_size 32 --batch_size 4 --gpu_ids -1 --num_threads 0".split()


def parse(*flags: str, train: bool = True) -> Namespace:
    options = TrainOptions() if train else TestOptions()
    return options.parse(["--model", "sincut", *flags])


def build(*flags: str, train: bool = True):
    torch.manual_seed(0)
    return create_model(parse(*SMALL, *flags, train=train))


def batch_of(size: int, step: int = 0, dtype=torch.float32) -> dict[str, torch.Tensor]:
    return {"A": picture(size, 3, 32, 32, 0.1 * step).to(dtype),
            "B": picture(size, 3, 32, 32, 0.1 * step + 2).flip(2).to(dtype)}


def differing(opt: Namespace, expected: dict) -> dict:
    return {name: getattr(opt, name) for name, value in expected.items() if getattr(opt, name) != value}


def test_defaults_are_those_published():
    assert differing(parse(), SHARED | TRAINING) == {}
    assert differing(parse(train=False), SHARED | TRANSLATION) == {}
    assert parse("--netG", "smallstylegan2").nce_layers == "0,2"
    assert differing(parse("--ngf", "4", "--lr", "0.1"), dict(ngf=4, lr=0.1)) == {}


@pytest.mark.parametrize("name,flags", [
    ("steps_batch2", ""),
    ("steps_batch4_lambda", "--lambda_R1 3 --lambda_identity 2"),
    ("steps_batch2_own_negatives", "--nce_includes_all_negatives_from_minibatch False"),
    ("steps_batch2_small", "--netG smallstylegan2"),
])
def test_steps_give_the_measured_losses(name, flags):
    golden = GOLDEN[name]
    model = build("--num_patches", "100000", "--batch_size", str(golden["batch"]), *flags.split())
    for key, net in model.networks.items():
        fill_(net.double(), equalized=key != "F")
    model.netG.set_noise(False)  # the measured run froze the strengths of the noise at 0
    steps = len(golden["losses"]["G"])
    found = [model.train_step(batch_of(golden["batch"], step, torch.float64)) for step in range(steps)]
    assert found[0].keys() == golden["losses"].keys()
    for key, values in golden["losses"].items():
        assert [losses[key].item() for losses in found] == pytest.approx(values, rel=1e-6), key
    for key, expected in golden["final_weights"].items():
        weights = torch.cat([p.detach().flatten() for n, p in model.networks[key].named_parameters()
                             if n.endswith("weight")])
        assert weights.mean().item() == pytest.approx(expected["weights_mean"], rel=1e-5)
        assert weights.abs().mean().item() == pytest.approx(expected["weights_abs_mean"], rel=1e-7)
    last = golden["fake_B_of_last_step"]["values"]
    assert summary(model.visuals()["fake_B"], len(last))["values"] == pytest.approx(last, rel=1e-5)


def test_r1_of_a_quadratic_discriminator():
    """D(x) = sum a x^2 has gradient 2 a x, so R1 is the mean over images of sum 4 a^2 x^2."""
    class Quadratic(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.a = torch.nn.Parameter(torch.tensor(3.0, dtype=torch.float64))

        def forward(self, x):
            return (self.a * x.square()).sum((1, 2, 3))

    net, x = Quadratic(), torch.randn(5, 3, 4, 4, dtype=torch.float64)
    penalty = r1_penalty(net, x)
    energy = x.square().sum().item() / 5
    assert penalty.item() == pytest.approx(4 * 9 * energy)
    penalty.backward()
    assert net.a.grad.item() == pytest.approx(8 * 3 * energy)
    assert not x.requires_grad


def sum_of_penalties(model, steps: int) -> float:
    """Sum of what `steps` steps add to D's loss besides the objective, for a D that stays as it is."""
    model.real_B, model.fake_B = batch_of(4)["B"], batch_of(4)["A"]
    objective = sum(model.discriminator_losses("D", model.real_B, model.fake_B)).item() / 2
    total = 0.0
    for _ in range(steps):
        model.draw_choices()
        total += model.compute_D_loss().item() - objective
    return total


def test_lazy_r1_is_the_same_pull_over_its_interval():
    every_step, lazy = build("--lambda_R1", "2"), build("--lambda_R1", "2", "--R1_every", "4")
    expected = sum_of_penalties(every_step, 8)
    r1 = r1_penalty(every_step.netD, batch_of(4)["B"]).item()
    assert expected == pytest.approx(8 * 2 / 2 * r1, rel=1e-5)
    assert sum_of_penalties(lazy, 8) == pytest.approx(expected, rel=1e-5)


def test_lazy_r1_goes_on_where_it_stopped_and_always_shows_a_value():
    model = build("--R1_every", "3")
    shown = [model.train_step(batch_of(4, step))["D_R1"].item() for step in range(4)]
    assert shown[0] == shown[1] == shown[2] != shown[3] > 0
    resumed = build("--R1_every", "3")
    resumed.load_state_dict(model.state_dict())
    shown = [net.train_step(batch_of(4, step))["D_R1"].item() for step in (4, 5) for net in (model, resumed)]
    assert shown[0] == shown[1] == shown[2] == shown[3]
    assert resumed.steps == 6


@pytest.mark.parametrize("flags", [
    "--lambda_R1 0", "--lambda_identity 0", "--nce_idt False", "--netG smallstylegan2", "--netF sample",
    "--netD tilestylegan2 --D_tile_size 16", "--netD basic", "--gan_mode wgangp", "--lambda_NCE 0",
    "--stylegan2_G_num_downsampling 2", "--netG resnet_4blocks --num_patches 8", "--direction BtoA",
    "--flip_equivariance True",
])
def test_a_step_with_other_flags(flags):
    model = build(*flags.split())
    before = [p.clone() for p in model.netG.parameters()]
    losses = model.train_step(batch_of(4))
    assert all(torch.isfinite(value) for value in losses.values())
    assert ("D_R1" in losses) == ("lambda_R1" not in flags)
    assert ("idt" in losses) == ("lambda_identity" not in flags)
    assert any(not torch.equal(a, b) for a, b in zip(before, model.netG.parameters(), strict=True))


def test_identity_loss_compares_like_with_like_when_mirrored():
    model = build("--flip_equivariance", "True")
    model.draw_flip = lambda: True
    losses = model.train_step(batch_of(4))
    flipped = (model.idt_B.flip(3) - batch_of(4)["B"]).abs().mean().item()
    assert losses["idt"].item() == pytest.approx(flipped, rel=1e-5)


@pytest.mark.parametrize("halvings", [1, 2])
@pytest.mark.parametrize("height,width", [(40, 164), (132, 132)])
def test_tiles_give_the_numbers_of_one_pass(halvings, height, width):
    torch.manual_seed(0)
    net = StyleGAN2Generator(in_channels=3, out_channels=3, width=2, crop_size=32, num_downsampling=halvings,
                             blocks=1).double()
    x = torch.randn(1, 3, height, width, dtype=torch.float64)
    tiled = Tiled(net, core=30)
    assert tiled.margin < 64 < width / 2  # so that some tile sees no edge
    with torch.no_grad():
        assert torch.allclose(tiled(x), net(x), rtol=0, atol=1e-10)


@pytest.mark.parametrize("blocks", [1, 3])
@pytest.mark.parametrize("halvings", [0, 1, 2])
def test_reach_is_how_far_a_pixel_acts(halvings, blocks):
    """Change one pixel: nothing further away than `reach` changes, and something nearly that far does."""
    net = StyleGAN2Generator(in_channels=3, out_channels=3, width=2, crop_size=32, num_downsampling=halvings,
                             blocks=blocks).double()
    changed = torch.zeros(1, 3, 1, 512, dtype=torch.float64).expand(-1, -1, 16, -1).clone()
    base = net(changed)
    changed[..., 8, 256] = 100
    columns = (net(changed) - base).abs().amax((0, 1, 2)).nonzero().flatten()
    furthest = (columns - 256).abs().max().item()
    assert 0.7 * net.reach <= furthest <= net.reach


def write_images(folder: Path) -> None:
    for side, size in (("A", (75, 50)), ("B", (64, 48))):
        (folder / f"train{side}").mkdir()
        pixels = np.random.default_rng(ord(side)).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"train{side}" / "one.png")


def test_one_image_a_side_from_the_folder_to_the_translation(tmp_path):
    write_images(tmp_path)
    root = ["--dataroot", str(tmp_path), "--checkpoints_dir", str(tmp_path)]
    opt = parse(*SMALL, *root, "--crops_per_epoch", "12")
    loader, model = create_loader(opt), create_model(opt)
    for batch in loader:
        assert batch["A"].shape == (4, 3, 32, 32)
        model.train_step(batch)
    model.save_weights(tmp_path, "latest")

    def translated(seed: int, *flags: str) -> torch.Tensor:
        opt = parse(*SMALL, *root, *flags, "--batch_size", "1", train=False)
        item, = create_loader(opt)
        model = create_model(opt)
        model.load_weights(tmp_path, "latest")
        torch.manual_seed(seed)
        images = model.translations(item)
        assert images["fake_B"].shape == (1, 3, 50, 75) and images["real_B"].shape == (1, 3, 48, 64)
        return images["fake_B"]

    assert torch.equal(translated(1), translated(1))
    assert not torch.equal(translated(1), translated(2))
    assert torch.equal(translated(1, "--no_noise"), translated(2, "--no_noise"))


def test_translation_pads_to_the_multiple_and_cuts_back():
    net = build("--stylegan2_G_num_downsampling", "2").translator()
    assert translate(net, torch.randn(1, 3, 33, 50)).shape == (1, 3, 33, 50)


@pytest.mark.parametrize(("flags", "good", "bad", "words"), [
    ("", (32, 32), (40, 32), "of 32x40 pixels, but --netD stylegan2 takes 32x32 alone"),
    ("--netD basic", (24, 24), (20, 24), "of 24x20 pixels, but --netD basic takes sides of 24"),
    ("--stylegan2_G_num_downsampling 2 --netD pixel", (36, 32), (34, 32),
     "of 32x34 pixels, but --netG stylegan2 takes sides of 1 or more, multiples of 4")])
def test_images_that_are_not_cropped_are_judged_when_they_are_read(flags, good, bad, words):
    """Images of exactly --crop_size train with --preprocess none, as in the reference."""
    model = build("--preprocess", "none", *flags.split())

    def step(height, width):
        return model.train_step({domain: torch.rand(4, 3, height, width) * 2 - 1 for domain in "AB"})

    assert all(torch.isfinite(loss) for loss in step(*good).values())
    with pytest.raises(UsageError, match=f"--preprocess none gives an image {words}"):
        step(*bad)


@pytest.mark.parametrize("flags,words", [
    ("--batch_size 1", ["--num_patches 1", "--batch_size"]),
    ("--lambda_R1 -1", ["--lambda_R1 is -1"]),
    ("--lambda_identity nan", ["--lambda_identity"]),
    ("--R1_every 0", ["--R1_every is 0"]),
    ("--crop_size 48", ["--crop_size 48", "use 64"]),
    ("--crop_size 4", ["--crop_size", "--stylegan2_G_num_downsampling"]),
    ("--stylegan2_G_num_downsampling 5", ["--stylegan2_G_num_downsampling is 5"]),
    ("--netD tilestylegan2 --D_tile_size 64", ["--D_tile_size 64", "--crop_size 32"]),
    ("--netG smallstylegan2 --nce_layers 0,9", ["--nce_layers", "9"]),
])
def test_what_cannot_work_is_refused(flags, words):
    with pytest.raises(UsageError) as error:
        build(*flags.split())
    assert all(word in str(error.value) for word in words)
