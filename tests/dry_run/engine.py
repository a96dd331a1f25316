"""Backward passes in Python: torch's own engine asks the driver for streams, and dies where there is no GPU.

The same order, casts and checks as torch's (test_engine.py compares the two on a CPU). Hooks are not called,
and saved tensors are not freed.
"""

import itertools
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.autograd.graph import Node
from torch.utils._python_dispatch import TorchDispatchMode

LEAF = "torch::autograd::AccumulateGrad"
_passes = itertools.count(1)
_current = [-1]


def current_pass() -> int:
    """The number of the backward pass under way, -1 outside of any: checkpointed layers ask for it."""
    return _current[-1]


def backward(tensors: Tensor | Sequence[Tensor], grad_tensors: Tensor | Sequence[Tensor | None] | None = None,
             retain_graph: bool | None = None, create_graph: bool = False, grad_variables: None = None,
             inputs: Tensor | Sequence[Tensor] | None = None) -> None:
    """In place of torch.autograd.backward. inputs: leaves alone."""
    wanted = None if inputs is None else [_edge(x)[0] for x in _several(inputs)]
    run(_several(tensors), grad_tensors, wanted, create_graph)


def grad(outputs: Tensor | Sequence[Tensor], inputs: Tensor | Sequence[Tensor],
         grad_outputs: Tensor | Sequence[Tensor | None] | None = None, retain_graph: bool | None = None,
         create_graph: bool = False, allow_unused: bool | None = None) -> tuple[Tensor | None, ...]:
    """In place of torch.autograd.grad."""
    edges = [_edge(x) for x in _several(inputs)]
    arrived = run(_several(outputs), grad_outputs, [node for node, _ in edges], create_graph, stop=True)
    found = tuple(arrived[node][number] if node in arrived else None for node, number in edges)
    if not allow_unused and None in found:
        raise RuntimeError("an input was not used in the outputs' graph; see allow_unused")
    return found


def run(outputs: Sequence[Tensor], gradients: Tensor | Sequence[Tensor | None] | None,
        wanted: Sequence[Node] | None, create_graph: bool, stop: bool = False) -> dict[Node, list]:
    """One pass from the outputs to the wanted nodes (None: to all leaves).

    stop: what arrives at the wanted nodes is returned and goes no further; else leaves keep it as .grad.
    """
    gradients = [None] * len(outputs) if gradients is None else _several(gradients)
    order = _nodes(_edge(x)[0] for x in outputs)
    useful = _leading_to(set(order if wanted is None else wanted), order)
    buffers: dict[Node, list[Tensor | None]] = {}
    arrived: dict[Node, list[Tensor | None]] = {}
    _current.append(next(_passes))
    try:
        with torch.set_grad_enabled(create_graph):
            for x, gradient in zip(outputs, gradients, strict=True):
                _add(buffers, *_edge(x), _fitting(torch.ones_like(x) if gradient is None else gradient,
                                                  *_edge(x)))
            for node in order:
                if node not in useful or node not in buffers:
                    continue
                grads = buffers.pop(node)
                if stop and node in wanted:
                    arrived[node] = grads
                    if not any(child in useful for child, _ in node.next_functions):
                        continue
                if node.name() == LEAF:
                    _accumulate(node.variable, grads[0])
                    continue
                results = _call(node, grads, useful)
                # As torch does: first all are made to fit, then they are handed on.
                ready = [(child, number, _fitting(r, child, number))
                         for r, (child, number) in zip(results, node.next_functions, strict=False)
                         if r is not None and child in useful]
                for child, number, r in ready:
                    _add(buffers, child, number, r)
    finally:
        _current.pop()
    return arrived


def _several(x: Tensor | Iterable) -> list:
    return [x] if isinstance(x, Tensor) else list(x)


def _edge(x: Tensor) -> tuple[Node, int]:
    return tuple(torch.autograd.graph.get_gradient_edge(x))[:2]


def _nodes(roots: Iterable[Node]) -> list[Node]:
    """All nodes behind the roots: a node before those that it leads to, which are older, and leaves last."""
    todo, found = list(roots), {}       # a dict, unlike a set, keeps one order for equal graphs
    while todo:
        node = todo.pop()
        if node not in found:
            found[node] = None
            todo += [child for child, _ in node.next_functions if child is not None]
    return sorted(found, key=lambda node: -1 if node.name() == LEAF else node._sequence_nr(), reverse=True)


def _leading_to(wanted: set[Node], order: Sequence[Node]) -> set[Node]:
    """The wanted nodes and those of which a gradient reaches one."""
    useful: set[Node] = set()
    for node in reversed(order):
        if node in wanted or any(child in useful for child, _ in node.next_functions):
            useful.add(node)
    return useful


def _call(node: Node, grads: Sequence[Tensor | None], useful: set[Node]) -> tuple[Tensor | None, ...]:
    call = node.apply if isinstance(node, torch.autograd.function.BackwardCFunction) else node
    needed = [child in useful for child, _ in node.next_functions]
    if all(needed) or "BackwardBackward" in node.name():
        results = call(*grads)
    else:
        with Masked(needed):
            results = call(*grads)
    return results if isinstance(results, tuple) else (results,)


class Masked(TorchDispatchMode):
    """Lets no operation compute gradients that nobody needs, where it takes a mask for that."""

    def __init__(self, needed: Sequence[bool]):
        super().__init__()
        self.needed = needed

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        for i, argument in enumerate(func._schema.arguments):
            if argument.name == "output_mask":
                mask = [a and b for a, b in itertools.zip_longest(args[i], self.needed, fillvalue=False)]
                args = (*args[:i], mask[:len(args[i])], *args[i + 1:])
        return func(*args, **(kwargs or {}))


def _fitting(gradient: Tensor, node: Node, number: int) -> Tensor:
    """A gradient in the shape and type of what it belongs to. Raises RuntimeError for another device."""
    meta = node._input_metadata[number]
    if gradient.device != meta.device:
        raise RuntimeError(f"{node.name()} got a gradient on {gradient.device}, expected {meta.device}")
    if tuple(gradient.shape) != tuple(meta.shape):
        gradient = gradient.sum_to_size(meta.shape)
    return gradient if gradient.dtype == meta.dtype else gradient.to(meta.dtype)


def _add(buffers: dict[Node, list], node: Node, number: int, gradient: Tensor) -> None:
    slots = buffers.setdefault(node, [None] * len(node._input_metadata))
    slots[number] = gradient if slots[number] is None else slots[number] + gradient


def _accumulate(leaf: Tensor, gradient: Tensor) -> None:
    """As torch does: a gradient in the leaf's memory order is kept, another copied; a second one is added."""
    if leaf.grad is None:
        strides = zip(leaf.shape, leaf.stride(), gradient.stride(), strict=True)
        like = not gradient.requires_grad and all(a == b or length == 1 for length, a, b in strides)
        leaf.grad = gradient.detach() if like else torch.empty_like(leaf).copy_(gradient)
    elif torch.is_grad_enabled():
        leaf.grad = leaf.grad + gradient
    else:
        leaf.grad += gradient
