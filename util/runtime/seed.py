"""Seed every random number generator, and save and restore their states.

These are the generators of torch (CPU, and CUDA once in use), Python's random, and NumPy's global one.
"""

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor

State = dict[str, Any]


def seed_everything(seed: int) -> None:
    """Seed every generator. seed: 0 to 2**32 - 1, NumPy's range; raises ValueError outside."""
    if not 0 <= seed < 2**32:
        raise ValueError(f"--seed is {seed}; choose 0 to {2**32 - 1}")
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def random_state() -> State:
    """Every generator's state as tensors, numbers and None: torch.load reads it with weights_only=True."""
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()
    assert name == "MT19937", name
    cuda = range(torch.cuda.device_count() if torch.cuda.is_initialized() else 0)
    return {
        "torch": torch.get_rng_state(),
        "cuda": [torch.cuda.get_rng_state(device) for device in cuda],
        "cuda_device": torch.cuda.current_device() if cuda else 0,
        "python": {"version": version, "words": torch.tensor(words), "gauss": gauss},
        "numpy": {"keys": torch.tensor(keys.astype(np.int64)), "position": int(position),
                  "has_gauss": int(has_gauss), "cached": float(cached)},
    }


def set_random_state(state: State) -> None:
    """Restore what random_state gave. States of GPUs that this machine lacks are left out.

    The current GPU gets the state of the one that was current then, be it another of several ranks'.
    """
    torch.set_rng_state(state["torch"].cpu())
    for device, of_device in zip(range(torch.cuda.device_count()), state["cuda"], strict=False):
        torch.cuda.set_rng_state(of_device.cpu(), device)
    if torch.cuda.is_available() and state["cuda"] and "cuda_device" in state:
        torch.cuda.set_rng_state(state["cuda"][state["cuda_device"]].cpu())
    python, of_numpy = state["python"], state["numpy"]
    random.setstate((python["version"], tuple(_numbers(python["words"])), python["gauss"]))
    keys = np.array(_numbers(of_numpy["keys"]), dtype=np.uint32)
    np.random.set_state(("MT19937", keys, of_numpy["position"], of_numpy["has_gauss"], of_numpy["cached"]))


def equal_states(one: State, other: State) -> bool:
    """Whether no number of torch, on any device, was drawn between two calls of random_state."""
    pairs = zip([one["torch"], *one["cuda"]], [other["torch"], *other["cuda"]], strict=True)
    return all(torch.equal(*pair) for pair in pairs)


def _numbers(tensor: Tensor) -> list[int]:
    return tensor.cpu().tolist()
