"""Thinned curves: bounded, exact while short, and their mean stays that of all values."""

import math

import pytest

from util.loggers.pages.curves import Curve, Curves, higher_is_better, panels


def filled(values, limit=10) -> Curve:
    curve = Curve(limit)
    for i, value in enumerate(values):
        curve.add(i, value)
    return curve


def test_a_short_curve_is_exact():
    assert filled([3.0, 1.0, 2.0] * 3 + [7.0]).points() == list(enumerate([3.0, 1.0, 2.0] * 3 + [7.0]))


@pytest.mark.parametrize("count", [11, 12, 21, 22, 40, 41, 999, 5000])
def test_a_long_curve_is_bounded_and_loses_nothing(count):
    """Points are means of equally many neighbours, the last of the rest: the total can be had back."""
    points = filled([float(i * i) for i in range(count)]).points()
    size = 1
    while math.ceil(count / size) > 11 or count // size > 10:
        size *= 2
    blocks = [range(i, min(i + size, count)) for i in range(0, count, size)]
    assert len(points) == len(blocks) <= 11
    for (x, y), block in zip(points, blocks, strict=True):
        assert x == pytest.approx(sum(block) / len(block))
        assert y == pytest.approx(sum(i * i for i in block) / len(block))


def test_extremes_are_those_of_all_values_and_nan_counts_for_nothing():
    curve = filled([5.0, math.nan, -1.0, math.inf, 9.0] + [0.0] * 100 + [9.0])
    assert curve.lowest == (2, -1.0) and curve.highest == (4, 9.0)


def test_best_is_the_highest_where_higher_is_better():
    curves = Curves()
    for images, values in [(1, {"score/kid": 2.0, "score/ssim_ema": 0.5, "loss/G": 0.0}),
                           (2, {"score/kid": 3.0, "score/ssim_ema": 0.7, "score/none": math.nan})]:
        curves.add(images, values)
    assert curves.best_scores() == {"kid": (1, 2.0), "ssim_ema": (2, 0.7)}
    assert higher_is_better("score/psnr") and not higher_is_better("unheard_of")


def test_averages_share_a_panel_in_a_run_and_runs_share_one_in_a_comparison():
    curves = Curves()
    curves.add(1, {"loss/G": 1.0, "score/kid": 2.0, "score/kid_ema": 3.0})
    one = {panel["title"]: [line["name"] for line in panel["lines"]] for panel in panels({"": curves})}
    assert one == {"kid": ["kid", "kid_ema"], "G": ["G"]}
    two = {panel["title"]: [line["name"] for line in panel["lines"]]
           for panel in panels({"a": curves, "b": curves})}
    assert two == {title: ["a", "b"] for title in ("kid", "kid_ema", "G")}
