"""The tensors in a nested state."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor


def tensors(content: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Every tensor within dicts, lists and tuples, with its keys joined by dots."""
    if isinstance(content, Tensor):
        yield name, content
        return
    items = content.items() if isinstance(content, Mapping) else enumerate(content) \
        if isinstance(content, (list, tuple)) else ()
    for key, value in items:
        yield from tensors(value, f"{name}.{key}" if name else str(key))


def size_in_bytes(content: Any) -> int:
    return sum(tensor.numel() * tensor.element_size() for _, tensor in tensors(content))


def first_nonfinite(content: Any) -> str | None:
    """The name of the first tensor that holds NaN or an infinity; None where all numbers are finite.

    One wait for each device, however many tensors it holds.
    """
    floating = [(name, t) for name, t in tensors(content) if t.is_floating_point() and t.numel()]
    by_device: dict[torch.device, list[tuple[str, Tensor]]] = {}
    for name, tensor in floating:
        by_device.setdefault(tensor.device, []).append((name, tensor))
    for members in by_device.values():
        finite = torch.stack([torch.isfinite(tensor).all() for _, tensor in members]).tolist()
        if not all(finite):
            return members[finite.index(False)][0]
    return None
