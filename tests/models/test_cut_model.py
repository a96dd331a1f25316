"""CUT and FastCUT: the reference's steps, order of updates, key features, every choice of network."""

import json
import weakref
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from models import create_model, cut_model
from models.cut_model import CUTModel
from models.losses.gan import OBJECTIVES
from models.networks import DISCRIMINATORS, GENERATORS, PROJECTORS, norm
from models.networks.norm import NORMS
from models.schedules import SCHEDULES
from options.train_options import TrainOptions
from tests import adversarial
from tests.adversarial import batch_of, fooling, nets_of
from tests.formula import fill_, picture, summary
from util.errors import UsageError

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "train_steps.json").read_text())
CASES = [name for name in GOLDEN if name != "provenance"]
NARROW = ["--netF_nc", "8", "--num_patches", "8"]


def build(*flags: str, train: bool = True) -> CUTModel:
    return adversarial.build(*NARROW, *flags, train=train)


def weights(model: CUTModel, name: str) -> dict[str, Tensor]:
    return {key: p.detach().clone() for key, p in model.networks[name].named_parameters()}


def same(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    assert first.keys() == second.keys()
    return all(torch.equal(value, second[key]) for key, value in first.items())


# ---- the reference's steps

@pytest.fixture
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(("case", "first"), [(case, first) for case in CASES for first in (False, True)
                                             if not first or "FastCUT" not in case])
def test_steps_are_those_of_the_reference(case, first, float64, monkeypatch):
    """Measured losses of 20 steps, the weights after them and the last image; of other cases 3 steps.

    first: with the identity pass first, as on a CPU for large images.
    """
    monkeypatch.setattr(cut_model, "BUSY_PIXELS", 0 if first else 10**9)
    golden = GOLDEN[case]["float64"]
    batch, measured = GOLDEN[case]["batch"], len(golden["losses"]["G"])
    steps = measured if measured == 20 and batch == 1 else 3
    flags = GOLDEN[case]["flags"].split() + (
        "--netG resnet_6blocks --ngf 8 --ndf 8 --netF_nc 16 --crop_size 32 --load_size 32 "
        f"--num_patches 100000 --gpu_ids -1 --batch_size {batch}").split()
    model = create_model(TrainOptions().parse(flags))
    for net in model.networks.values():
        fill_(net)
    for step in range(steps):
        model.draw_flip = lambda step=step: step % 2 == 1
        losses = model.train_step({"A": picture(batch, 3, 32, 32, 0.1 * step),
                                   "B": picture(batch, 3, 32, 32, 0.1 * step + 2).flip(2)})
        assert model.opt.CUT_mode == "FastCUT" or (model.idt_B.grad_fn is None) == first
        assert losses.keys() == golden["losses"].keys()
        for name, loss in losses.items():
            assert loss.item() == pytest.approx(golden["losses"][name][step], rel=1e-7), (step, name)

    if steps < measured:
        return
    for name, net in model.networks.items():
        values = torch.cat([p.detach().flatten() for key, p in net.named_parameters()
                            if key.endswith("weight")])
        found = dict(weights_mean=values.mean(), weights_std=values.std(correction=0),
                     weights_abs_mean=values.abs().mean())
        for field, value in golden["final_weights"][name].items():
            assert found[field].item() == pytest.approx(value, rel=1e-6), (name, field)
    expected = golden["fake_B_of_last_step"]
    found = summary(model.visuals()["fake_B"], len(expected["values"]))
    for field, value in expected.items():
        assert found[field] == pytest.approx(value, rel=1e-6), field


# ---- order of updates

def test_D_learns_first_and_G_meets_the_updated_D():
    model = build("--lambda_NCE", "0")
    before = nets_of(model)
    losses = model.train_step(batch_of())
    with torch.no_grad():
        fake = before["G"](batch_of()["A"])
        assert torch.allclose(model.visuals()["fake_B"], fake, atol=1e-6)
        assert losses["D_fake"].item() == pytest.approx(before["D"](fake).square().mean().item(), rel=1e-4)
        old, new = fooling(before["D"](fake)).item(), fooling(model.networks["D"](fake)).item()
    assert losses["G_GAN"].item() == pytest.approx(new, rel=1e-4)
    assert abs(new - old) > 100 * abs(losses["G_GAN"].item() - new)     # the two can be told apart


def test_D_learns_nothing_from_the_loss_of_G():
    trained = [build("--lambda_GAN", weight) for weight in ("1", "50")]
    for model in trained:
        model.train_step(batch_of())
        assert all(p.grad is None for net in model.networks.values() for p in net.parameters())
    assert same(weights(trained[0], "D"), weights(trained[1], "D"))
    assert not same(weights(trained[0], "G"), weights(trained[1], "G"))


def test_G_and_F_learn_nothing_from_the_loss_of_D():
    lsgan, hinge = (build("--lambda_GAN", "0", "--gan_mode", mode) for mode in ("lsgan", "hinge"))
    for model in (lsgan, hinge):
        torch.manual_seed(0)        # the same patches
        model.train_step(batch_of())
    assert not same(weights(lsgan, "D"), weights(hinge, "D"))
    assert same(weights(lsgan, "G"), weights(hinge, "G"))
    assert same(weights(lsgan, "F"), weights(hinge, "F"))


def test_every_network_has_its_adam():
    model = build("--lr", "0.003", "--beta1", "0.3", "--beta2", "0.8")
    assert model.optimizers.keys() == model.networks.keys() == {"G", "F", "D"}
    for name, optimizer in model.optimizers.items():
        group, = optimizer.param_groups
        assert (group["lr"], group["betas"], group["weight_decay"]) == (0.003, (0.3, 0.8), 0)
        assert {id(p) for p in group["params"]} == {id(p) for p in model.networks[name].parameters()}


# ---- the losses

def test_loss_of_G_is_the_weighted_sum():
    model = build("--lambda_GAN", "2", "--lambda_NCE", "3")
    losses = model.train_step(batch_of())
    expected = losses["G_GAN"] + (losses["NCE"] + losses["NCE_Y"]) / 2
    assert losses["G"].item() == pytest.approx(expected.item(), rel=1e-6)
    single = build("--lambda_GAN", "1", "--lambda_NCE", "1").train_step(batch_of())
    assert losses["G_GAN"].item() == pytest.approx(2 * single["G_GAN"].item(), rel=1e-5)
    assert losses["NCE"].item() == pytest.approx(3 * single["NCE"].item(), rel=1e-5)


@pytest.mark.parametrize("num_patches", [5, 100_000])
@pytest.mark.parametrize("norm", NORMS)
def test_nce_is_the_mean_over_places_and_layers(norm, num_patches, float64):
    """Written out from the networks before the step and the places drawn; batch norm must not mix A and B."""
    model = build("--normG", norm, "--num_patches", str(num_patches), "--nce_layers", "0,3,9")
    batch = {key: x.double() for key, x in batch_of(2).items()}
    nets, drawn, draw = nets_of(model), [], model.patch_nce.sampler
    model.patch_nce.sampler = lambda *given: drawn.append(draw(*given)) or drawn[-1]
    losses = model.train_step(batch)

    places = [torch.cat(layer) for layer in zip(*drawn, strict=True)]       # [4, S] a layer: A's two, B's two
    with torch.no_grad():
        both = nets["G"](torch.cat([batch["A"], batch["B"]]))               # G sees A and B in one pass
        for name, domain, fake, at in (("NCE", "A", both[:2], slice(0, 2)),
                                       ("NCE_Y", "B", both[2:], slice(2, 4))):
            queries, keys = (nets["G"].encode(x, (0, 3, 9)) for x in (fake, batch[domain]))
            layers = []
            for i, (q, k) in enumerate(zip(queries, keys, strict=True)):
                q, k = (embed(getattr(nets["F"], f"mlp_{i}"), x, places[i][at]) for x in (q, k))
                scores = q @ k.transpose(1, 2) / 0.07
                layers.append((scores.logsumexp(2) - scores.diagonal(dim1=1, dim2=2)).mean())
            assert losses[name].item() == pytest.approx(torch.stack(layers).mean().item(), rel=1e-6), name


def embed(mlp: torch.nn.Module, feature: Tensor, places: Tensor) -> Tensor:
    """[B, C, H, W] -> unit vectors [B, S, width] at places [B, S] (row by row)."""
    x = mlp(torch.stack([f[:, at].T for f, at in zip(feature.flatten(2), places, strict=True)]))
    return x / (x.norm(dim=2, keepdim=True) + 1e-7)


def record_keys(model: CUTModel) -> list[tuple[bool, list]]:
    """Of each NCE loss to come: whether G's own pass had kept the key features, and these features."""
    found, key_features = [], model.patch_nce._key_features

    def recorded(sources):
        kept = model.patch_nce._kept is not None
        found.append((kept, key_features(sources)))
        return found[-1][1]

    model.patch_nce._key_features = recorded
    return found


@pytest.mark.parametrize("flags", ["--normG batch", "--flip_equivariance true",
                                   "--nce_negatives both --nce_queue_size 99999", "--recipe hdce_src",
                                   "--recipe monce --lambda_SRC 0.05"])
def test_identity_first_changes_nothing(flags, float64, monkeypatch):
    together, one_by_one = (build("--num_patches", "100000", *flags.split()) for _ in range(2))
    together.identity_first = False
    monkeypatch.setattr(cut_model, "BUSY_PIXELS", 0)
    for model in (together, one_by_one):
        model.draw_flip = lambda: True
    for step in range(2):
        batch = {key: x.double() for key, x in batch_of(2, step).items()}
        expected = together.train_step(batch)
        for name, loss in one_by_one.train_step(batch).items():
            assert loss.item() == pytest.approx(expected[name].item(), rel=1e-9), (step, name)


class WithIdentityColour(CUTModel):
    """Three lines that add a term on idt_B."""

    def compute_G_loss(self):
        self.losses["colour"] = (self.idt_B.mean() - 1).square()
        return super().compute_G_loss() + self.losses["colour"]


@pytest.mark.parametrize("pixels", [0, 10**9])
def test_a_loss_on_idt_B_is_learnt_from_whatever_the_size(pixels, monkeypatch):
    """Of large images CUT itself does the identity pass first, and keeps no graph of idt_B."""
    monkeypatch.setattr(cut_model, "BUSY_PIXELS", pixels)
    flags = ["--lambda_NCE", "1e-9", "--lambda_GAN", "0"]
    torch.manual_seed(0)
    model = WithIdentityColour(adversarial.parse(*NARROW, *flags))
    start = nets_of(model)["G"]
    losses = model.train_step(batch_of())
    assert model.idt_B.requires_grad
    assert losses["G"].item() == pytest.approx(losses["colour"].item(), rel=1e-6) and losses["colour"] > 0
    with torch.no_grad():
        before, after = ((G(batch_of()["B"]).mean().item() - 1) ** 2 for G in (start, model.netG))
        assert losses["colour"].item() == pytest.approx(before, rel=1e-4)
    assert after < losses["colour"].item()


@pytest.mark.parametrize("flags", ["--recipe hdce_src", "--recipe monce --lambda_SRC 0.05"])
def test_identity_first_gives_the_gradients_of_one_backward(flags, float64, monkeypatch):
    """With weightings and SRC, too; and nothing of G(B)'s graph waits for G(A)."""
    monkeypatch.setattr(cut_model, "BUSY_PIXELS", 0)
    gradients = []
    for first in (False, True):
        model = build("--num_patches", "100000", *flags.split())
        model.identity_first = first
        model.set_input({key: x.double() for key, x in batch_of(2).items()})
        assert model.uses_identity_first == first
        model.forward()
        assert model.idt_B.requires_grad != first
        parameters = model.parameters_of("G", "F")
        gradients.append(torch.autograd.grad(model.compute_G_loss(), parameters))
    for together, one_by_one in zip(*gradients, strict=True):
        assert torch.allclose(together, one_by_one, rtol=1e-8, atol=1e-12)     # biases before norms: 0


@pytest.mark.parametrize("method", ["weighting", "relation"])
def test_identity_first_waits_where_a_method_of_ones_own_may_learn(method, monkeypatch):
    monkeypatch.setattr(cut_model, "BUSY_PIXELS", 0)
    model = build("--recipe", "hdce_src")
    model.set_input(batch_of())
    assert model.uses_identity_first
    setattr(model.patch_nce, method, torch.nn.Identity())
    assert not model.uses_identity_first


def test_identity_first_is_for_cuts_own_step_alone(monkeypatch):
    monkeypatch.setattr(cut_model, "BUSY_PIXELS", 0)
    model = build()
    model.set_input(batch_of())
    assert model.uses_identity_first
    for method in cut_model.STEP:
        subclass = type("Subclass", (CUTModel,), {method: getattr(CUTModel, method), "unrelated": None})
        model.__class__ = subclass
        assert model.uses_identity_first        # the very method of CUT
        setattr(subclass, method, lambda self: None)
        assert not model.uses_identity_first, method
    model.__class__ = CUTModel
    model.identity_first = False
    assert not model.uses_identity_first


class Ported(CUTModel):
    """compute_G_loss and forward as the reference has them, line by line."""

    def forward(self):
        self.fake_B = self.netG(self.real_A)
        self.idt_B = self.netG(self.real_B)

    def compute_G_loss(self):
        loss_GAN = self.objective.generator(self.netD(self.fake_B))
        loss_NCE = self.calculate_NCE_loss(self.real_A, self.fake_B)
        loss_NCE_Y = self.calculate_NCE_loss(self.real_B, self.idt_B)
        self.losses |= {"G_GAN": loss_GAN, "NCE": loss_NCE, "NCE_Y": loss_NCE_Y}
        return loss_GAN + (loss_NCE + loss_NCE_Y) * 0.5


class PortedLoss(CUTModel):
    compute_G_loss = Ported.compute_G_loss


@pytest.mark.parametrize("kind", [Ported, PortedLoss])
@pytest.mark.parametrize("flags", ["", "--nce_negatives both"])
def test_a_step_ported_from_the_reference_is_the_same_step(kind, flags, float64):
    every = ["--num_patches", "100000", *flags.split()]
    plain = build(*every)
    torch.manual_seed(0)
    ported = kind(adversarial.parse(*NARROW, *every))
    for step in range(3):
        batch = {key: x.double() for key, x in batch_of(2, step).items()}
        expected = plain.train_step(batch)
        for name, loss in ported.train_step(batch).items():
            assert loss.item() == pytest.approx(expected[name].item(), rel=1e-9), (step, name)


class GeneratesAgain(CUTModel):
    def forward(self):
        super().forward()
        self.again_B, = self.generate(self.real_B)


def test_another_pass_through_G_does_not_change_the_keys(float64):
    plain = build("--num_patches", "100000")
    torch.manual_seed(0)
    model = GeneratesAgain(adversarial.parse(*NARROW, "--num_patches", "100000"))
    batch = {key: x.double() for key, x in batch_of(2).items()}
    expected, losses = plain.train_step(batch), model.train_step(batch)
    assert losses.keys() == expected.keys()
    for name, loss in losses.items():
        assert loss.item() == pytest.approx(expected[name].item(), rel=1e-9), name


def test_a_source_that_was_changed_may_name_its_domain():
    class Blurred(CUTModel):
        def calculate_NCE_loss(self, source, output):
            return super().calculate_NCE_loss(source * 0.5, output, 1 if source is self.real_B else 0)

    torch.manual_seed(0)
    model = Blurred(adversarial.parse(*NARROW, "--nce_negatives", "both"))
    model.train_step(batch_of())
    assert {domain for domain, _ in model.queue.queues} == {0, 1}


def test_a_relation_that_learns_keeps_the_identity_pass_in_one_graph(monkeypatch):
    monkeypatch.setattr(cut_model, "BUSY_PIXELS", 0)
    model = build()
    factor = torch.nn.Parameter(torch.ones(()))
    model.patch_nce.relation = lambda query, key: factor
    model.train_step(batch_of())
    assert model.idt_B.requires_grad


class PerDomain(CUTModel):
    """Overrides the loss of one domain, as a port from the reference does."""

    def calculate_NCE_loss(self, source, output):
        self.calls.append((source, output))
        return 2 * super().calculate_NCE_loss(source, output)


@pytest.mark.parametrize("flags", ["", "--CUT_mode FastCUT", "--nce_negatives both"])
def test_an_overridden_nce_loss_is_called_for_each_domain(flags, float64):
    every = ["--num_patches", "100000", *flags.split()]
    plain = build(*every)
    torch.manual_seed(0)
    model = PerDomain(adversarial.parse(*NARROW, *every))
    for step in range(2):
        model.calls = []
        batch = {key: x.double() for key, x in batch_of(2, step).items()}
        plain.draw_flip = model.draw_flip = lambda step=step: step == 1
        expected = plain.train_step(batch) if step == 0 else None
        losses = model.train_step(batch)
        pairs = [(model.real_A, model.fake_B)] + [(model.real_B, model.idt_B)] * ("FastCUT" not in flags)
        assert all(x is y for found, pair in zip(model.calls, pairs, strict=True)
                   for x, y in zip(found, pair, strict=True))
        for name in ("NCE", "NCE_Y") if expected else ():
            if name in losses:
                assert losses[name].item() == pytest.approx(2 * expected[name].item(), rel=1e-9)


def test_no_features_outlive_the_step():
    model = build()
    keys = record_keys(model)
    model.train_step(batch_of())
    features = [weakref.ref(feature) for feature in keys.pop()[1][0]]
    assert features and all(feature() is None for feature in features)


def test_reused_key_features_are_those_of_another_pass(float64):
    first, second = (build("--num_patches", "100000") for _ in range(2))
    second.patch_nce.one_pass = False       # computed anew, and a domain at a time
    reused, computed = record_keys(first), record_keys(second)
    for step in range(3):
        batch = {key: x.double() for key, x in batch_of(2, step).items()}
        losses, again = first.train_step(batch), second.train_step(batch)
        assert reused[step][0] and not computed[step][0]
        for name, loss in losses.items():
            assert loss.item() == pytest.approx(again[name].item(), rel=1e-9), name


def test_no_nce_loss_leaves_F_alone():
    model = build("--lambda_NCE", "0")
    before = weights(model, "F")
    losses = model.train_step(batch_of())
    assert losses["NCE"] == 0 and losses["NCE_Y"] == 0 and losses["G"] == losses["G_GAN"]
    assert same(before, weights(model, "F"))


def test_no_gan_loss_still_trains_D():
    model = build("--lambda_GAN", "0")
    before = weights(model, "D")
    losses = model.train_step(batch_of())
    assert losses["G_GAN"] == 0
    assert losses["G"].item() == pytest.approx((losses["NCE"] + losses["NCE_Y"]).item() / 2)
    assert not same(before, weights(model, "D"))


def test_unsorted_layers_are_sorted():
    ordered, shuffled = (build("--nce_layers", text).train_step(batch_of()) for text in ("0,4,8", "8,0,4"))
    assert ordered == shuffled


def test_all_negatives_make_the_task_harder():
    """More to choose from: each patch competes with 2 * 8 - 1 others, not 7, in the same minibatch."""
    alone, together = (build("--nce_includes_all_negatives_from_minibatch", flag, "--batch_size", "2")
                       for flag in ("false", "true"))
    assert together.train_step(batch_of(2))["NCE"] > alone.train_step(batch_of(2))["NCE"]


# ---- FastCUT

def test_fastcut_has_one_nce_loss_and_no_identity_image():
    model = build("--CUT_mode", "FastCUT")
    losses = model.train_step(batch_of())
    assert list(losses) == ["G_GAN", "D_real", "D_fake", "G", "NCE"]
    assert list(model.visuals()) == ["real_A", "fake_B", "real_B"]


def test_half_of_the_steps_are_flipped():
    model = build("--CUT_mode", "FastCUT")
    torch.manual_seed(0)
    drawn = sum(model.draw_flip() for _ in range(1000))
    assert abs(drawn - 500) < 5 * 15.8      # standard deviation sqrt(1000) / 2


def test_a_flipped_step_translates_the_flipped_image():
    model = build("--CUT_mode", "FastCUT")
    G = nets_of(model)["G"]
    model.draw_flip = lambda: True
    model.train_step(batch_of())
    with torch.no_grad():
        assert torch.allclose(model.visuals()["fake_B"], G(batch_of()["A"].flip(3)), atol=1e-6)


# ---- every choice

CHOICES = ([("--netG", name) for name in GENERATORS] + [("--netD", name) for name in DISCRIMINATORS]
           + [("--netF", name) for name in PROJECTORS] + [("--gan_mode", name) for name in OBJECTIVES]
           + [("--normG", name) for name in NORMS] + [("--normD", name) for name in NORMS]
           + [("--lr_policy", name) for name in SCHEDULES]
           + [("--no_dropout", "false"), ("--no_antialias",), ("--no_antialias_up",),
              ("--nce_shared_locations",), ("--CUT_mode", "FastCUT"), ("--direction", "BtoA"),
              ("--nce_idt", "false"), ("--input_nc", "1", "--output_nc", "1"),
              ("--input_nc", "5", "--output_nc", "5"),
              ("--nce_includes_all_negatives_from_minibatch",)])


@pytest.mark.parametrize("flags", CHOICES, ids=" ".join)
def test_every_choice_trains(flags):
    side = {"unet_128": 128, "unet_256": 256}.get(flags[1] if len(flags) > 1 else "", 32)
    model = build(*flags, "--crop_size", str(side), "--load_size", str(side), "--batch_size", "2")
    before = {name: weights(model, name) for name in model.networks}
    channels = int(flags[1]) if "--input_nc" in flags else 3
    for step in range(2):
        losses = model.train_step({key: picture(2, channels, side, side, phase + step).float()
                                   for key, phase in (("A", 0), ("B", 2))})
        assert {"G_GAN", "D_real", "D_fake", "G", "NCE"} <= losses.keys()
        for name, loss in losses.items():
            assert torch.isfinite(loss) and loss.shape == () and not loss.requires_grad, name
    for name, values in before.items():
        after = weights(model, name)
        for key, value in values.items():
            if "noise" not in key:      # of smallstylegan2: kept for its layout, unused
                assert not torch.equal(value, after[key]), f"{name}.{key}"


def test_wgangp_shows_its_penalty():
    losses = build("--gan_mode", "wgangp").train_step(batch_of())
    assert list(losses) == ["G_GAN", "D_real", "D_fake", "D_penalty", "G", "NCE", "NCE_Y"]


def test_images_of_unlike_sizes_train():
    model = build()
    losses = model.train_step({"A": picture(2, 3, 16, 16).float(), "B": picture(2, 3, 24, 20, 1).float()})
    assert all(torch.isfinite(loss) for loss in losses.values())
    assert [x.shape[2:] for x in model.visuals().values()] == [(16, 16), (16, 16), (24, 20), (24, 20)]


def test_direction_swaps_the_sides():
    batch = batch_of(2)
    swapped = {"A": batch["B"], "B": batch["A"]}
    there, back = build(), build("--direction", "BtoA")
    torch.manual_seed(1)
    first = there.train_step(batch)
    torch.manual_seed(1)
    assert first == back.train_step(swapped)
    assert torch.equal(back.visuals()["real_A"], batch["A"])
    assert torch.equal(back.visuals()["real_B"], batch["B"])


def test_the_seed_decides_all_weights():
    first, again = build(), build()
    assert all(same(weights(first, name), weights(again, name)) for name in "GFD")
    torch.manual_seed(1)
    other = create_model(first.opt)
    assert not any(same(weights(first, name), weights(other, name)) for name in "GFD")


# ---- no waiting for the device

class NoReading(TorchDispatchMode):
    """Fails where the value of a tensor is read: on a GPU the program would wait there."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert func not in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default), func
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("flags", [(), ("--CUT_mode", "FastCUT"), ("--gan_mode", "wgangp"),
                                   ("--normG", "batch"), ("--lr_policy", "plateau"),
                                   ("--recipe", "hdce_src"), ("--nce_weighting", "ot"),
                                   ("--nce_sampling", "query"), ("--nce_sampling", "dag")], ids=" ".join)
def test_a_step_reads_no_tensor(flags, monkeypatch):
    # The norm takes another way on a GPU; on a CPU, where nothing waits, it looks at its statistics.
    monkeypatch.setattr(norm, "without_remainder", lambda normed, x, rstd: normed)
    model = build(*flags)
    for flipped in (False, True):
        model.draw_flip = lambda flipped=flipped: flipped      # its coin is tossed on the CPU
        with NoReading():
            model.train_step(batch_of(2))
    with pytest.raises(AssertionError), NoReading():
        model.train_step(batch_of(2))["G"].item()


# ---- translation

def test_a_model_for_translation_is_G_alone():
    model = build(train=False)
    assert list(model.networks) == ["G"] and not model.optimizers


@pytest.mark.parametrize("direction, source", [("AtoB", "A"), ("BtoA", "B")])
def test_translations(direction, source):
    model, batch = build("--direction", direction, train=False), batch_of(2)
    images = model.translations(batch)
    assert list(images) == ["real_A", "fake_B", "real_B"]
    assert torch.equal(images["real_A"], batch[source])
    assert torch.allclose(images["fake_B"], model.networks["G"](batch[source]), atol=1e-6)
    assert not images["fake_B"].requires_grad
    assert list(model.translations({source: batch[source]})) == ["real_A", "fake_B"]


# ---- unequal channels

LUMINANCE = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("channels, bring", [
    ((1, 3), lambda x: (x * LUMINANCE).sum(1, keepdim=True)), ((3, 1), lambda x: torch.cat([x] * 3, 1))])
def test_the_NCE_loss_sees_the_inputs_channels(channels, bring, first, monkeypatch, capsys):
    """With all patches, so that nothing is left to chance: that of images brought to them by hand."""
    monkeypatch.setattr(cut_model, "BUSY_PIXELS", 0 if first else 10**9)
    flags = ("--input_nc", str(channels[0]), "--output_nc", str(channels[1]), "--num_patches", "100000")
    model, batch = build(*flags), batch_of(2)
    said = capsys.readouterr().out
    assert f"--input_nc {channels[0]} and --output_nc {channels[1]} differ: G's outputs" in said
    batch = {"A": batch["A"][:, :channels[0]], "B": batch["B"][:, :channels[1]]}
    before = nets_of(model)["G"]
    losses = model.train_step(batch)
    assert model.idt_B.shape[1] == channels[1] and all(torch.isfinite(loss) for loss in losses.values())
    model.networks["G"].load_state_dict(before.state_dict())
    model.networks["F"].load_state_dict(build(*flags).networks["F"].state_dict())
    with torch.no_grad():
        fake, idt = before(batch["A"]), before(bring(batch["B"]))
        expected = {"NCE": (batch["A"], bring(fake)), "NCE_Y": (bring(batch["B"]), bring(idt))}
        for name, pair in expected.items():
            assert losses[name].item() == pytest.approx(model.calculate_NCE_loss(*pair).item(), rel=1e-4)


# ---- what cannot work

@pytest.mark.parametrize("flags, message", [
    ("--input_nc 2", "--input_nc 2 and --output_nc 3 differ"),
    ("--input_nc 1 --output_nc 4", "only 1 and 3 channels can be brought to each other"),
    ("--input_nc 1 --nce_sampling dag", "--nce_sampling dag asks D about what the NCE loss sees"),
    ("--num_patches 1", "--num_patches 1 leaves the NCE loss no negatives"),
    ("--num_patches 1 --nce_includes_all_negatives_from_minibatch", "--batch_size above 1"),
    ("--lambda_GAN 0 --lambda_NCE 0", "--lambda_GAN and --lambda_NCE are both 0"),
    ("--nce_layers 0,four", "--nce_layers is '0,four'; give numbers"),
    ("--nce_layers=", "--nce_layers is ''"),
    ("--nce_layers 0,99", "--nce_layers names layer 99; this --netG has layers 0 to 26"),
    ("--nce_layers 4,4", "--nce_layers 4,4 names a layer twice"),
    ("--nce_layers=-1", "--nce_layers names layer -1"),
    ("--netD basic --crop_size 20 --load_size 20", "--crop_size 20 is too small for --netD basic"),
    ("--netD n_layers --n_layers_D 4 --crop_size 44 --load_size 44", "--netD n_layers, which needs 48"),
    ("--netD patch --crop_size 12", "--netD patch, which needs 16"),
    ("--crop_size 4", "--crop_size 4 is too small for --netG resnet_4blocks, which needs 8"),
    ("--netG unet_128 --crop_size 64 --load_size 64", "--netG unet_128, which needs a multiple of 128"),
])
def test_what_cannot_work_is_refused(flags, message):
    with pytest.raises(UsageError) as error:
        build(*flags.split())
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("flags, side", [("--netD basic", 24), ("--netD basic --no_antialias", 24),
                                         ("--netD n_layers --n_layers_D 4", 48), ("--netD patch", 16),
                                         ("--netD pixel", 8)])
def test_the_smallest_crop_trains(flags, side):
    model = build(*flags.split(), "--crop_size", str(side), "--load_size", str(side))
    batch = {"A": picture(1, 3, side, side).float(), "B": picture(1, 3, side, side, 1).float()}
    assert all(torch.isfinite(loss) for loss in model.train_step(batch).values())


@pytest.mark.parametrize("flags", [
    "--input_nc 1 --lambda_NCE 0 --nce_idt false", "--input_nc 1", "--input_nc 1 --CUT_mode FastCUT",
    "--num_patches 1 --netF reshape",
    "--num_patches 1 --nce_includes_all_negatives_from_minibatch --batch_size 2",
    "--num_patches 1 --lambda_NCE 0",
])
def test_what_can_work_is_not_refused(flags):
    model = build(*flags.split())
    batch = batch_of(2)
    if "input_nc" in flags:
        batch["A"] = batch["A"][:, :1]
    assert all(torch.isfinite(loss) for loss in model.train_step(batch).values())
