"""The processes that train one model together: who this one is, and how they share numbers.

A rank is one such process, with a device of its own. Alone, a program is rank 0 of 1 and nothing here
communicates. The ranks' random number generators stay equal: what differs by image is drawn for the whole
minibatch, and each rank takes its share (`share`).
"""

import json
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

if dist.is_available():
    # Its defaults hold the group that exists when it is imported, as torch does by itself at an optimizer's
    # first step. Held so, the group outlives destroy_process_group, and a thread of gloo that frees a tensor
    # while Python ends aborts the program: "terminate called without an active exception".
    import torch.distributed.nn  # noqa: F401


def active() -> bool:
    """Whether several processes have joined."""
    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    """This process's number, from 0."""
    return dist.get_rank() if active() else 0


def world_size() -> int:
    """How many processes there are."""
    return dist.get_world_size() if active() else 1


def is_main() -> bool:
    """Whether this is the rank that prints, logs, locks and saves."""
    return rank() == 0


def share(images: int) -> slice:
    """This rank's part of a minibatch of so many images over all ranks, which divide it evenly."""
    part = images // world_size()
    return slice(rank() * part, (rank() + 1) * part)


def average(tensors: Sequence[Tensor]) -> None:
    """Put the mean over the ranks in the place of each tensor, which has the same shape on all of them.

    It is computed in float32 at least, in one message.
    """
    if not active() or not tensors:
        return
    dtype = reduce(torch.promote_types, [tensor.dtype for tensor in tensors], torch.float32)
    flat = torch.cat([tensor.detach().reshape(-1).to(dtype) for tensor in tensors])
    dist.all_reduce(flat)
    flat /= world_size()
    parts = flat.split([tensor.numel() for tensor in tensors])
    torch._foreach_copy_([tensor.detach() for tensor in tensors],
                         [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)])


def gather(tensor: Tensor) -> Tensor:
    """The ranks' tensors [B, ...], of the same shape, one behind the other: [ranks * B, ...]; no gradient."""
    if not active():
        return tensor
    parts = [torch.empty_like(tensor, memory_format=torch.contiguous_format) for _ in range(world_size())]
    dist.all_gather(parts, tensor.detach().contiguous())
    return torch.cat(parts)


def highest(number: float, device: torch.device | None = None) -> float:
    """The greatest of the ranks' numbers: how they agree on a stop, an error or a count."""
    if not active():
        return number
    return float(highest_of(torch.tensor(float(number), dtype=torch.float64, device=device)))


def highest_of(tensor: Tensor) -> Tensor:
    """The greatest of the ranks' numbers at each place of a tensor, of one shape on all of them."""
    if not active():
        return tensor
    held = tensor.clone()
    dist.all_reduce(held, dist.ReduceOp.MAX)
    return held


def total(number: int) -> int:
    """The sum of the ranks' numbers; it waits for all of them."""
    if not active():
        return number
    held = torch.tensor(number)
    dist.all_reduce(held)
    return int(held)


def wait_for_all() -> None:
    """Return once every rank has come here."""
    highest(0)


def gather_texts(text: str) -> list[str]:
    """The ranks' texts, of any lengths, in the ranks' order."""
    if not active():
        return [text]
    data = torch.tensor(list(text.encode()), dtype=torch.uint8)
    sizes = gather(torch.tensor([len(data)])).tolist()
    padded = torch.zeros(max(1, *sizes), dtype=torch.uint8)
    padded[:len(data)] = data
    rows = gather(padded[None]).numpy()
    return [rows[number, :size].tobytes().decode() for number, size in enumerate(sizes)]


def from_main(value: Any) -> Any:
    """Rank 0's value, which JSON can hold, on every rank."""
    return json.loads(gather_texts(json.dumps(value if is_main() else None))[0]) if active() else value


def part(count: int) -> slice:
    """This rank's run of so many things, all but equally long on all ranks."""
    bounds = [count * number // world_size() for number in (rank(), rank() + 1)]
    return slice(*bounds)


def collect(images: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """On rank 0 the images, of any sizes and types, of all ranks in the ranks' order; {} on the others."""
    found = dict(images) if is_main() else {}
    if not active():
        return found
    kinds = gather_texts(json.dumps([(name, pixels.shape, str(pixels.dtype))
                                     for name, pixels in images.items()]))
    for sender in range(1, world_size()):
        for name, shape, dtype in json.loads(kinds[sender]):
            if rank() == sender:
                dist.send(torch.from_numpy(np.ascontiguousarray(images[name])), dst=0)
            elif is_main():
                found[name] = np.empty(shape, dtype)
                dist.recv(torch.from_numpy(found[name]), src=sender)
    return found
