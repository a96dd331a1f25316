"""A minibatch that is divided over ranks, over micro-batches, or both, trains as the whole one does."""


import json
import subprocess
import sys
from typing import Any

import pytest
import torch

from tests.models.divided.cases import CASES
from tests.models.divided.training import ROOT, Ranks, largest_difference, train

Results = dict[tuple[str, int], dict[str, list[torch.Tensor]]]

BOTH = ("CUT, queue, minibatch negatives", "FastCUT", "CycleGAN, pools", "DistanceGAN, pool")
ON_FOUR = ("CUT", "CUT, batch norm", "GcGAN, pools", "DRIT")
MICRO = [name for name, case in CASES.items() if case.micro]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Ranks]:
    """Two ranks that train all cases, and then four that train some, begun beside this process's own."""
    folder = tmp_path_factory.mktemp("ranks")
    return {2: Ranks(2, [*((name, 1) for name in CASES), *((name, 2) for name in BOTH)], folder),
            4: Ranks(4, [(name, 1) for name in ON_FOUR], folder)}


@pytest.fixture(scope="module")
def whole(running: dict[int, Ranks]) -> dict[str, dict[str, list[torch.Tensor]]]:
    """What one rank finds on whole minibatches."""
    return {name: train(case) for name, case in CASES.items()}


@pytest.fixture(scope="module")
def on_two(running: dict[int, Ranks]) -> Results:
    return running[2].results()


@pytest.fixture(scope="module")
def on_four(running: dict[int, Ranks]) -> Results:
    return running[4].results()


def assert_alike(divided: dict[str, list[torch.Tensor]], whole: dict[str, list[torch.Tensor]]) -> None:
    """All is computed in float64, but shown losses are float32 where ranks share them."""
    assert largest_difference(divided["gradients"], whole["gradients"]) < 1e-8
    assert largest_difference(divided["weights"], whole["weights"]) < 1e-8
    assert largest_difference(divided["losses"], whole["losses"]) < 1e-6
    assert largest_difference(divided["kept"], whole["kept"]) < 1e-6


@pytest.mark.parametrize("name", MICRO)
def test_micro_batches(name, whole):
    assert_alike(train(CASES[name], accumulate=2), whole[name])


def test_four_micro_batches(whole):
    assert_alike(train(CASES["CUT"], accumulate=4), whole["CUT"])


@pytest.mark.parametrize("name", CASES)
def test_two_ranks(name, whole, on_two):
    assert_alike(on_two[name, 1], whole[name])


@pytest.mark.parametrize("name", BOTH)
def test_two_ranks_with_two_micro_batches(name, whole, on_two):
    assert_alike(on_two[name, 2], whole[name])


@pytest.mark.parametrize("name", ON_FOUR)
def test_four_ranks(name, whole, on_four):
    assert_alike(on_four[name, 1], whole[name])


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("facts")
    command = [sys.executable, "-m", "tests.models.divided.facts", str(folder / "store"), str(folder / "out")]
    processes = [subprocess.Popen([*command, rank], cwd=ROOT) for rank in "01"]
    assert [process.wait() for process in processes] == [0, 0]
    return json.loads((folder / "out").read_text())


def test_ranks_agree_whatever_steps_the_networks(facts):
    """BaseModel.update, a model's own calls of Precision, and a file of the reference's form."""
    assert facts["a_model_that_updates"] == "agree"
    assert facts["a_model_that_steps_by_itself"] == "agree"
    assert facts["a_model_of_the_reference_form"] == "agree"


@pytest.mark.skipif(sys.platform != "linux", reason="names of threads are read from /proc")
def test_nothing_outlives_the_group(facts):
    """A thread that is left over can abort the program while Python ends."""
    assert facts["threads_of_the_group"]
    assert facts["threads_left"] == []


def test_networks_that_differ_end_the_run_on_both_ranks(facts):
    line = "the weights of network G are not the same on all ranks"
    assert facts["a_model_that_forgets"][0] == "ranks that say so: 2"
    for said in (facts["a_model_that_forgets"][1], *facts["one_bit"]):
        assert said.startswith(line) and "\n" not in said


def test_shown_losses_are_means_over_ranks(facts):
    shown, alone = facts["losses_are_means"]
    assert shown == pytest.approx([sum(alone) / 2] * 2, rel=1e-5)
    assert alone[0] != pytest.approx(alone[1], rel=1e-2)


def test_an_overflow_on_one_rank_is_one_on_all(facts):
    """fp16 starts with a scale of 65536, and halves it."""
    scale, highest, stayed, any_moved = facts["an_overflow_on_one_rank"]
    assert (scale, highest, stayed, any_moved) == (32768, 32768, 1, 0)


def test_batch_norm_over_ranks_is_that_of_the_whole_minibatch(facts):
    assert max(facts["batch_norm"]) < 1e-12


def test_the_comparison_sees_a_difference(whole):
    """Gradients and weights of other steps do not pass for equal, nor do cases that all learn nothing."""
    for name, found in whole.items():
        first, *_, last = [g for g in found["gradients"] if g.shape == found["gradients"][0].shape]
        assert largest_difference([first], [last]) > 1e-4, name
