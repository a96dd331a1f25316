"""Learning rates over the epochs: the formulas, the reference's rates, the ends, and the plateau's metric."""

import json
import math
from pathlib import Path

import pytest
import torch

from models.schedules import SCHEDULES
from tests.adversarial import batch_of, build

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "schedules.json").read_text())["rates"]
SANE = [name for name in GOLDEN if name.startswith("linear") or "epoch_count=1" in name
        and name.startswith(("step", "plateau"))]     # its others count from the epoch it was resumed in


def rates(flags: list[str], epochs: range, metric: float | None = None) -> list[float]:
    """What a model's optimizers use in each of these epochs."""
    model = build(*flags)
    used = []
    for epoch in epochs:
        model.start_epoch(epoch)
        lr, = {group["lr"] for optimizer in model.optimizers.values() for group in optimizer.param_groups}
        assert model.learning_rate() == lr
        used.append(lr)
        if metric is not None:
            model.schedule.epoch_losses = torch.tensor([3 * metric, 3.0])
        model.end_epoch()
    return used


@pytest.mark.parametrize("case", SANE)
def test_matches_the_reference(case):
    policy, *settings = case.split()
    numbers = {name: int(value) for name, value in (setting.split("=") for setting in settings)}
    first = numbers.pop("epoch_count")
    flags = ["--lr_policy", policy, *(f"--{name}={value}" for name, value in numbers.items())]
    epochs = range(first, numbers["n_epochs"] + numbers["n_epochs_decay"] + 1)
    assert rates(flags, epochs, metric=0.0) == pytest.approx(GOLDEN[case], rel=1e-6)


def test_linear_is_the_papers_formula():
    """200 epochs at 2e-4, then 200 down a straight line that would reach 0 in epoch 401."""
    used = rates([], range(1, 404))
    assert set(used[:200]) == {2e-4}
    for epoch in range(201, 401):
        assert used[epoch - 1] == pytest.approx(2e-4 * (401 - epoch) / 201)
    assert used[400:] == [0, 0, 0]


def test_no_decay_and_decay_alone():
    assert SCHEDULES["linear"](5, 5, 0, 1) == 1 and SCHEDULES["linear"](6, 5, 0, 1) == 0
    assert [SCHEDULES["linear"](epoch, 0, 3, 1) for epoch in (1, 2, 3)] == [0.75, 0.5, 0.25]


@pytest.mark.parametrize("policy", ["linear", "cosine"])
def test_the_rates_climb_in_a_straight_line(policy):
    """A part of what they would be: 1/4, 2/4, 3/4 of it, then all."""
    epochs = range(1, 9)
    flags = ["--lr_policy", policy, "--n_epochs", "2", "--n_epochs_decay", "6"]
    plain, warm = rates(flags, epochs), rates([*flags, "--warmup_epochs", "4"], epochs)
    parts = [1 / 4, 2 / 4, 3 / 4, 1, 1, 1, 1, 1]
    assert warm == pytest.approx([rate * part for rate, part in zip(plain, parts, strict=True)])


def test_step_falls_tenfold():
    found = [SCHEDULES["step"](epoch, 100, 100, 50) for epoch in (1, 50, 51, 100, 101, 151)]
    assert found == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.001])


def test_cosine_falls_from_1_and_never_climbs():
    factors = [SCHEDULES["cosine"](epoch, 6, 4, 1) for epoch in range(1, 30)]
    assert factors[0] == 1 and factors[5] == pytest.approx(0.5)     # half of 10 epochs
    assert factors[2] == pytest.approx((1 + math.cos(math.pi / 5)) / 2)
    assert all(a > b for a, b in zip(factors[:10], factors[1:11], strict=True)) and set(factors[10:]) == {0}


@pytest.mark.parametrize("policy", SCHEDULES)
def test_sane_at_the_smallest_settings(policy):
    for epoch in (1, 2, 3, 1000):
        assert 0 <= SCHEDULES[policy](epoch, 1, 0, 1) <= 1


def test_the_rate_is_a_function_of_the_epoch_alone():
    model = build("--n_epochs", "2", "--n_epochs_decay", "2")
    for epoch, factor in ((4, 1 / 3), (1, 1), (3, 2 / 3)):
        model.start_epoch(epoch)
        assert model.learning_rate() == pytest.approx(2e-4 * factor)


def rates_by_name(model) -> dict[str, float]:
    return {name: optimizer.param_groups[0]["lr"] for name, optimizer in model.optimizers.items()}


TWO_RATES = "--lr", "3e-3", "--lr_G", "1e-3", "--lr_D", "5e-3"


def test_G_and_D_have_rates_of_their_own_and_one_schedule():
    model = build(*TWO_RATES, "--n_epochs", "1", "--n_epochs_decay", "3")
    model.start_epoch(1)
    assert rates_by_name(model) == {"G": 1e-3, "F": 3e-3, "D": 5e-3}
    model.start_epoch(3)
    assert rates_by_name(model) == pytest.approx({"G": 5e-4, "F": 1.5e-3, "D": 2.5e-3})
    cycle = build("--model", "cycle_gan", "--lr_D", "5e-3")
    assert rates_by_name(cycle) == {"G_A": 2e-4, "G_B": 2e-4, "D_A": 5e-3, "D_B": 5e-3}


def test_a_plateau_scales_each_rate_and_a_resumed_run_goes_on_with_them():
    flags = *TWO_RATES, "--lr_policy", "plateau"
    model, resumed = build(*flags), build(*flags)
    model.train_step(batch_of())
    model.end_epoch([1.0])
    model.end_epoch([2.0] * 6)
    resumed.load_state_dict(model.state_dict())
    resumed.start_epoch(2)
    expected = {"G": 2e-4, "F": 6e-4, "D": 1e-3}
    assert rates_by_name(model) == pytest.approx(expected) and rates_by_name(resumed) == rates_by_name(model)


# ---- plateau

def test_plateau_waits_while_the_loss_falls():
    model = build("--lr_policy", "plateau")
    for epoch in range(1, 20):
        model.start_epoch(epoch)
        model.schedule.epoch_losses = torch.tensor([1 / epoch, 1.0])
        model.end_epoch()
    assert model.learning_rate() == 2e-4


def test_plateau_is_told_the_epochs_mean_loss_of_G():
    model, other = build("--lr_policy", "plateau"), build("--lr_policy", "linear")
    seen = []
    for plateau in model.schedule.plateaus:
        plateau.step = seen.append
    for _ in range(2):
        losses = [model.train_step(batch_of(1, step))["G"].item() for step in range(3)]
        model.end_epoch()
        assert seen == pytest.approx([sum(losses) / 3] * 3, rel=1e-5)     # G, D and F
        seen.clear()
    model.end_epoch()       # an epoch without a step says nothing
    assert seen == [] and not other.schedule.plateaus
