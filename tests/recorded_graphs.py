"""CUDA graphs without CUDA: a step's operations are written down, and carried out again on the same tensors.

As in a CUDA graph, nothing of Python happens again, neither the model's code nor autograd's; numbers of the
host are those of the capture; results lie where the capture put them.
"""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

T = TypeVar("T")
aten = torch.ops.aten
READS = (aten._local_scalar_dense.default, aten.nonzero.default, aten.equal.default)    # make the host wait


def memory(x: Tensor) -> int:
    """A number of the memory that a tensor lies in."""
    return x.untyped_storage()._cdata


class Recording(TorchDispatchMode):
    """The operations within `with Recording() as recording`, in order.

    sequence: of each operation its name, the host's numbers, and of every tensor where it lies, its dtype,
    shape, strides and offset. Memory from before has a number that is its own; memory made within is counted.
    Recordings that are to be compared must be kept together: only then no memory is used twice.
    """

    def __init__(self):
        super().__init__()
        self.calls: list[tuple] = []
        self.sequence: list[tuple] = []
        self._made: dict[int, str] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func.namespace != "aten":        # marks of the profiler
            return func(*args, **kwargs)
        if func in READS:
            raise RuntimeError(f"the host reads the device ({func})")
        leaves = tree_leaves((args, kwargs))
        out = func(*args, **kwargs)
        read = [self.place(x) if isinstance(x, Tensor) else repr(x) for x in leaves]
        known = {memory(x) for x in leaves if isinstance(x, Tensor)}
        outputs = [x for x in tree_leaves(out) if isinstance(x, Tensor)]
        for x in outputs:
            if memory(x) not in known:
                self._made.setdefault(memory(x), f"new {len(self._made)}")
        self.calls.append((func, args, kwargs, outputs))
        self.sequence.append((str(func), *read, *map(self.place, outputs)))
        return out

    def place(self, x: Tensor) -> tuple:
        return (self._made.get(memory(x), memory(x)), x.dtype, x.device, tuple(x.shape), x.stride(),
                x.storage_offset())

    @torch.no_grad()
    def replay(self) -> None:
        """Carry out the operations again, from the tensors of the recording and into them."""
        for func, args, kwargs, outputs in self.calls:
            again = [x for x in tree_leaves(func(*args, **kwargs)) if isinstance(x, Tensor)]
            for old, new in zip(outputs, again, strict=True):
                if memory(old) != memory(new):      # else it is a view, or was changed in place
                    old.copy_(new)


class RecordedGraphs:
    """In place of CudaGraphs (models/execution/graphed_step.py). captures: what was captured so far;
    replays: how often.
    """

    def __init__(self):
        self.captures: list[Recording] = []
        self.replays = 0

    def run(self, step: Callable[[], T]) -> T:
        return step()

    def capture(self, step: Callable[[], T]) -> tuple[Callable[[], None], T]:
        with Recording() as recording:
            result = step()
        self.captures.append(recording)
        done = [True]       # recording has carried out the step already

        def launch() -> None:
            self.replays += 1
            if not done:
                recording.replay()
            done.clear()
        return launch, result
