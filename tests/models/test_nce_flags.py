"""The switches of CUT's contrastive loss: each trains in any company, resumes, refuses what cannot be."""

import itertools

import pytest
import torch

from models.nce_flags import SAMPLERS, WEIGHTINGS
from tests import adversarial
from tests.adversarial import batch_of, largest_difference, nets_of
from tests.formula import fill_
from util.errors import UsageError

SWITCHES = ["--nce_loss dce", "--nce_weighting semantic", "--nce_weighting ot --nce_ot_eps 0.1",
            "--lambda_SRC 0.05", "--nce_sampling query", "--nce_sampling dag",
            "--nce_layer_weights 0.5,1,2", "--recipe hdce_src", "--recipe monce", "--recipe qsattn"]
COMPANY = ["", "--CUT_mode FastCUT", "--batch_size 2 --nce_includes_all_negatives_from_minibatch",
           "--batch_size 2 --nce_negatives both --nce_queue_size 20", "--netF sample", "--normG batch",
           "--precision bf16"]


def build(*flags):
    return adversarial.build("--netF_nc", "8", "--num_patches", "8", "--nce_layers", "0,3,9",
                             *" ".join(flags).split())


@pytest.mark.parametrize("switch, company", list(itertools.product(SWITCHES, COMPANY)))
def test_every_switch_trains_in_any_company(switch, company):
    model = build(switch, company)
    model.start_epoch(1)
    before = nets_of(model)
    for step in range(2):
        model.draw_flip = lambda step=step: step == 1
        losses = model.train_step(batch_of(2 if "batch_size" in company else 1, step))
        assert all(torch.isfinite(loss) and not loss.requires_grad for loss in losses.values())
    assert ("SRC" in losses) == (model.opt.lambda_SRC > 0)
    for name in before.keys() - ({"F"} if "sample" in company else set()):
        assert largest_difference({name: before[name]}, model.networks) > 1e-5


@pytest.mark.parametrize("switch", ["--nce_loss dce", "--nce_weighting semantic", "--lambda_SRC 1",
                                    "--nce_weighting ot", "--nce_sampling query", "--recipe hdce_src"])
def test_sincut_has_its_negatives_in_other_crops(switch):
    model = adversarial.build(*("--model sincut --netG smallstylegan2 --netF_nc 8 --netD stylegan2 "
                                f"--batch_size 4 {switch}").split())
    losses = model.train_step(batch_of(4))
    assert all(torch.isfinite(loss) for loss in losses.values())
    if model.opt.lambda_SRC:
        assert losses["SRC"] > 0


@pytest.mark.parametrize("switch", SWITCHES)
def test_small_maps_train(switch):
    """Fewer places than patches, down to 2 x 2."""
    model = adversarial.build(*f"--netF_nc 8 --crop_size 8 --netD pixel {switch}".split(), "--nce_layers",
                              "0,8,12")
    batch = {key: x[:, :, :8, :8] for key, x in batch_of().items()}
    assert all(torch.isfinite(loss) for loss in model.train_step(batch).values())


@pytest.mark.parametrize("switch", SWITCHES)
def test_a_resumed_step_is_the_same(switch, tmp_path):
    whole = build(switch)
    for epoch in (1, 2):
        whole.start_epoch(epoch)
        whole.train_step(batch_of(step=epoch))
    state = whole.state_dict()
    torch.save(state, tmp_path / "state.pth")
    resumed = build(switch)
    resumed.load_state_dict(torch.load(tmp_path / "state.pth", weights_only=True))
    found = []
    for model in (whole, resumed):
        model.start_epoch(3)
        torch.manual_seed(7)
        model.draw_flip = lambda: False
        found.append(model.train_step(batch_of(step=3)))
    assert found[0].keys() == found[1].keys()
    for name, loss in found[0].items():
        assert torch.equal(loss, found[1][name]), name
    assert largest_difference(whole.networks, resumed.networks) == 0


# ---- what reaches the loss

def pair_of(*flags):
    """The losses of CUT's first step without the flags, and with them; the same random numbers."""
    found = []
    for model in (build("--num_patches 100000"), build("--num_patches 100000", *flags)):
        torch.manual_seed(1)
        found.append(model.train_step(batch_of()))
    return found


def test_the_decoupled_loss_is_lower_in_every_term():
    plain, decoupled = pair_of("--nce_loss dce")
    assert decoupled["NCE"] < plain["NCE"] and decoupled["NCE_Y"] < plain["NCE_Y"]
    assert decoupled["D_real"] == plain["D_real"]


def test_SRC_is_added_once_and_is_not_halved():
    plain, related = pair_of("--lambda_SRC 2")
    _, single = pair_of("--lambda_SRC 1")
    assert related["SRC"].item() == pytest.approx(2 * single["SRC"].item(), rel=1e-6) and related["SRC"] > 0
    assert related["NCE"] == plain["NCE"] and related["NCE_Y"] == plain["NCE_Y"]
    assert related["G"].item() == pytest.approx(plain["G"].item() + related["SRC"].item(), rel=1e-6)


def test_gamma_follows_the_epochs():
    model = build("--nce_weighting semantic --n_epochs 3 --n_epochs_decay 2 --nce_gamma 5 --nce_gamma_last 1")
    asked, weighting = [], model.patch_nce.weighting
    model.patch_nce.weighting = lambda q, k: asked.append(weighting(q, k)[0]["scales"]) or weighting(q, k)
    for epoch in (1, 5):
        model.start_epoch(epoch)
        model.train_step(batch_of())
    others = ~torch.eye(8, dtype=torch.bool)
    assert asked[1][:, others].min() < asked[0][:, others].min() < 1
    assert asked[0][:, others].min() >= torch.tensor(-2 / 5).exp()     # cosines differ by 2 at most


def test_layer_weights_follow_their_layers():
    """The mean of the weighted layers; the weights stand in the order in which the layers are named."""
    every = "--num_patches 100000 --nce_layers"
    alone, among = build(every, "0"), build(every, "9,0,3 --nce_layer_weights 0,3,0")
    found = []
    for model in (alone, among):
        fill_(model.networks["F"])      # the head of layer 0, the first of both, is then the same
        found.append(model.train_step(batch_of())["NCE"].item())
    assert found[1] == pytest.approx(found[0], rel=1e-5) and found[0] > 0
    model = build("--nce_layers 9,0,3 --nce_layer_weights 4,2,3")
    assert model.patch_nce.layer_weights == [2, 3, 4] and model.patch_nce.layers == (0, 3, 9)
    plain, twice = pair_of("--nce_layer_weights 2,2,2")
    assert twice["NCE"].item() == pytest.approx(2 * plain["NCE"].item(), rel=1e-6)


def test_defaults_are_cuts():
    model = build()
    nce = model.patch_nce
    assert nce.weighting is None and nce.relation is None and nce.layer_weights is None
    assert model.opt.nce_loss == "nce" and model.opt.nce_sampling == "random"
    assert WEIGHTINGS.keys() == {"none", "semantic", "ot"} and SAMPLERS.keys() == {"random", "query", "dag"}


# ---- what cannot work

@pytest.mark.parametrize("flags, message", [
    ("--nce_weighting ot --nce_negatives external", "--nce_weighting ot weighs negatives of the same"),
    ("--lambda_SRC 1 --lambda_NCE 0", "--lambda_SRC 1 needs the patches of the NCE loss"),
    ("--lambda_SRC 1 --num_patches 1 --nce_negatives both", "--lambda_SRC 1 compares the patches"),
    ("--nce_weighting semantic --num_patches 1 --nce_negatives both", "--nce_weighting semantic compares"),
    ("--nce_sampling query --netF reshape", "--nce_sampling query chooses places, but --netF reshape"),
    ("--nce_sampling dag --diffaugment translation", "--diffaugment translation moves what D sees"),
    ("--nce_sampling dag --nce_shared_locations", "--nce_sampling dag chooses places for each image"),
    ("--nce_sampling dag --netD patch --crop_size 16", "--netD patch gives none: use --netD basic"),
    ("--nce_layer_weights 1,2", "--nce_layer_weights is '1,2'; give 3 numbers"),
    ("--nce_layer_weights 1,2,x", "--nce_layer_weights is '1,2,x'"),
    ("--nce_layer_weights 0,0,0", "not all 0"),
    ("--nce_layer_weights=-1,0,1", "numbers from 0 on"),
    ("--nce_ot_eps 0.01", "--nce_ot_eps is 0.01; it must be at least 0.05"),
    ("--nce_gamma 0", "--nce_gamma is 0; it must be above 0"),
    ("--recipe monce --model cycle_gan", "--recipe monce sets --nce_weighting, which --model cycle_gan"),
])
def test_what_cannot_work_is_refused(flags, message):
    with pytest.raises(UsageError) as error:
        if "cycle_gan" in flags:
            adversarial.build(*flags.split())
        build(flags)
    assert message in str(error.value) and "\n" not in str(error.value)
