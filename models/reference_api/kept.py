"""What a reference file keeps from step to step beside its networks: found, saved, and put back."""

import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from util.image_pool import ImagePool

PLAIN = (bool, int, float, str, type(None))


class Unsaved(Exception):
    """A value that a checkpoint cannot hold."""


class Kept:
    """Attributes of an object that its constructor made and that have changed since: counters, queues,
    networks without an optimizer, pools of images.

    Those that have not changed are not saved, so that a resumed run may set them by other flags.
    """

    def __init__(self, owner: Any, names: Iterable[str]):
        self.owner = owner
        self.before = {name: fingerprint(content) for name, content in self._contents(names).items()}

    def _contents(self, names: Iterable[str]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name in names:
            try:
                found[name] = content_of(vars(self.owner)[name])
            except (Unsaved, KeyError):
                continue
        return found

    def state_dict(self) -> dict[str, Any]:
        return {name: content for name, content in self._contents(self.before).items()
                if fingerprint(content) != self.before[name]}

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Put saved values into the attributes; tensors go to the device."""
        for name, content in state.items():
            now = vars(self.owner)[name]
            if isinstance(now, ImagePool):
                now.load_state_dict(content, device)
            elif isinstance(now, (nn.Module, torch.optim.Optimizer)):
                now.load_state_dict(content)
            else:
                setattr(self.owner, name, on_device(content, device))


def content_of(value: Any) -> Any:
    """What a checkpoint holds of a value: numbers, texts, tensors without a graph, and containers of them.

    Raises Unsaved.
    """
    if isinstance(value, Tensor) and not value.requires_grad:
        return value
    if isinstance(value, (nn.Module, torch.optim.Optimizer, ImagePool)):
        return value.state_dict()
    if isinstance(value, PLAIN):
        return value
    if type(value) in (list, tuple):
        return type(value)(map(content_of, value))
    if type(value) is dict:
        return {key: content_of(part) for key, part in value.items()}
    raise Unsaved


def on_device(content: Any, device: torch.device) -> Any:
    """The same with its tensors on a device."""
    if isinstance(content, Tensor):
        return content.to(device)
    if type(content) in (list, tuple):
        return type(content)(on_device(part, device) for part in content)
    if type(content) is dict:
        return {key: on_device(part, device) for key, part in content.items()}
    return content


def fingerprint(content: Any) -> int:
    """A number that differs where contents do, but for one chance in 2**32."""
    if isinstance(content, Tensor):
        flat = content.detach().cpu().contiguous().flatten()
        return zlib.crc32(flat.view(torch.uint8).numpy().tobytes(), hash(content.shape) & 0xffffffff)
    if isinstance(content, (list, tuple)):
        return zlib.crc32(repr([fingerprint(part) for part in content]).encode())
    if isinstance(content, Mapping):
        return zlib.crc32(repr([(key, fingerprint(part)) for key, part in content.items()]).encode())
    return zlib.crc32(repr(content).encode())
