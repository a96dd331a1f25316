"""BaseModel: the order of calls in a step, the losses shown, and plug-ins of the older form."""

import copy

import pytest
import torch
from torch import nn

from models.adversarial import AdversarialModel
from models.base_model import BaseModel
from tests.adversarial import batch_of, build, parse


class Toy(AdversarialModel):
    """G is a factor on the image; its loss is the mean square of G(A) - B."""

    loss_names = ("first", "G")

    def __init__(self, opt):
        super().__init__(opt)
        self.calls = []
        self.add_network("G", nn.Conv2d(3, 3, 1, bias=False))
        self.add_optimizer("G", self.networks["G"].parameters())

    def translator(self):
        return self.networks["G"]

    def visuals(self):
        return {}

    def loss(self):
        return (self.networks["G"](self.real_A) - self.real_B).square().mean()

    def loss_of(self, batch):
        self.set_input(batch)
        return self.loss().item()


class WithoutArguments(Toy):
    def set_input(self, batch):
        self.calls.append("set_input")
        super().set_input(batch)

    def optimize_parameters(self):
        self.calls.append("optimize_parameters")
        self.losses |= {"last": self.loss() * 3, "first": self.loss() * 2}
        self.update("G", loss=self.loss())


class WithABatch(Toy):
    def optimize_parameters(self, batch):
        assert batch["A"] is not None
        loss = self.loss()
        self.update("G", loss=loss)
        return {"last": loss * 3, "first": loss * 2, "G": loss}


@pytest.mark.parametrize("kind", [WithoutArguments, WithABatch])
def test_a_step_shows_the_losses_in_order(kind):
    torch.manual_seed(0)
    model, batch = kind(parse()), batch_of(2)
    expected = (model.networks["G"](batch["A"]) - batch["B"]).square().mean().item()
    losses = model.train_step(batch)
    assert list(losses) == ["first", "G", "last"]
    assert [loss.item() for loss in losses.values()] == pytest.approx([2 * expected, expected, 3 * expected])
    assert not any(loss.requires_grad for loss in losses.values())
    assert model.train_step(batch)["G"].item() < expected


class OneDomain(WithABatch):
    def loss(self):
        return self.networks["G"](self.real_A).square().mean()


def test_a_model_of_one_domain_needs_no_other():
    for flags in ((), ("--preprocess", "none")):
        assert OneDomain(parse(*flags)).train_step({"A": batch_of()["A"]})["G"] > 0


def test_two_updates_of_generators_are_shown_as_their_sum():
    model = WithoutArguments(parse())
    model.optimize_parameters = lambda: [model.update("G", loss=model.loss()) for _ in range(2)]
    first = model.loss_of(batch_of())
    losses = model.train_step(batch_of())
    assert first < losses["G"].item() < 2 * first


def test_an_optimizer_that_a_model_makes_itself_is_scheduled():
    model = WithoutArguments(parse("--lr", "0.1", "--n_epochs", "1", "--n_epochs_decay", "1"))
    model.optimizers["G"] = torch.optim.SGD(model.networks["G"].parameters(), lr=0.1)
    model.start_epoch(2)
    assert model.optimizers["G"].param_groups[0]["lr"] == model.learning_rate() == 0.05


def test_a_step_takes_the_minibatch_and_then_optimizes():
    model = WithoutArguments(parse("--direction", "BtoA"))
    batch = batch_of()
    model.train_step(batch)
    assert model.calls == ["set_input", "optimize_parameters"]
    assert torch.equal(model.real_A, batch["B"]) and torch.equal(model.real_B, batch["A"])


def test_losses_are_those_of_the_last_step_alone():
    model = WithoutArguments(parse())
    model.losses["stale"] = torch.zeros(())
    assert "stale" not in model.train_step(batch_of())


def test_a_model_without_a_step_cannot_be_made():
    with pytest.raises(TypeError, match="abstract"):
        type("Half", (BaseModel,), {})(parse())


@pytest.mark.parametrize(("saved", "resumed"), [("false", "true"), ("true", "false")])
def test_resuming_in_another_memory_order_takes_the_same_next_step(saved, resumed):
    """A moment that keeps its old strides would be applied to the wrong weights."""
    first, same, other = (build("--channels_last", order, "--ngf", "8") for order in (saved, saved, resumed))
    for step in range(3):
        first.train_step(batch_of(1, step))
    state = copy.deepcopy(first.state_dict())
    for model in (same, other):
        model.load_state_dict(copy.deepcopy(state))
        torch.manual_seed(5)
        model.train_step(batch_of(1, 3))
    before = state["networks"]["G"]
    steps = [torch.cat([(model.networks["G"].get_parameter(key) - before[key]).flatten()
                        for key in before if "weight" in key]) for model in (same, other)]
    assert torch.corrcoef(torch.stack(steps))[0, 1] > 0.999
