"""What a --value_range value stands for."""

import numpy as np
import pytest
import torch

from data.readers.ranges import OwnWindow, Percentiles, ValueRange, numbers, value_range
from data.readers.stack import Stack
from util.errors import UsageError


@pytest.mark.parametrize("text,expected", [
    ("auto", ValueRange(None)), ("-5:1e3", ValueRange((-5, 1000))),
    ("window:40:400", ValueRange((-160, 240))), ("window:-600:1500", ValueRange((-1350, 150))),
    ("p1:p99.5", Percentiles(1, 99.5)), ("window", OwnWindow())])
def test_forms(text, expected):
    assert value_range(text) == expected and type(value_range(text)) is type(expected) and value_range(text)


@pytest.mark.parametrize("text", ["p5:p5", "p99:p1", "p-1:p5", "p1:p101", "p1:99", "1:p99", "window:40",
                                  "window:40:0", "window:40:-1", "window:a:b", "window:nan:4", "own", "p1"])
def test_ranges_that_are_empty_or_none(text):
    with pytest.raises(UsageError, match=f"--value_range is '{text}'; give auto, or .* p1:p99, or a window"):
        value_range(text)


def test_stored_numbers_are_those_that_were_meant():
    """slope * stored + intercept, and back; also where the slope turns the order round."""
    stored = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for slope, intercept in ((1, 0), (0.5, -3), (-2, 100)):
        stack = Stack(1, stored.shape, stored.dtype, lambda number: stored, slope, intercept)
        assert np.array_equal(stack.stored(stack.values(None).astype(np.float64)), stored)
        assert stack.limits == tuple(sorted((intercept, 255 * slope + intercept)))
    assert np.array_equal(stack.stored(np.array([1e9, -1e9])), [0, 255])


def test_numbers_of_a_tensor():
    image = torch.tensor([[[-1.0, 0.0, 1.0, 2.0]]])
    assert numbers(image, (-100, 300)).tolist() == [[-100, 100, 300, 300]]
    assert numbers(image.expand(3, -1, -1), (0, 2)).shape == (1, 4, 3)


def test_percentiles_of_a_volume_are_computed_once():
    asked = []

    def read(number: int | None) -> np.ndarray:
        asked.append(number)
        return np.arange(1000.0).reshape(10, 10, 10)
    for _ in range(3):
        stack = Stack(10, (10, 10, 10), np.dtype(float), read, name="a volume of this test")
        assert Percentiles(10, 90).within(stack) == pytest.approx((99.9, 899.1))
    assert asked == [None]


def test_numbers_that_are_not_finite_do_not_count():
    values = np.array([[np.nan, 1, 2, 3, np.inf]])
    assert Percentiles(0, 100).within(Stack.of(values)) == (1, 3)
    with pytest.raises(ValueError, match="no finite number"):
        Percentiles(0, 100).within(Stack.of(values[:, :1]))
