"""A record of operations: how many there are, how large, on which memory, and where the host takes part."""

import traceback
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

ROOT = Path(__file__).parents[2]
aten = torch.ops.aten
# Views need no kernel: their outputs share an input's memory. These make memory and write nothing into it.
EMPTY = {aten.empty, aten.empty_like, aten.empty_strided, aten.new_empty, aten.new_empty_strided}
# Of a tensor that these change they read nothing.
WRITE_ONLY = {aten.copy_, aten.zero_, aten.fill_}


class Memories:
    """Numbers for the memory that tensors of several records share: the same number, the same memory."""

    def __init__(self):
        self.numbers: dict[int, str] = {}
        self._kept: list[Any] = []          # so that no address is used twice

    def name(self, x: Tensor) -> str:
        key = address(x)
        if key not in self.numbers:
            self.numbers[key] = f"earlier {len(self.numbers)}"
            self._kept.append(x.untyped_storage())
        return self.numbers[key]


class Record(TorchDispatchMode):
    """What runs within `with Record() as record`.

    launches: operations that launch at least one kernel. bytes: what they read and write, each tensor once an
    operation. flop: of convolutions, by dtype. crossings: operations with tensors of two devices and indexing
    by masks, which waits for the device, each with its line. sequence: an entry an operation: its name,
    numbers, and each tensor with the operation that made it or, where that was before, its memory's number.

    batch: tensors that come in; copying them to the device is no crossing. memories: shared by several
    records, so that their sequences can be compared. counts: the kind of device that is looked at.
    """

    def __init__(self, batch: Mapping[str, Any] | None = None, memories: Memories | None = None,
                 counts: str = "cuda"):
        super().__init__()
        self._counts = counts
        self.launches = self.bytes = 0
        self.flop: Counter[torch.dtype] = Counter()
        self.crossings: list[str] = []
        self.sequence: list[tuple] = []
        self._memories = memories or Memories()
        batch = {name: x for name, x in (batch or {}).items() if isinstance(x, Tensor)}
        self._batch = {address(x): name for name, x in batch.items()}
        self._names = dict(self._batch)         # of the memory made within, too
        self._kept: list[Tensor] = list(batch.values())

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func.namespace != "aten":
            return func(*args, **kwargs)
        if torch.is_inference_mode_enabled():       # operations come here before they are taken apart
            with self:
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        out = func(*args, **kwargs)
        self.add(func, args, kwargs, [x for x in tree_leaves(out) if isinstance(x, Tensor)])
        return out

    def add(self, func: torch._ops.OpOverload, args: tuple, kwargs: dict, outputs: list[Tensor]) -> None:
        leaves = tree_leaves((args, kwargs))
        inputs = [x for x in leaves if isinstance(x, Tensor)]
        arrives = func is aten._to_copy.default and address(inputs[0]) in self._batch
        if not arrives and (waits(func, args) or len({x.device for x in (*inputs, *outputs)}) > 1):
            self.crossings.append(f"{func} at {project_line()}")
        constants = tuple(repr(x) for x in leaves if not isinstance(x, Tensor))
        read = tuple(self.describe(x) for x in inputs)
        known = {address(x) for x in inputs}
        for x in outputs:
            if address(x) not in known:
                self._names[address(x)] = f"new {len(self._kept)}"
                self._kept.append(x)
        here = any(x.device.type == self._counts for x in (*inputs, *outputs))
        if here and launches_kernel(func, inputs, outputs):
            self.sequence.append((str(func), constants, read, tuple(self.describe(x) for x in outputs)))
            self.launches += 1
            self.bytes += traffic(func, args, kwargs, outputs)
            if func is aten.convolution.default:
                self.flop[args[0].dtype] += conv_flop(args[0], args[1], outputs[0], args[6])
            elif func is aten.convolution_backward.default:
                self.flop[args[0].dtype] += sum(args[10][:2]) * conv_flop(args[1], args[2], args[0], args[7])

    def sixteen_bits(self) -> float:
        """The part of the convolutions, by their operations, that is computed in 16 bits."""
        return sum(n for dtype, n in self.flop.items() if dtype.itemsize == 2) / sum(self.flop.values())

    def describe(self, x: Tensor) -> tuple:
        name = self._names.get(address(x)) or self._memories.name(x)
        return name, str(x.dtype), str(x.device), tuple(x.shape), x.stride(), x.storage_offset()


def difference(a: Record, b: Record) -> str | None:
    """The first thing in which two records' sequences differ; None where they are alike."""
    for i, (x, y) in enumerate(zip(a.sequence, b.sequence, strict=False)):
        if x != y:
            return f"operation {i}: {x} and {y}"
    if len(a.sequence) != len(b.sequence):
        return f"{len(a.sequence)} and {len(b.sequence)} operations"
    return None


def address(x: Tensor) -> int:
    """A number of the memory that a tensor lies in."""
    return x.untyped_storage()._cdata


def waits(func: torch._ops.OpOverload, args: tuple) -> bool:
    """Whether it is indexing by a mask: the host waits to learn how many places that are."""
    if func.overloadpacket not in (aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_):
        return False
    return any(i is not None and i.dtype in (torch.bool, torch.uint8) for i in args[1])


def launches_kernel(func: torch._ops.OpOverload, inputs: list[Tensor], outputs: list[Tensor]) -> bool:
    if func.overloadpacket in EMPTY or func is aten._local_scalar_dense.default:
        return False
    if func is aten.copy_.default and same_places(*inputs[:2]):     # `x[i] += y` ends in such a copy
        return False
    if any(a.alias_info is not None and a.alias_info.is_write for a in func._schema.arguments):
        return True
    known = {address(x) for x in inputs}
    return any(address(x) not in known for x in outputs)


def same_places(x: Tensor, y: Tensor) -> bool:
    """Whether two tensors are the same numbers in the same memory."""
    def where(x: Tensor) -> tuple:
        return address(x), x.storage_offset(), x.shape, x.stride(), x.dtype
    return where(x) == where(y)


def traffic(func: torch._ops.OpOverload, args: tuple, kwargs: dict, outputs: list[Tensor]) -> int:
    """Bytes read and written."""
    total = sum(size(x) for x, a in zip(outputs, func._schema.returns, strict=False) if a.alias_info is None)
    names = [a.name for a in func._schema.arguments]
    for argument in func._schema.arguments:
        i = names.index(argument.name)
        value = args[i] if i < len(args) else kwargs.get(argument.name)
        tensors = [x for x in tree_leaves(value) if isinstance(x, Tensor)]
        written = argument.alias_info is not None and argument.alias_info.is_write
        only = written and (argument.is_out or func.overloadpacket in WRITE_ONLY)
        total += sum(map(size, tensors)) * (written + (not only))
    return total


def size(x: Tensor) -> int:
    """Bytes of its elements; expanded ones count once."""
    elements = 1
    for length, stride in zip(x.shape, x.stride(), strict=True):
        elements *= length if stride else min(length, 1)
    return elements * x.element_size()


def conv_flop(x: Tensor, weight: Tensor, y: Tensor, transposed: bool) -> int:
    """Multiplications and additions of one convolution; both of its gradients take as many each."""
    places = (x if transposed else y).shape[2:].numel()
    return 2 * x.shape[0] * places * weight.numel()


def project_line() -> str:
    """The innermost lines of the project's own code that are running."""
    lines = [(Path(frame.filename), frame.lineno) for frame in traceback.extract_stack()]
    ours = [f"{path.relative_to(ROOT)}:{number}" for path, number in lines
            if path.is_relative_to(ROOT) and not {"dry_run", "site-packages"} & set(path.parts)]
    return " > ".join(ours[-2:]) or "a test"
