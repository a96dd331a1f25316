"""--auxiliary in every model with a G: what is shown, what G learns, and what is refused at the start."""

import sys
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F

from data.base_dataset import BaseDataset
from models import auxiliary
from models.auxiliary import auxiliary_weights, describe_losses
from models.losses.auxiliary import LOSSES, Auxiliary
from tests.adversarial import batch_of, build, parse
from tests.exported import exported
from util.errors import UsageError

CUT = ("--netF_nc", "8", "--num_patches", "8", "--nce_layers", "0,4")
MODELS = {
    "CUT": CUT, "FastCUT": (*CUT, "--CUT_mode", "FastCUT"),
    "SinCUT": ("--model", "sincut", "--netF_nc", "8", "--netG", "smallstylegan2", "--netD", "stylegan2",
               "--ngf", "2", "--batch_size", "2"),
    "CycleGAN": ("--model", "cycle_gan"), "GcGAN": ("--model", "gcgan"),
    "DistanceGAN": ("--model", "distance_gan"),
    "DCLGAN": ("--model", "dclgan", *CUT),
    "EnCo": ("--model", "enco", "--netF_nc", "8", "--num_patches", "8"),
    "MUNIT": ("--model", "munit", "--crop_size", "64", "--load_size", "64"),
}
WEIGHTS = {"l1": 10.0, "pyramid_l1": 2.0, "ssim": 5.0, "gradient": 1.0, "colour": 3.0, "tv": 0.5,
           "mask_l1": 4.0}
ALL = ",".join(f"{name}={weight:g}" for name, weight in WEIGHTS.items())


@pytest.fixture(autouse=True)
def a_data_set_that_gives_all(monkeypatch):
    monkeypatch.setattr(BaseDataset, "gives", staticmethod(lambda opt: {"pairs", "mask"}))


def batch(**more: torch.Tensor) -> dict[str, torch.Tensor]:
    mask = torch.zeros(2, 1, 16, 16)
    mask[..., :5] = 1
    return batch_of(2) | {"mask": mask} | more


def enlarged(images: dict[str, torch.Tensor], side: int) -> dict[str, torch.Tensor]:
    return {key: F.interpolate(x, (side, side)) for key, x in images.items()}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("flags", MODELS.values(), ids=MODELS)
def test_is_shown_by_name_and_learnt_by_G(flags, precision):
    """The first G is that of the step without; after a step with --auxiliary, its weights differ."""
    plain, model = (build(*flags, "--precision", precision, *more) for more in ((), ("--auxiliary", ALL)))
    images = enlarged(batch(), model.opt.crop_size)
    torch.manual_seed(0)
    alone = plain.train_step(images)
    torch.manual_seed(0)
    losses = model.train_step(images)
    fake = model.output().detach().float()
    for name, weight in WEIGHTS.items():
        expected = LOSSES[name].loss(model.real_A, fake, model.real_B, images)
        assert losses[name].item() == pytest.approx(weight * expected.item(), rel=1e-5)
        assert losses[name].dtype == torch.float32 and not losses[name].requires_grad
    added = sum(losses[name].item() for name in WEIGHTS)
    assert losses["G"].item() == pytest.approx(alone["G"].item() + added, rel=1e-4)
    generator = next(name for name in model.networks if name.startswith("G"))
    pairs = zip(model.networks[generator].parameters(), plain.networks[generator].parameters(), strict=True)
    assert any(not torch.equal(p, q) for p, q in pairs)


def test_drit_compares_the_half_that_it_translates():
    """At a rate of nearly 0, so that its second update of G sees the weights of the first."""
    flags = ("--model", "drit", "--crop_size", "32", "--load_size", "32", "--dis_scale", "2", "--d_iter", "1",
             "--batch_size", "4", "--lr", "1e-9")
    plain, model = (build(*flags, *more) for more in ((), ("--auxiliary", ALL)))
    images = enlarged({key: torch.cat([value, -value.flip(0)]) for key, value in batch().items()}, 32)
    images["paired"] = torch.tensor([1.0, 0.0, 0.0, 0.0]).view(4, 1, 1, 1)
    torch.manual_seed(0)
    alone = plain.train_step(images)
    torch.manual_seed(0)
    losses = model.train_step(images)
    first = {key: value[:2] for key, value in images.items()}
    fake = model.output().detach().float()
    assert fake.shape == (2, 3, 32, 32)
    for name, weight in WEIGHTS.items():
        target = first["B"].clone()
        if "pairs" in LOSSES[name].needs:
            target[1] = fake[1]         # the second image has no partner
        expected = weight * LOSSES[name].loss(first["A"], fake, target, first).item()
        assert losses[name].item() == pytest.approx(expected, rel=1e-5)
    added = sum(losses[name].item() for name in WEIGHTS)
    assert losses["G"].item() == pytest.approx(alone["G"].item() + added, rel=1e-4)


def test_drit_shows_the_losses_as_they_were_last():
    """Two steps of three are those of the content discriminator."""
    model = build("--model", "drit", "--crop_size", "32", "--load_size", "32", "--dis_scale", "2",
                  "--batch_size", "2", "--auxiliary", "tv=3")
    shown = [model.train_step(enlarged(batch(), 32))["tv"].item() for _ in range(4)]
    assert shown[0] == shown[1] == 0 and shown[2] == shown[3] > 0


def test_a_loss_alone_moves_G_against_its_gradient():
    """D and its judgement aside (--lambda_GAN 0), l1 falls."""
    model = build(*CUT, "--lambda_GAN", "0", "--lambda_NCE", "0.001", "--auxiliary", "l1=100", "--lr", "0.01")
    shown = [model.train_step(batch())["l1"].item() for _ in range(12)]
    assert shown[-1] < 0.9 * shown[0]


def test_a_mirrored_step_is_compared_at_the_places_of_the_input():
    model = build(*CUT, "--CUT_mode", "FastCUT", "--auxiliary", "l1")
    model.draw_flip = lambda: True
    loss = model.train_step(batch())["l1"].item()
    assert loss == pytest.approx((model.fake_B.flip(3) - model.real_B).abs().mean().item(), rel=1e-5)
    assert loss != pytest.approx((model.fake_B - model.real_B).abs().mean().item(), rel=1e-5)


def test_images_without_a_partner_add_nothing():
    """Of two images the second has none: half of the first one's loss remains."""
    paired = torch.tensor([1.0, 0.0]).view(2, 1, 1, 1)
    model = build(*CUT, "--auxiliary", "l1")
    loss = model.train_step(batch(paired=paired))["l1"].item()
    assert loss == pytest.approx((model.fake_B[0] - model.real_B[0]).abs().mean().item() / 2, rel=1e-5)


def test_features_of_an_exported_network():
    """Those of a known network: each channel's mean and mean square of the images in [0, 1]."""
    model = build(*CUT, "--auxiliary", "perceptual=3", "--auxiliary_features", str(exported()))
    loss = model.train_step(batch())["perceptual"].item()
    moments = [torch.cat([x.mean((2, 3)), x.square().mean((2, 3))], 1)
               for x in (images / 2 + 0.5 for images in (model.fake_B, model.real_A))]
    assert loss == pytest.approx(3 * (moments[0] - moments[1]).abs().mean().item(), rel=1e-5)
    before = build(*CUT).networks["G"].state_dict()
    assert any(not torch.equal(value, before[key]) for key, value in model.networks["G"].state_dict().items())


def test_a_network_of_another_size_gets_resized_images():
    model = build(*CUT, "--auxiliary", "perceptual", "--auxiliary_features", str(exported(side=32)))
    assert torch.isfinite(model.train_step(batch())["perceptual"])


# ---- losses of a user's own


@pytest.fixture
def my_losses(monkeypatch):
    """Puts a module in the place of models/losses/my_losses.py."""
    def put(**content: object) -> None:
        module = ModuleType(auxiliary.OWN)
        vars(module).update(content)
        module.__spec__ = torch.__spec__        # find_spec asks for one of a module that is loaded
        monkeypatch.setitem(sys.modules, auxiliary.OWN, module)
    return put


def test_a_users_own_loss_is_found_by_name(my_losses):
    def brightness(real_A, fake_B, real_B, batch):
        return (fake_B.mean() - batch["wanted"].mean()).abs()
    my_losses(LOSSES={"brightness": Auxiliary(brightness)})
    assert "brightness" in describe_losses()
    model = build(*CUT, "--auxiliary", "brightness=2")
    loss = model.train_step(batch(wanted=torch.full((2, 1), 0.5)))["brightness"].item()
    assert loss == pytest.approx(2 * abs(model.fake_B.mean().item() - 0.5), rel=1e-5)


def test_a_users_own_file_must_have_the_table(my_losses):
    my_losses(LOSSES={"l1": LOSSES["l1"]})
    with pytest.raises(UsageError, match="has a loss 'l1', and so has --auxiliary already"):
        auxiliary_weights("l1")
    for table in (None, {"mine": print}):
        my_losses(LOSSES=table)
        with pytest.raises(UsageError, match="my_losses.py needs a table LOSSES"):
            auxiliary_weights("l1")


# ---- what is refused


def test_weights():
    assert auxiliary_weights("") == {}
    assert auxiliary_weights("ssim=5,l1=0.25,tv") == {"ssim": 5.0, "l1": 0.25, "tv": 1.0}


@pytest.mark.parametrize("text, says", [
    ("l2=1", "'l2' is none of l1, pyramid_l1"), ("l1=", "'' is no weight of l1"),
    ("l1=x", "'x' is no weight of l1"), ("l1=0", "number above 0"), ("l1=-1", "number above 0"),
    ("l1=inf", "number above 0"), ("l1=nan", "number above 0"), ("l1;tv", "'l1;tv' is none of"),
    ("l1,,tv", "'' is none of")])
def test_what_is_no_list_of_losses(text, says):
    with pytest.raises(UsageError, match="--auxiliary is") as error:
        parse("--auxiliary", text)
    assert says in str(error.value)


@pytest.mark.parametrize("flags, says", [
    ("--auxiliary l1", "--auxiliary l1 needs pairs, which --dataset_mode unaligned does not give"),
    ("--auxiliary mask_l1", "needs 'mask' with each image .* --companions mask=trainA_mask"),
    ("--auxiliary mask_l1 --direction BtoA", "--companions mask=trainB_mask"),
    ("--auxiliary perceptual", "--auxiliary perceptual needs a network: give --auxiliary_features FILE"),
    ("--auxiliary ssim --crop_size 8", "needs images of 11 pixels or more, but --crop_size is 8"),
    ("--auxiliary tv --input_nc 2", "cannot compare --input_nc 2 with --output_nc 3")])
def test_what_a_loss_lacks_is_said_at_the_start(flags, says, monkeypatch):
    monkeypatch.setattr(BaseDataset, "gives", staticmethod(lambda opt: set()))
    with pytest.raises(UsageError, match=says):
        parse(*flags.split())


@pytest.mark.parametrize("path, says", [
    ("nothing.pt2", "there is no file nothing.pt2"), (__file__, "is neither .pt2"),
    (str(exported(batch=3)), "takes 3 images at a time, but --batch_size is 1")])
def test_networks_that_cannot_be_used(path, says):
    with pytest.raises(UsageError, match=says):
        build(*CUT, "--auxiliary", "perceptual", "--auxiliary_features", path)


def test_a_step_that_passes_the_losses_by_is_an_error():
    model = build(*CUT, "--auxiliary", "tv")
    model.optimize_parameters = lambda: None
    with pytest.raises(UsageError, match="--auxiliary has no effect on --model cut"):
        model.train_step(batch())
