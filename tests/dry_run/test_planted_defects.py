"""Defects planted into a training: a dry run that lets one pass would prove nothing."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.dry_run.cases import CASES
from tests.dry_run.pretend import CUDA, NEEDS, possible
from tests.dry_run.record import difference
from tests.dry_run.training import Training, check_steps, check_values, training

pytestmark = pytest.mark.skipif(not possible(), reason=NEEDS)
CASE = CASES["SelfDistance"]


class ElsewhereBackward(torch.autograd.Function):
    """Its gradient is on the CPU."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        return x * 1

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return torch.ones(gradient.shape)


def masked(loss: Tensor) -> Tensor:
    x = loss.detach().repeat(2)
    x[x > 0] = x
    return loss + x.sum()


# What is done to D's loss -> what the dry run says.
IN_A_STEP: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "a number is read": (lambda loss: loss * loss.item(), "_local_scalar_dense"),
    "a condition is read": (lambda loss: loss if loss > 0 else -loss, "_local_scalar_dense"),
    "places are counted": (lambda loss: loss + loss[None].nonzero().sum(), "nonzero"),
    "places are chosen by a mask": (masked, "the host takes part.*index_put_"),
    "a CPU tensor beside the GPU's": (lambda loss: (loss + torch.ones(2)).sum(), "two.*devices"),
    "a CPU number beside the GPU's": (lambda loss: loss * torch.ones(()), "the host takes part.*mul"),
    "a copy to the host": (lambda loss: loss + 0 * loss.cpu().to(CUDA), "the host takes part.*_to_copy"),
    "a number copied to the GPU": (lambda loss: loss * torch.tensor(2.0, device=CUDA),
                                   "the host takes part.*_to_copy"),
    "a gradient on the CPU": (ElsewhereBackward.apply, "gradient on cpu, expected cuda"),
    "a loss in 16 bits": (lambda loss: loss.bfloat16(), "loss D is torch.bfloat16"),
}


def plant(run: Training, change: Callable[[Tensor], Tensor]) -> None:
    """Let D's loss be changed, as it is minimised and as it is shown."""
    plain = run.model.compute_D_loss

    def changed() -> Tensor:
        run.model.losses["D"] = change(plain())
        return run.model.losses["D"]
    run.model.compute_D_loss = changed


def small() -> str:
    return CASE.small("fp32", "stop")


def test_nothing_planted():
    with training(small()) as run:
        plant(run, lambda loss: loss * 2)
        check_steps(CASE, run)


@pytest.mark.parametrize("change, words", IN_A_STEP.values(), ids=IN_A_STEP.keys())
def test_planted_in_a_step(change, words):
    with training(small()) as run:
        plant(run, change)
        with pytest.raises(Exception, match=words):
            run.step()


def test_moments_of_another_type_or_place_are_found():
    with training(small()) as run:
        run.step()
        state = next(iter(run.model.optimizers["G"].state.values()))
        whole = state["exp_avg"]
        for wrong in (whole.half(), whole.cpu()):
            state["exp_avg"] = wrong
            with pytest.raises(AssertionError, match="exp_avg of G's optimizer"):
                check_values(run.model, run.model.losses)


def test_images_of_another_type_are_found():
    with training(small()) as run:
        run.model.visuals = lambda: {"fake_B": run.model.fake_B.bfloat16()}
        with pytest.raises(AssertionError, match="image fake_B is torch.bfloat16"):
            run.step()


class Uneven:
    """Changes a loss in another way each time: a CUDA graph of one step would be wrong for the next."""

    def __init__(self):
        self.times = 0
        self.factor = torch.ones((), device=CUDA)

    def another_operation(self, loss: Tensor) -> Tensor:
        self.times += 1
        return loss.abs() if self.times % 2 else loss.neg()

    def another_shape(self, loss: Tensor) -> Tensor:
        self.times += 1
        return loss.repeat(self.times).mean()

    def another_number(self, loss: Tensor) -> Tensor:
        self.times += 1
        return loss * (1 / self.times)

    def another_tensor(self, loss: Tensor) -> Tensor:
        self.factor = self.factor * 2       # not in place: the next step reads other memory
        return loss * self.factor


@pytest.mark.parametrize("kind", ["another_operation", "another_shape", "another_number", "another_tensor"])
def test_steps_that_differ_are_found(kind):
    with training(small()) as run:
        plant(run, getattr(Uneven(), kind))
        with pytest.raises(AssertionError, match="two steps of one kind differ"):
            check_steps(CASE, run)


def test_what_changes_in_place_is_no_difference():
    with training(small()) as run:
        factor = torch.ones((), device=CUDA)
        plant(run, lambda loss: loss * factor.mul_(2))
        check_steps(CASE, run)


def test_a_case_that_became_even_is_found():
    with training(small()) as run, pytest.raises(AssertionError, match="no longer true is: the pool"):
        check_steps(CASE._replace(unlike="the pool"), run)


def test_records_of_other_lengths_differ():
    with training(small()) as run:
        whole, part = run.step(), run.step()
        part.sequence = whole.sequence[:-1]
        assert difference(whole, part) == f"{len(whole.sequence)} and {len(whole.sequence) - 1} operations"
