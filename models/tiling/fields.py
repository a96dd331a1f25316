"""Which rows of its input a layer needs for given rows of its output: the arithmetic of halos.

Rows are numbered from 0 at the top of a map. A layer runs on some rows of its input as if they were the whole
map. What it makes near a cut edge is wrong, because it pads there; the functions here say how many rows more
it has to be given, so that the wanted rows are right.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from torch import nn

from models.networks.norm import BatchNorm, Dropout
from models.networks.resample import BlurDownsample, BlurUpsample, ReflectPad
from models.precision import Tanh


class Rows(NamedTuple):
    """The rows from `top` up to, but without, `bottom`."""

    top: int
    bottom: int

    def within(self, height: int) -> "Rows":
        """Those of them that a map of this height has."""
        return Rows(min(max(self.top, 0), height), min(max(self.bottom, 0), height))


class Field(NamedTuple):
    """How a layer looks at the rows of its input.

    needs: rows of the output -> rows of the input. They may lie outside of the map: the layer pads there.
    up, down: the output's rows are `up` for every `down` of the input's, counted from the top.
    mirrors: rows beside its edge of which the layer's padding makes copies.
    """

    needs: Callable[[Rows], Rows]
    up: int = 1
    down: int = 1
    mirrors: int = 0


def window(kernel: int, stride: int, padding: int, mirrors: int = 0) -> Field:
    """Row o of the output is made of `kernel` rows of the input, from o * stride - padding on."""
    def needs(rows: Rows) -> Rows:
        return Rows(rows.top * stride - padding, (rows.bottom - 1) * stride - padding + kernel)
    return Field(needs, down=stride, mirrors=mirrors)


def spread(kernel: int, stride: int, padding: int) -> Field:
    """A transposed convolution: row i of its input reaches `kernel` rows from i * stride - padding on."""
    def needs(rows: Rows) -> Rows:
        first, last = rows.top + padding - kernel + 1, rows.bottom - 1 + padding
        return Rows(-(-first // stride), last // stride + 1)
    return Field(needs, up=stride)


def bilinear_by_2() -> Field:
    """Row o lies between the rows (o - 1) / 2 and, if it is no whole number, the next: half pixels."""
    return Field(lambda rows: Rows((rows.top - 1) // 2, rows.bottom // 2 + 1), up=2)


def pixel_by_pixel(layer: nn.Module) -> Field:
    return Field(lambda rows: rows)


FIELDS: dict[type[nn.Module], Callable[[Any], Field]] = {
    nn.Conv2d: lambda layer: window(layer.kernel_size[0], layer.stride[0], layer.padding[0]),
    nn.ConvTranspose2d: lambda layer: spread(layer.kernel_size[0], layer.stride[0], layer.padding[0]),
    ReflectPad: lambda layer: window(1, 1, layer.width, mirrors=layer.width),
    BlurDownsample: lambda layer: window(3, 2, 1, mirrors=1),
    BlurUpsample: lambda layer: bilinear_by_2(),
    nn.ReLU: pixel_by_pixel,
    nn.LeakyReLU: pixel_by_pixel,
    Dropout: pixel_by_pixel,
    nn.Identity: pixel_by_pixel,
    BatchNorm: pixel_by_pixel,          # by its running statistics; else it is no layer of its own here
    Tanh: pixel_by_pixel,
}


def field_of(layer: nn.Module) -> Field:
    return FIELDS[type(layer)](layer)


def height_behind(layer: nn.Module, height: int) -> int:
    """The height of the layer's output for an input of this height."""
    if isinstance(layer, ReflectPad):
        return height + 2 * layer.width
    if isinstance(layer, nn.Conv2d):
        return (height + 2 * layer.padding[0] - layer.kernel_size[0]) // layer.stride[0] + 1
    field = field_of(layer)
    return -(-height * field.up // field.down)


class Slab(NamedTuple):
    """Rows of the input that layers run on, and where the wanted rows then lie in what they make."""

    rows: Rows
    wanted: Rows


def slab_for(layers: Sequence[nn.Module], height: int, wanted: Rows) -> Slab:
    """What to give to layers that run one after the other, for these rows of the last one's output.

    height: of the map that they are applied to. The slab begins at a multiple of what they downsample by, so
    that the rows left out by strides are those of the whole map.
    """
    heights, fields = [height], [field_of(layer) for layer in layers]
    for layer in layers:
        heights.append(height_behind(layer, heights[-1]))
    rows, step = wanted, 1
    for field, below in zip(reversed(fields), reversed(heights[:-1]), strict=True):
        rows = _with_mirrored(field.needs(rows), field.mirrors, below).within(below)
        step *= field.down
    top = rows.top // step * step
    first = top
    for field in fields:
        first = first * field.up // field.down
    return Slab(Rows(top, rows.bottom), Rows(wanted.top - first, wanted.bottom - first))


def _with_mirrored(rows: Rows, mirrors: int, height: int) -> Rows:
    """The rows, and those of which padding beyond the map's edge makes copies."""
    top, bottom = rows
    if mirrors and top < 0:
        bottom = max(bottom, mirrors + 1)
    if mirrors and rows.bottom > height:
        top = min(top, height - mirrors - 1)
    return Rows(top, bottom)
