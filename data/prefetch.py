"""Minibatches copied to a GPU beside its computing."""

from typing import Any

import torch
from torch import Tensor


class DeviceCopier:
    """Copies minibatches to a device on a stream of its own.

    The host runs ahead of a GPU, so the next minibatch is copied while the GPU still computes on the one
    before. For pinned tensors, whose copy does not hold the host. On a CPU they pass as they are.
    """

    def __init__(self, device: torch.device):
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The minibatch with its tensors on the device; what is computed from now on waits for the copy."""
        if self._stream is None:
            return batch
        computing = torch.cuda.current_stream(self._device)
        with torch.cuda.stream(self._stream):
            batch = {key: value.to(self._device, non_blocking=True) if isinstance(value, Tensor) else value
                     for key, value in batch.items()}
        computing.wait_stream(self._stream)
        for value in batch.values():
            if isinstance(value, Tensor):
                value.record_stream(computing)    # its memory is not used again before the computing is done
        return batch
