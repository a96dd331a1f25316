"""Padding, blurring, down- and upsampling of feature maps, shared by all networks.

They are linear maps: where the transpose (adjoint) is known, backward needs no saved tensor.

A blur is a depthwise convolution with a small binomial kernel. On the CPU, torch's grouped convolution is its
fastest form (measured against separable passes, shifted sums and pooling), above all in channels-last order;
reshaping every channel into an image of its own takes tens of times longer. Everything here can be
differentiated twice, which R1 needs.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.precision import is_channels_last, order_of, own_dtype

Map = Callable[[Tensor], Tensor]


class LinearMap(torch.autograd.Function):
    """The linear map `forward_map`, with `transpose` as its backward; differentiable any number of times.

    torch's own padding and convolution keep their input for backward, which a linear map does not need: that
    is a tenth of CUT's memory at 256 pixels.
    """

    @staticmethod
    def forward(ctx, x: Tensor, forward_map: Map, transpose: Map) -> Tensor:
        ctx.maps = forward_map, transpose
        y = forward_map(x)
        # autograd would return x itself as a view, whose strides torch may no longer take for channels-last
        return y.detach() if y is x else y

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:
        forward_map, transpose = ctx.maps
        return LinearMap.apply(gradient, transpose, forward_map), None, None


# ---- modules


class ReflectPad(nn.Module):
    """Reflection padding by `width` pixels, which must be less than the sides. The edge is not repeated."""

    def __init__(self, width: int):
        super().__init__()
        self.width = width

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, C, H, W]. Returns [B, C, H + 2 width, W + 2 width]."""
        return LinearMap.apply(x, partial(reflect_pad, width=self.width), partial(_fold, width=self.width))


class BlurDownsample(nn.Module):
    """Downsampling by 2: reflect-pad 1, blur by [1,2,1] x [1,2,1] / 16, every second pixel (Zhang 2019).

    Both sides of the input must be at least 2.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("filt", binomial_kernel(3).repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, C, H, W]. Returns [B, C, ceil(H/2), ceil(W/2)]."""
        return blur_down(x, self.filt)


class BlurUpsample(nn.Module):
    """Upsampling by 2: zeros between the pixels, then a blur by [1,3,3,1] x [1,3,3,1] / 16, edges replicated.

    That is bilinear interpolation, and computed as such. `filt` is not used, but stands in the published
    checkpoints.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("filt", 4 * binomial_kernel(4).repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, C, H, W]. Returns [B, C, 2H, 2W]."""
        with own_dtype(x):
            return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class Blur(nn.Module):
    """StyleGAN2's low-pass filter: [1,3,3,1] x [1,3,3,1] / 64 times `gain`, `padding` zeros a side.

    `stride` 2 leaves out every second pixel of the result without computing it. Size: H + 2 padding - 3, over
    `stride`, rounded up. Karras et al. 2020.
    """

    def __init__(self, padding: int, stride: int = 1, gain: float = 1.0):
        super().__init__()
        self.padding, self.stride = padding, stride
        self.register_buffer("kernel", gain * binomial_kernel(4))

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, C, H, W]. Returns [B, C, H', W']."""
        return depthwise(x, self.kernel, self.stride, self.padding)


# ---- the maps


def binomial_kernel(taps: int) -> Tensor:
    """[taps, taps]: the outer product of a row of Pascal's triangle with itself, summing to 1."""
    row = torch.ones(1)
    for _ in range(taps - 1):
        row = F.pad(row, (0, 1)) + F.pad(row, (1, 0))
    return torch.outer(row, row) / row.sum() ** 2


def depthwise(x: Tensor, kernel: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    """Correlate each channel of x [B, C, H, W] with `kernel` [k, k] or [C, 1, k, k]; zeros outside.

    No gradient reaches `kernel`. torch's second derivative of a grouped convolution, which R1 needs, would
    run one convolution for each channel, for a gradient of the kernel that nobody asks for.
    """
    channels, settings = x.shape[1], {"stride": stride, "padding": padding, "groups": x.shape[1]}

    def weight(x: Tensor) -> Tensor:
        return kernel.to(x.dtype).expand(channels, 1, -1, -1)

    def correlate(x: Tensor) -> Tensor:
        with own_dtype(x):
            return F.conv2d(x, weight(x), **settings)

    def transpose(y: Tensor) -> Tensor:
        with own_dtype(y):
            return conv2d_input(shape, weight(y), y, **settings)

    shape = x.shape
    return LinearMap.apply(x, correlate, transpose)


def conv2d_input(shape: torch.Size, weight: Tensor, y: Tensor, *, stride: int, padding: int,
                 groups: int) -> Tensor:
    """The transpose of x -> conv2d(x, weight, ...) for x of this shape; the order in memory is that of y."""
    x = torch.empty(shape, dtype=y.dtype, device=y.device, memory_format=order_of(y))    # it is not read
    return torch.ops.aten.convolution_backward(y, x, weight, None, [stride] * 2, [padding] * 2, [1, 1], False,
                                               [0, 0], groups, [True, False, False])[0]


def reflect_pad(x: Tensor, width: int) -> Tensor:
    with own_dtype(x):
        if is_channels_last(x) and x.device.type != "cpu" and not torch.compiler.is_compiling():
            return pad_by_copies(x, width)     # torch's own would turn x into the other order
        return F.pad(x, (width,) * 4, mode="reflect")


def pad_by_copies(x: Tensor, width: int) -> Tensor:
    """Reflection padding in 1 + 2 width copies, in x's order in memory."""
    batch, channels, h, w = x.shape
    y = torch.empty(batch, channels, h + 2 * width, w + 2 * width, dtype=x.dtype, device=x.device,
                    memory_format=order_of(x))
    y[:, :, width:-width, width:-width].copy_(x)
    for edge in chain.from_iterable(mirrored(w, width, together=True)):
        y[:, :, width:-width, edge.padded].copy_(x[..., edge.copied])
    rows = y[:, :, width:-width]
    for edge in chain.from_iterable(mirrored(h, width, together=True)):
        y[:, :, edge.padded].copy_(rows[:, :, edge.copied])
    return y


class Edge(NamedTuple):
    """Places along one dimension: padded ones, those that they copy, and the former among all padded ones."""

    padded: slice
    copied: slice
    among_padded: slice


def mirrored(size: int, width: int, *, together: bool) -> Iterator[list[Edge]]:
    """The padded places of `size` pixels, one on each side at a time, from the inside outwards.

    together: as one Edge where they copy two different places. On a CPU, loops over two places are slow.
    """
    for i in range(1, width + 1):
        first, last = i, size - 1 - i
        if together and first < last:
            yield [Edge(slice(width - i, width + size + i, size - 1 + 2 * i),
                        slice(first, last + 1, last - first), slice(width - i, width + i, 2 * i - 1))]
        else:
            left, right = (width - i, first, width - i), (width + size - 1 + i, last, width - 1 + i)
            yield [Edge(*(slice(place, place + 1) for place in places)) for places in (left, right)]


def _fold(y: Tensor, width: int) -> Tensor:
    """The transpose of reflect_pad: every padded pixel of y is added to the pixel that it copies."""
    return fold_on_cpu(y, width) if y.device.type == "cpu" else fold_on_gpu(y, width)


def fold_on_gpu(y: Tensor, width: int) -> Tensor:
    """That in 1 + 2 width launches: the columns of all rows, then the rows. A view of larger memory."""
    x = y[..., width:-width].clone()
    for edge in chain.from_iterable(mirrored(x.shape[3], width, together=True)):
        x[..., edge.copied].add_(y[..., edge.padded])
    inner = x[:, :, width:-width]
    for edge in chain.from_iterable(mirrored(inner.shape[2], width, together=True)):
        inner[:, :, edge.copied].add_(x[:, :, edge.padded])
    return inner


def fold_on_cpu(y: Tensor, width: int) -> Tensor:
    """The same in more passes, which leave no hole in memory."""
    inner = y[:, :, width:-width]
    x, ends = inner[..., width:-width].clone(), torch.cat([y[:, :, :width], y[:, :, -width:]], 2)
    columns, rows = (list(mirrored(size, width, together=False)) for size in (x.shape[3], x.shape[2]))
    folded_ends = ends[..., width:-width]
    for edge in chain.from_iterable(columns):
        folded_ends[..., edge.copied].add_(ends[..., edge.padded])
    for beside, above in zip(columns, rows, strict=True):
        for edge in beside:
            x[..., edge.copied].add_(inner[..., edge.padded])
        for edge in above:
            x[:, :, edge.copied].add_(folded_ends[:, :, edge.among_padded])
    return x


def blur_down(x: Tensor, kernel: Tensor) -> Tensor:
    """Downsample by 2: reflect-pad 1, blur by [1,2,1] x [1,2,1] / 16, keep every second pixel.

    x: [B, C, H, W]. kernel: those weights, [C, 1, 3, 3]; on a CPU the transpose has them built in.
    Returns [B, C, ceil(H / 2), ceil(W / 2)].
    """
    def down(x: Tensor) -> Tensor:
        with own_dtype(x):
            padded = reflect_pad(x, 1)
            return F.conv2d(padded, kernel.to(x.dtype), stride=2, groups=x.shape[1])

    spread = spread_on_cpu if x.device.type == "cpu" else spread_on_gpu
    return LinearMap.apply(x, down, partial(spread, kernel=kernel, height=x.shape[2], width=x.shape[3]))


def spread_on_gpu(y: Tensor, kernel: Tensor, height: int, width: int) -> Tensor:
    """The transpose of blur_down to [B, C, height, width], in four launches."""
    padded = torch.Size((*y.shape[:2], height + 2, width + 2))
    with own_dtype(y):
        return _fold(conv2d_input(padded, kernel.to(y.dtype), y, stride=2, padding=0, groups=y.shape[1]), 1)


def spread_on_cpu(y: Tensor, kernel: Tensor, height: int, width: int) -> Tensor:
    """The same in fourteen passes, which are faster there than a transposed convolution."""
    return _spread(_spread(y, 2, height), 3, width)


def _spread(y: Tensor, dim: int, size: int) -> Tensor:
    """The transpose of blur_down along one dimension, with `size` pixels there.

    Pixel 2 i of x has weight 1/2 in y_i; pixel 2 i + 1 has weight 1/4 in y_i and in y_{i + 1}. Reflection
    adds pixel 1 once more to y_0 and, where the size is odd, the last but one to the last y.
    """
    shape = list(y.shape)
    shape[dim] = size
    x = torch.empty(shape, dtype=y.dtype, device=y.device, memory_format=order_of(y))
    every_second = (slice(None),) * dim
    even, odd = x[(*every_second, slice(0, None, 2))], x[(*every_second, slice(1, None, 2))]
    if torch.compiler.is_compiling():
        even.copy_(y * 0.5)     # out= with a view would break the graph
    else:
        torch.mul(y, 0.5, out=even)
    quarter = y * 0.25
    neighbours = min(odd.shape[dim], y.shape[dim] - 1)
    odd.copy_(quarter.narrow(dim, 0, odd.shape[dim]))
    odd.narrow(dim, 0, neighbours).add_(quarter.narrow(dim, 1, neighbours))
    odd.select(dim, 0).add_(quarter.select(dim, 0))
    if size % 2:
        odd.select(dim, -1).add_(quarter.select(dim, -1))
    return x
