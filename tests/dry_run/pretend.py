"""A GPU that is not there: tensors on cuda:0 with shapes, types and strides, but without numbers.

torch's FakeTensorMode refuses what a GPU would refuse (tensors of two devices in one operation) and what a
step must not do (let the host read a device's number). It needs a build of torch for CUDA, and no driver.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import cycle
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.dry_run import engine

CUDA = torch.device("cuda:0")
NEEDS = "needs a build of torch for CUDA (a GPU it does not need)"
aten = torch.ops.aten


def possible() -> bool:
    """Whether this build of torch knows CUDA; one without ends the process at the first such tensor."""
    return torch.version.cuda is not None


class Gpu(FakeTensorMode):
    """The mode in which tensors carry no numbers, but for what the host draws for itself.

    draws: in [0, 1), the numbers that torch.rand(()) and torch.randint(n, ()) on the CPU give, in turns.
    may_read: whether the host may read a number of the device, which is then a 1.
    """

    def __init__(self, draws: tuple[float, ...]):
        super().__init__()
        self.draws = cycle(draws)
        self.may_read = True

    def __deepcopy__(self, memo: dict) -> "Gpu":
        return self         # a network's copy belongs to the same mode

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is aten.rand.default and not args[0] and on_host(kwargs):
            return self._known(next(self.draws))
        if func is aten.randint.default and not args[1] and on_host(kwargs):
            return self._known(int(next(self.draws) * args[0]))
        if func is aten._local_scalar_dense.default and self.may_read and args[0].constant is None:
            return torch.ones((), dtype=args[0].dtype).item()
        return super().__torch_dispatch__(func, types, args, kwargs)

    def _known(self, number: float) -> Tensor:
        with self:
            return torch.tensor(number)

    @contextmanager
    def reading_nothing(self) -> Iterator[None]:
        """Within it, a read of the device's numbers raises DataDependentOutputException."""
        before, self.may_read = self.may_read, False
        try:
            yield
        finally:
            self.may_read = before


def on_host(kwargs: dict | None) -> bool:
    return torch.device((kwargs or {}).get("device") or "cpu").type == "cpu"


def move(net: nn.Module, device: torch.device) -> nn.Module:
    """In place of nn.Module.to, which swaps tensors; those without numbers refuse that."""
    for module in net.modules():
        for name, value in module._parameters.items():
            if value is not None:
                module._parameters[name] = nn.Parameter(value.detach().to(device), value.requires_grad)
        for name, value in module._buffers.items():
            if value is not None:
                module._buffers[name] = value.to(device)
    return net


def conv_backend(*args: Any, **kwargs: Any) -> torch._C._ConvBackend:
    """In place of torch's choice, which without a driver holds that cuDNN does not know bfloat16.

    Its results would then lie in the usual order, whatever that of the input.
    """
    kinds = torch._C._ConvBackend
    backend = plain_conv_backend(*args, **kwargs)
    return {kinds.Slow2d: kinds.Cudnn, kinds.SlowTranspose2d: kinds.CudnnTranspose}.get(backend, backend)


plain_conv_backend = torch._C._select_conv_backend
# What stands in for something of torch while tensors are pretended.
STAND_INS: list[tuple[Any, str, Callable]] = [
    (torch.autograd, "backward", engine.backward),
    (torch.autograd, "grad", engine.grad),
    (torch._C, "_current_graph_task_id", engine.current_pass),
    (torch._C, "_select_conv_backend", conv_backend),
    (nn.Module, "to", move),
    (torch.cuda.amp.common, "amp_definitely_not_available", lambda: False),
    (torch.cuda, "is_bf16_supported", lambda *_, **__: True),
    (torch.cuda, "mem_get_info", lambda *_: (80 * 10**9, 80 * 10**9)),
]
# The same while options are read.
A_GPU: list[tuple[Any, str, Callable]] = [
    (torch.cuda, "is_available", lambda: True),
    (torch.cuda, "device_count", lambda: 1),
    (torch.cuda, "get_device_capability", lambda *_: (9, 0)),
    (torch.cuda, "set_device", lambda device: None),
]


@contextmanager
def standing_in(things: list[tuple[Any, str, Callable]]) -> Iterator[None]:
    with ExitStack() as stack:
        for owner, name, value in things:
            stack.enter_context(patch.object(owner, name, value))
        yield


@contextmanager
def pretend_cuda(draws: tuple[float, ...] = (0.9,)) -> Iterator[Gpu]:
    """Within it, tensors carry no numbers, and cuda:0 works like a GPU. draws: see Gpu."""
    tf32 = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    try:
        with standing_in(STAND_INS), Gpu(draws) as gpu:
            yield gpu
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = tf32
