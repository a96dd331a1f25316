"""DistanceGAN: distances and moments in NumPy, losses and updates in a plain loop, resuming, flags."""

import copy

import numpy as np
import pytest
import torch

from models.losses.distance import RunningMoments, half_distances, pair_distances
from tests import adversarial
from tests.adversarial import adam_of, batch_of, fooling, largest_difference, nets_of, telling, update
from util.errors import UsageError


def parse(*flags, train=True):
    return adversarial.parse("--model", "distance_gan", *flags, train=train)


def build(*flags, train=True):
    return adversarial.build("--model", "distance_gan", *flags, train=train)


def test_distances_by_hand():
    x = torch.tensor([[[[0.0, 1.0, 5.0, 0.5]]], [[[1.0, 1.0, 9.0, 1.0]]]])
    assert pair_distances(x[:1], x[1:]).tolist() == [pytest.approx((1 + 0 + 4 + 0.5) / 4)]
    assert half_distances(x).tolist() == pytest.approx([(5 + 0.5) / 2, (8 + 0) / 2])
    odd = torch.tensor([[[[0.0, 100.0, 3.0]]]])
    assert half_distances(odd).tolist() == [3.0]


def test_moments_are_those_of_all_numbers_together():
    numbers = np.random.default_rng(0).normal(3, 2, size=50)
    moments = RunningMoments(torch.device("cpu"))
    for part in np.split(numbers, [1, 3, 3, 20]):     # of one, two, no and many numbers
        moments.add(torch.tensor(part))
    assert moments.count == 50
    assert moments.mean.item() == pytest.approx(numbers.mean())
    x = torch.tensor([1.0, 4.0], dtype=torch.float64)
    assert moments.normalized(x).tolist() == pytest.approx((x.numpy() - numbers.mean()) / numbers.std())
    constant = RunningMoments(torch.device("cpu"))
    constant.add(torch.full((5,), 2.0))
    assert constant.normalized(torch.tensor([2.0])).tolist() == [0.0]


def test_defaults():
    opt = parse()
    assert (opt.lambda_distance, opt.pool_size, opt.distance_warmup) == (0.05, 50, 100)
    assert not opt.use_self_distance and not opt.unnormalized_distances
    assert not hasattr(parse(train=False), "lambda_distance") and not hasattr(opt, "nce_layers")


class Distances:
    """The distances of a domain by the paper's definition, and mean and deviation of all of them so far."""

    def __init__(self, halves):
        self.halves, self.last, self.seen = halves, None, []

    def of(self, images):
        if self.halves:
            pairs = [(x[..., :8], x[..., 8:]) for x in images]
        else:
            row = ([] if self.last is None else [self.last]) + list(images)
            pairs = list(zip(row[:-1], row[1:], strict=True))
            self.last = images[-1].detach()
        return [(a - b).abs().mean() for a, b in pairs]

    def remember(self, distances):
        self.seen += [d.item() for d in distances]

    def normalized(self, distances):
        return [(d - np.mean(self.seen)) / np.std(self.seen) for d in distances]


@pytest.mark.parametrize("flags,batch", [
    ("", 1), ("", 3), ("--use_self_distance", 1), ("--unnormalized_distances", 2),
    ("--use_self_distance --unnormalized_distances --lambda_distance 4", 2)])
def test_steps_are_those_of_a_plain_loop(flags, batch):
    """Six steps: distances of pairs or halves, normalised by A's and B's own moments; G first, then D."""
    warmup, weight = 3, 4.0 if "lambda" in flags else 0.05
    model = build("--distance_warmup", str(warmup), *flags.split())
    nets = nets_of(model)
    optimizer_G, optimizer_D = adam_of(nets["G"]), adam_of(nets["D"])
    A, fake_B, B = (Distances("self" in flags) for _ in range(3))
    nonzero = 0
    for step in range(6):
        minibatch = batch_of(batch, step)
        fake = nets["G"](minibatch["A"])
        before, after, real = A.of(minibatch["A"]), fake_B.of(fake), B.of(minibatch["B"])
        A.remember(before)
        B.remember(real)
        enough = bool(before)
        if "unnormalized" not in flags:
            enough = len(A.seen) >= warmup
            if enough:
                before, after = A.normalized(before), B.normalized(after)
        loss = sum((b - a).abs() for b, a in zip(before, after, strict=True)) / len(before) if enough else 0.0
        nonzero += enough
        expected = {"G_GAN": fooling(nets["D"](fake)), "distance": torch.as_tensor(weight * loss)}
        expected["G"] = sum(expected.values())
        update(optimizer_G, expected["G"])
        expected["D"] = telling(nets["D"], minibatch["B"], fake)
        update(optimizer_D, expected["D"])
        found = model.train_step(minibatch)
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert found[name].item() == pytest.approx(value.item(), rel=1e-3, abs=1e-6), (step, name)
    assert nonzero >= 3
    assert largest_difference(nets, model.networks) < 2e-4


def test_images_of_other_sizes_are_not_compared():
    model = build("--unnormalized_distances")
    model.train_step(batch_of())
    narrow = {side: images[..., :12] for side, images in batch_of(1, 1).items()}
    assert model.train_step(narrow)["distance"].item() == 0
    assert model.train_step({side: images.flip(3) for side, images in narrow.items()})["distance"].item() > 0


def test_a_resumed_training_knows_moments_pool_and_last_images():
    flags = ("--distance_warmup", "1", "--pool_size", "1")
    model, other = build(*flags), build(*flags)
    for step in range(3):
        model.train_step(batch_of(1, step))
    other.load_state_dict(copy.deepcopy(model.state_dict()))
    rng = torch.get_rng_state()
    first = {name: loss.item() for name, loss in model.train_step(batch_of(1, 4)).items()}
    torch.set_rng_state(rng)
    assert first == {name: loss.item() for name, loss in other.train_step(batch_of(1, 4)).items()}
    assert first["distance"] > 0


def test_files_images_and_translation(tmp_path):
    model = build()
    model.train_step(batch_of())
    assert list(model.visuals()) == ["real_A", "fake_B", "real_B"]
    model.save_weights(tmp_path, "7")
    assert {path.name for path in tmp_path.iterdir()} == {"7_net_G.pth", "7_net_D.pth"}
    translator = build(train=False)
    translator.load_weights(tmp_path, "7")
    with torch.no_grad():
        assert torch.equal(translator.translations(batch_of())["fake_B"], model.netG(batch_of()["A"]))


@pytest.mark.parametrize("flags,words", [
    ("--lambda_distance -2", "--lambda_distance is -2"), ("--distance_warmup 0", "--distance_warmup is 0")])
def test_wrong_flags_are_refused(flags, words):
    with pytest.raises(UsageError, match=words):
        build(*flags.split())
