"""The training step as one CUDA graph (--cuda_graph): launched at once, not kernel by kernel.

A graph repeats operations on memory, and nothing of Python. So that it can stand for a step,

- the host makes its choices before (BaseModel.draw_choices); each set of choices and shapes has its graph,
- a minibatch is copied to where the graph reads it, and learning rates lie on the device,
- what lasts from step to step (weights, moments, fp16's scale, SinCUT's latest R1) is changed in place.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor
from torch.optim import Optimizer

from models.precision import Precision
from util.console import say
from util.distributed import ranks

T = TypeVar("T")
Batch = Mapping[str, Any]

WARM_UP = 3         # eager steps of a kind before its capture: optimizers and libraries make what they keep
MOST_KINDS = 8      # a graph keeps the memory of its step's results; rarer kinds run eagerly


class Model(Protocol):
    """What a GraphedStep needs of a model; models.base_model.BaseModel is one."""

    device: torch.device
    precision: Precision
    optimizers: dict[str, Optimizer]

    def eager_step(self, batch: Batch) -> dict[str, Tensor]: ...


class Graphs(Protocol):
    """A maker of graphs; CudaGraphs is one."""

    def run(self, step: Callable[[], T]) -> T:
        """step(), where captures will take place."""

    def capture(self, step: Callable[[], T]) -> tuple[Callable[[], None], T]:
        """A function that does what `step` does on the device, and what `step` returned.

        Nothing is done yet: what was returned gets its numbers from each call of the function.
        """


@dataclass
class Kind:
    """Steps with the same choices of the host and the same shapes.

    batch: where the step reads its minibatch. warm_ups: eager steps so far. launch: the step as a graph, once
    it is captured; then `losses`, [n], are those named `names`, and `left` is what the step leaves behind as
    attributes of the model.
    """

    batch: dict[str, Any]
    warm_ups: int = 0
    launch: Callable[[], None] | None = None
    names: tuple[str, ...] = ()
    losses: Tensor | None = None
    left: dict[str, Any] = field(default_factory=dict)

    def take(self, batch: Batch) -> None:
        for name, value in batch.items():
            if isinstance(value, Tensor):
                self.batch[name].copy_(value, non_blocking=True)
            else:
                self.batch[name] = value        # such as paths


class GraphedStep:
    """A model's eager_step, as a graph from the fourth step of a kind on.

    Where a capture fails, one line says so and every step is eager from then on.
    """

    def __init__(self, model: Model, graphs: Graphs):
        self.model, self.graphs = model, graphs
        self.rates = DeviceRates(model.optimizers.values(), model.device)
        self.kinds: dict[Hashable, Kind] = {}
        self.failed = False

    def __call__(self, batch: Batch, choices: Hashable) -> dict[str, Tensor]:
        """One step. Returns the losses in tensors of this step alone."""
        kind = None if self.failed else self.kind(batch, choices)
        if kind is None:
            return self.model.eager_step(batch)
        kind.take(batch)
        self.rates.fill()
        if kind.launch is None and kind.warm_ups < WARM_UP:
            kind.warm_ups += 1
            with self.rates.in_use():
                return self.graphs.run(lambda: self.model.eager_step(kind.batch))
        if kind.launch is None and not self.capture(kind):
            return self.model.eager_step(batch)
        kind.launch()
        vars(self.model).update(kind.left)
        return dict(zip(kind.names, kind.losses.clone().unbind(), strict=True))

    def kind(self, batch: Batch, choices: Hashable) -> Kind | None:
        """The kind of this step, None for one beyond MOST_KINDS."""
        tensors = {name: x for name, x in batch.items() if isinstance(x, Tensor)}
        key = choices, tuple((name, x.shape, x.dtype) for name, x in tensors.items())
        if key not in self.kinds and len(self.kinds) < MOST_KINDS:
            places = {name: torch.empty_like(x, device=self.model.device) for name, x in tensors.items()}
            self.kinds[key] = Kind(places)
            if len(self.kinds) == MOST_KINDS:
                say(f"--cuda_graph: these are {MOST_KINDS} kinds of steps by now; further ones, such as "
                    "those on images of other sizes, run without a graph")
        return self.kinds.get(key)

    def capture(self, kind: Kind) -> bool:
        """Capture a step of this kind. Returns whether it could be; if not, nothing has changed."""
        owners = (self.model, *self.model.optimizers.values())
        before = [dict(vars(owner)) for owner in owners]
        try:
            with self.rates.in_use():
                kind.launch, (kind.names, kind.losses) = self.graphs.capture(lambda: self.step(kind))
        except Exception as error:
            for owner, attributes in zip(owners, before, strict=True):
                vars(owner).clear()
                vars(owner).update(attributes)
            self.give_up(error)
            return False
        # Tensors in any case: the last step, of another kind or not, may have left the very same ones.
        left = {name: value for name, value in vars(self.model).items()
                if isinstance(value, Tensor) or value is not before[0].get(name)}
        kind.left = {name: value.detach() if isinstance(value, Tensor) and value.grad_fn else value
                     for name, value in left.items()}
        return True

    def step(self, kind: Kind) -> tuple[tuple[str, ...], Tensor]:
        """The names of the losses, and the losses in one tensor, so that one copy takes them out."""
        losses = self.model.eager_step(kind.batch)
        return tuple(losses), torch.stack(list(losses.values()))

    def give_up(self, error: BaseException) -> None:
        """Go on without graphs, after a capture that broke off in the middle of a step."""
        while error.__context__ is not None:        # the end of a broken capture raises an error of its own
            error = error.__context__
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        say(f"--cuda_graph: the steps run without a graph from here on, capturing one failed ({reason})")
        self.failed = True
        self.forget()
        self.model.precision.forget_step()
        for optimizer in self.model.optimizers.values():
            optimizer.zero_grad(set_to_none=True)

    def forget(self) -> None:
        """Drop all graphs: to be called when tensors that a step changes were replaced by others."""
        self.kinds.clear()


def graph_for(model: Any) -> GraphedStep | None:
    """A graph for a model's steps; None, and a line that says why, where there can be none."""
    obstacle = model.graph_obstacle()
    if model.device.type != "cuda":
        obstacle = f"the device is {model.device}"
    elif "graph_obstacle" not in vars(type(model)):
        obstacle = f"{type(model).__name__} does not say whether its step fits one: see docs/plugins.md"
    elif ranks.world_size() > 1:
        obstacle = "several ranks share their gradients, which NCCL would have to do within the graph"
    elif model.micro_batches:
        obstacle = "--accumulate breaks a step off and runs it again"
    if not obstacle:
        return GraphedStep(model, CudaGraphs(model.device))
    say(f"--cuda_graph: the steps run without a graph, {obstacle}")
    return None


class DeviceRates:
    """The optimizers' learning rates as tensors, so that a graph reads the one of its epoch.

    Elsewhere (schedules, checkpoints, logs) a rate stays the number that it is: groups hold the tensors only
    during a step.
    """

    def __init__(self, optimizers: Iterable[Optimizer], device: torch.device):
        self.optimizers = list(optimizers)
        self.tensors = [torch.zeros((), device=device) for _ in self.groups()]
        self.filled = [0.0 for _ in self.tensors]

    def groups(self) -> list[dict[str, Any]]:
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]

    def fill(self) -> None:
        """Bring the tensors to the groups' numbers, where those changed."""
        for i, group in enumerate(self.groups()):
            if group["lr"] != self.filled[i]:
                self.tensors[i].fill_(group["lr"])
                self.filled[i] = group["lr"]

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Within it, optimizers read the tensors and may be captured."""
        groups = self.groups()
        before = [{name: group[name] for name in ("lr", "capturable") if name in group} for group in groups]
        for group, settings, rate in zip(groups, before, self.tensors, strict=True):
            group.update({name: rate if name == "lr" else True for name in settings})
        try:
            yield
        finally:
            for group, settings in zip(groups, before, strict=True):
                group.update(settings)


class CudaGraphs:
    """Captures CUDA graphs that share one pool of memory, on a stream beside the current one."""

    def __init__(self, device: torch.device):
        self.device = device
        self.stream = torch.cuda.Stream(device)
        self.pool = torch.cuda.graph_pool_handle()

    def run(self, step: Callable[[], T]) -> T:
        """step() on the stream of the captures: gradients are added up on the stream of their first use."""
        current = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            result = step()
        current.wait_stream(self.stream)
        return result

    def capture(self, step: Callable[[], T]) -> tuple[Callable[[], None], T]:
        """See Graphs. Raises what `step` raises, and RuntimeError where it draws numbers on the host."""
        generator = torch.cuda.default_generators[self.device.index]
        state, host_state = generator.clone_state(), torch.get_rng_state()
        graph = torch.cuda.CUDAGraph()
        try:
            # thread_local: the threads that pin memory meanwhile may do what a capture must not. The outer
            # stream context puts the current stream back where the capture ends in an error.
            with torch.cuda.stream(self.stream), torch.cuda.graph(
                    graph, pool=self.pool, stream=self.stream, capture_error_mode="thread_local"):
                result = step()
            if not torch.equal(host_state, torch.get_rng_state()):
                raise RuntimeError("the step draws random numbers on the host")
        except Exception:
            generator.graphsafe_set_state(state)      # after a broken capture it refuses to draw
            torch.set_rng_state(host_state)
            raise
        return graph.replay, result
