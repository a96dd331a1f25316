"""Number formats (--precision) and memory order of the networks, and what must be computed in float32."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from typing import Any, ParamSpec

import torch
from torch import Tensor, nn

PRECISIONS = ("auto", "fp32", "tf32", "bf16", "fp16")
FIXED_SIZES = ("resize", "fixsize", "crop", "patch")    # words of --preprocess that give every image one size
AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}
P = ParamSpec("P")


class Precision:
    """How a model's networks compute. Weights, optimizers and losses are float32 in any case.

    name: one of PRECISIONS, not auto. fixed_sizes: all images have one size, so that it pays to let cuDNN
    try which of its algorithms is fastest.

    Two switches of the process are set here, for a GPU. One is that. The other is TF32, with which matrix
    products and convolutions of float32 round their factors to 10 bits: bf16 and fp16 leave it off, because
    what stays float32 beside them (NCE logits, gradient penalties) does so for its digits.
    """

    def __init__(self, name: str, device: torch.device, *, fixed_sizes: bool = False):
        self.name, self.device = name, device
        self.scaler = torch.amp.GradScaler(device.type, enabled=name == "fp16")
        self._stepped = False
        if device.type == "cuda":
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = name == "tf32"
            torch.backends.cudnn.benchmark = fixed_sizes

    @property
    def number_bytes(self) -> int:
        """Bytes of a number in the networks' maps."""
        return 2 if self.name in AUTOCAST else 4

    def autocast(self) -> AbstractContextManager:
        """For forward passes. Casts of weights are not kept: an optimizer may step within."""
        if self.name not in AUTOCAST:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=AUTOCAST[self.name], cache_enabled=False)

    def backward(self, loss: Tensor, inputs: Sequence[nn.Parameter]) -> None:
        """Gradients of a loss into these parameters alone, each operation in the format of its forward."""
        with torch.autocast(self.device.type, enabled=False):
            self.scaler.scale(loss).backward(inputs=inputs)

    def clip(self, optimizer: torch.optim.Optimizer, largest_norm: float) -> None:
        """Ahead of `step`: shorten the gradient of all that an optimizer changes to this norm, if longer."""
        self.scaler.unscale_(optimizer)
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        torch.nn.utils.clip_grad_norm_(parameters, largest_norm)

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """optimizer.step() on gradients of `backward`; left out where one of fp16's overflowed."""
        self.scaler.step(optimizer)
        self._stepped = True

    def step_all(self, optimizers: Iterable[torch.optim.Optimizer], largest_norm: float | None) -> None:
        """`step` for each, its gradient shortened to largest_norm if that is given and then gone."""
        for optimizer in optimizers:
            if largest_norm is not None:
                self.clip(optimizer, largest_norm)
            self.step(optimizer)
            optimizer.zero_grad(set_to_none=True)

    def unscale(self, optimizer: torch.optim.Optimizer) -> None:
        """In place of `step`, before an optimizer is stepped by somebody else: undo fp16's scale."""
        self.scaler.unscale_(optimizer)
        self._stepped = True

    def end_step(self) -> None:
        """To be called once after all updates of a training step: fp16 then chooses its next scale."""
        if self._stepped:
            self.scaler.update()
            self._stepped = False

    def forget_step(self) -> None:
        """After a step that was broken off: as if it had not begun."""
        self._stepped = False
        if self.scaler.is_enabled():        # it counts updates until the end of the step, and starts afresh
            state = self.scaler.state_dict()
            self.scaler = torch.amp.GradScaler(self.device.type)
            self.scaler.load_state_dict(state)

    def load_scaler(self, state: dict[str, Any] | None) -> None:
        """Go on with the scale of an earlier fp16 run; any other run has none."""
        if state and self.scaler.is_enabled():
            self.scaler.load_state_dict(state)


def gives_one_size(preprocess: str) -> bool:
    """Whether all images that --preprocess makes have the same size."""
    return any(word in FIXED_SIZES for word in preprocess.split("_and_"))


# ---- within networks


def own_dtype(x: Tensor) -> AbstractContextManager:
    """Within it, autocast changes no dtype on x's device.

    Autocast turns the input of norms, paddings and resizings into float32. That only moves more bytes: their
    kernels add up in float32 whatever comes in.
    """
    if torch.is_autocast_enabled(x.device.type):
        return torch.autocast(x.device.type, enabled=False)
    return nullcontext()


def at_least_float32(x: Tensor) -> Tensor:
    """x itself, or in float32 where it has fewer bits."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class Tanh(nn.Tanh):
    """tanh in float32 at least: with bfloat16's 8 bits, neighbouring gray levels would become equal."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(at_least_float32(x))


# ---- losses


def in_float32(loss: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """The same function, with its tensors in at least 32 bits and autocast switched off within."""
    def widened(value):
        return at_least_float32(value) if isinstance(value, Tensor) and value.is_floating_point() else value

    @wraps(loss)
    def wide(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        devices = {value.device.type for value in (*args, *kwargs.values()) if isinstance(value, Tensor)}
        with torch.autocast(devices.pop(), enabled=False):
            return loss(*map(widened, args), **{name: widened(value) for name, value in kwargs.items()})
    return wide


# ---- memory order


def is_channels_last(x: Tensor) -> bool:
    """Whether x [B, C, H, W] is stored channels-last, and is not also contiguous.

    With one channel, or one pixel, the two orders are the same; then this is False.
    """
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


def to_channels_last(x: Tensor) -> Tensor:
    """x, or a copy of it in channels-last order.

    The stride of a minibatch of one image means nothing, but torch tells the order by it too. It takes a
    tensor that came out of a view for one in no order at all, for which its kernels are far slower.
    """
    x = x.contiguous(memory_format=torch.channels_last)
    channels, height, width = x.shape[1:]
    strides = (channels * height * width, 1, width * channels, channels)
    return x if x.stride() == strides else x.as_strided(x.shape, strides)


def weights_to_channels_last(net: nn.Module) -> None:
    """Store the weights of a network's convolutions in channels-last order."""
    for parameter in net.parameters():
        if parameter.ndim == 4:
            parameter.data = to_channels_last(parameter.data)


def order_of(x: Tensor) -> torch.memory_format:
    """The memory format of x, as torch.empty takes it."""
    return torch.channels_last if is_channels_last(x) else torch.contiguous_format
