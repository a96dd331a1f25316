"""The same minibatch, wherever it is copied to."""

import pytest
import torch

from data.prefetch import DeviceCopier


def batch(value: float) -> dict:
    return {"A": torch.full((2, 3, 8, 8), value), "A_paths": [str(value)]}


def test_a_cpu_gets_the_very_same():
    given = batch(1)
    assert DeviceCopier(torch.device("cpu"))(given) is given


@pytest.mark.cuda
def test_a_gpu_gets_equal_ones():
    copy = DeviceCopier(torch.device("cuda"))
    for i in range(5):
        pinned = {**batch(i), "A": batch(i)["A"].pin_memory()}
        got = copy(pinned)
        assert got["A"].is_cuda and torch.equal(got["A"].cpu(), pinned["A"])
        assert got["A_paths"] == pinned["A_paths"]
