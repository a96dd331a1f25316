"""The numbers in a file: one image, or the slices of a volume."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

# (name, two percentiles) -> the numbers there; of volumes, each slice of which asks for them.
_KEPT: dict[tuple[str, float, float], tuple[float, float]] = {}


@dataclass(frozen=True, eq=False)
class Stack:
    """Images of one size, as they are stored; a number that is meant is slope * stored + intercept.

    count: of the images; 1 for a file that is one image. shape: of all together. dtype: of the stored
    numbers. read: the number of an image -> its stored numbers, [H, W] or [H, W, C]; None -> those of all, in
    any shape. extremes: the least and the largest number that the header lets the file store; None: those of
    the dtype. window: the numbers, as meant, that the header calls black and white. name: tells its content
    from that of others; "": it is asked once.
    """

    count: int
    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[int | None], np.ndarray]
    slope: float = 1.0
    intercept: float = 0.0
    extremes: tuple[float, float] | None = None
    window: tuple[float, float] | None = None
    name: str = ""

    @staticmethod
    def of(values: np.ndarray) -> "Stack":
        """One image."""
        return Stack(1, values.shape, values.dtype, lambda number: values)

    def values(self, number: int | None) -> np.ndarray:
        """The numbers of an image that are meant; None: those of all. Raises ValueError for no such image."""
        if not self.count:
            raise ValueError("it holds no slices")
        if number is not None and number >= self.count:
            raise ValueError(f"it holds {self.count} slices, numbered from 0")
        stored = self.read(number)
        if self.slope == 1 and self.intercept == 0:
            return stored
        return stored.astype(np.float64) * self.slope + self.intercept

    def stored(self, values: np.ndarray) -> np.ndarray:
        """Numbers that are meant, float64, as the file stores them; whole ones are the nearest."""
        if self.slope != 1 or self.intercept != 0:
            values = (values - self.intercept) / self.slope
        values = values.round().clip(*self._extremes) if self.dtype.kind in "iu" else values
        return values.astype(self.dtype)

    @property
    def limits(self) -> tuple[float, float]:
        """The least and the largest number that the file can mean; of whole numbers."""
        low, high = sorted(self.slope * number + self.intercept for number in self._extremes)
        return low, high

    @property
    def _extremes(self) -> tuple[float, float]:
        return self.extremes or (np.iinfo(self.dtype).min, np.iinfo(self.dtype).max)

    def percentiles(self, lower: float, upper: float) -> tuple[float, float]:
        """Numbers below which so many per cent of all lie; those that are not finite do not count.

        Raises ValueError where none is.
        """
        key = self.name, lower, upper
        if key in _KEPT:
            return _KEPT[key]
        values = self.values(None)
        finite = np.isfinite(values)
        values = values if finite.all() else values[finite]
        if not values.size:
            raise ValueError("it holds no finite number")
        low, high = map(float, np.percentile(values, [lower, upper]))
        if self.name and self.count > 1:
            _KEPT[key] = low, high
        return low, high
