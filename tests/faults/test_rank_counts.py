"""A run is stopped on so many ranks and goes on with others, as if it had been one process all the time."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.faults.ranks import Ranks
from tests.faults.table import tally
from tests.faults.trainings import CUT, Training, rows_of

# Five epochs of a step; places for each image, an augmentation for D, a queue.
FLAGS = [*CUT, "--batch_size", "4", "--n_epochs_decay", "0", "--lr_policy", "constant", "--num_threads", "0",
         "--init_gain", "0.3", "--diffaugment", "color", "--nce_negatives", "both", "--nce_queue_size", "200"]


@pytest.mark.parametrize("more", [[], ["--accumulate", "2"]], ids=["whole", "in micro-batches"])
def test_one_two_four_one(more: list[str], images: Path, tmp_path: Path) -> None:
    """The same images, random numbers and counters; weights and losses but for float32's rounding.

    With micro-batches, four ranks take one image each, and the flag is 1 again.
    """
    whole = Training(tmp_path / "whole", images, [*FLAGS, "--n_epochs", "4"])
    assert whole.run().end() == 0
    training = Training(tmp_path / "changed", images, [*FLAGS, *more])
    with tally("resumed on 2, 4 and 1 ranks"):
        assert training.run("--n_epochs", "1").end() == 0
        for epochs, count in (("2", 2), ("3", 4)):
            parts = more if count == 2 else ["--accumulate", "1"]
            ranks = Ranks(training, "--n_epochs", epochs, *parts, count=count, resume=True)
            assert ranks.end() == [0] * count, ranks.said
        assert training.run("--n_epochs", "4", resume=True).end() == 0
    ours, theirs = (torch.load(t.folder / "latest_state.pth") for t in (training, whole))
    assert ours["progress"] == theirs["progress"]
    assert torch.equal(ours["random"]["torch"], theirs["random"]["torch"])
    for name, weights in weights_of(theirs).items():
        torch.testing.assert_close(weights_of(ours)[name], weights, rtol=1e-3, atol=1e-4)
    for row, right in zip(rows_of(training.folder), rows_of(whole.folder), strict=True):
        assert numbers(row) == pytest.approx(numbers(right), rel=1e-3, abs=1e-4)


def weights_of(state: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Biases before a norm have gradients of rounding alone, which Adam makes large."""
    return {f"{net}.{name}": x for net, tensors in state["model"]["networks"].items()
            for name, x in tensors.items() if name.endswith("weight")}


def numbers(row: dict[str, Any]) -> dict[str, float]:
    return {name: value for name, value in row.items()
            if isinstance(value, (int, float)) and "time" not in name and "second" not in name}
