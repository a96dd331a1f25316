import random

import numpy as np
import pytest
import torch

from util.runtime.seed import random_state, seed_everything, set_random_state


def draw() -> list[float]:
    # gauss() and normal() keep a second number back, which is part of the state.
    numbers = [random.random(), random.gauss(0, 1), np.random.rand(), np.random.normal(),
               torch.rand(()).item()]
    if torch.cuda.is_available():
        numbers.append(torch.rand((), device="cuda").item())
    return numbers


def test_one_seed_decides_every_generator():
    seed_everything(7)
    first = draw()
    seed_everything(7)
    assert draw() == first
    seed_everything(8)
    assert all(a != b for a, b in zip(first, draw(), strict=True))


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_seed_out_of_range_names_the_flag(seed):
    with pytest.raises(ValueError, match="--seed"):
        seed_everything(seed)


def test_state_comes_back_from_a_file_without_running_code(tmp_path):
    seed_everything(1)
    draw()
    torch.save(random_state(), tmp_path / "state.pth")
    expected = [draw() for _ in range(3)]
    draw()
    set_random_state(torch.load(tmp_path / "state.pth", weights_only=True))
    assert [draw() for _ in range(3)] == expected


def test_state_of_a_gpu_that_is_not_here_is_left_out():
    state = random_state()
    expected = draw()
    state["cuda"] = state["cuda"] + [torch.zeros(16, dtype=torch.uint8)] * (torch.cuda.device_count() == 0)
    set_random_state(state)
    assert draw() == expected
