"""--value_range: which numbers in a file are black and which are white."""

import math
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from torch import Tensor

from data.readers.stack import Stack
from util.errors import UsageError

Bounds: TypeAlias = tuple[float, float]     # the numbers that are black and white


def numbers(image: Tensor, bounds: tuple[float, float]) -> np.ndarray:
    """An image [C, H, W] in [-1, 1] as float64 [H, W, C], or [H, W]; black and white are `bounds`."""
    low, high = bounds
    values = (image.double().clamp(-1, 1).permute(1, 2, 0).cpu().numpy() + 1) * ((high - low) / 2) + low
    return values[..., 0] if values.shape[2] == 1 else values


class ValueRange(NamedTuple):
    """The same numbers in every file; None: the least and the largest of the file's dtype."""

    bounds: Bounds | None

    def of(self, depth: np.dtype) -> Bounds:
        """Raises UsageError for a dtype without a range."""
        if self.bounds:
            return self.bounds
        if depth.kind not in "iu":
            raise UsageError(f"--value_range is auto, but there are numbers of {depth}, whose type has no "
                             "range; give --value_range lo:hi")
        return np.iinfo(depth).min, np.iinfo(depth).max

    def within(self, stack: Stack) -> Bounds:
        """Black and white in a file. Raises UsageError for a dtype without a range."""
        whole = stack.dtype.kind in "iu"
        return self.bounds or (stack.limits if whole else self.of(stack.dtype))


class Percentiles(NamedTuple):
    """The numbers below which so many per cent of a file's numbers lie; of a volume, of all its slices."""

    lower: float
    upper: float

    def within(self, stack: Stack) -> Bounds:
        """Raises ValueError for a file whose percentiles are equal."""
        low, high = stack.percentiles(*self)
        if not low < high:
            raise ValueError(f"its percentiles {self.lower:g} and {self.upper:g} are both {low:g}, an empty "
                             "--value_range")
        return low, high


@dataclass(frozen=True)     # an empty tuple would count as no range
class OwnWindow:
    """The window that a DICOM file names."""

    def within(self, stack: Stack) -> Bounds:
        """Raises ValueError for a file that names none."""
        if stack.window is None:
            raise ValueError("it names no window (WindowCenter, WindowWidth), as --value_range window needs; "
                             "give window:CENTER:WIDTH")
        return stack.window


Range: TypeAlias = ValueRange | Percentiles | OwnWindow


def _numbers(low: float, high: float) -> ValueRange:
    return ValueRange(_ordered(low, high))


def _window(center: float, width: float) -> ValueRange:
    return ValueRange(_ordered(center - width / 2, center + width / 2))


def _percentiles(lower: float, upper: float) -> Percentiles:
    if not 0 <= lower < upper <= 100:
        raise ValueError
    return Percentiles(lower, upper)


def _ordered(low: float, high: float) -> Bounds:
    if not (low < high and math.isfinite(high - low)):
        raise ValueError
    return low, high


# The forms of a --value_range value; each "#" is a number, which the function gets.
FORMS: dict[str, Callable[..., Range]] = {
    "auto": lambda: ValueRange(None),
    "window": OwnWindow,
    "window:#:#": _window,
    "p#:p#": _percentiles,
    "#:#": _numbers,
}


def value_range(text: str) -> Range | None:
    """What a --value_range value stands for; None for "". Raises UsageError."""
    if not text:
        return None
    for form, make in FORMS.items():
        if found := re.fullmatch(form.replace("#", "([^:]+)"), text):
            with suppress(ValueError):
                return make(*map(float, found.groups()))
    raise UsageError(f"--value_range is {text!r}; give auto, or two numbers, the lower first, as in 0:4095, "
                     "or percentiles, as in p1:p99, or a window, as in window:40:400")
