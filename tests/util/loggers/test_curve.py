"""The curve as an image: well-formed, within its panel, with round numbers beside it."""

import xml.etree.ElementTree as ET

import pytest

from util.loggers.curve import HEIGHT, WIDTH, draw_curves, ticks

SVG = "{http://www.w3.org/2000/svg}"


def test_points_lie_in_their_panels_higher_scores_higher():
    curves = {"swd <1>": [(5000, 3.0), (10000, 1.0), (20000, 2.0)], "fid": [(5000, 40.0)]}
    tree = ET.fromstring(draw_curves(curves))
    assert tree.get("width") == str(2 * WIDTH)
    panels = tree.findall(f"{SVG}g")
    assert [panel.find(f"{SVG}text").text for panel in panels] == ["swd <1>", "fid"]
    dots = [(float(dot.get("cx")), float(dot.get("cy"))) for dot in panels[0].iter(f"{SVG}circle")]
    assert all(0 < x < WIDTH and 0 < y < HEIGHT for x, y in dots)
    (x1, y1), (x2, y2), (x3, y3) = dots
    assert x1 < x2 < x3 and x3 - x2 == pytest.approx(2 * (x2 - x1), abs=0.2) and y1 < y3 < y2


def test_a_metric_that_was_never_finite_is_an_empty_panel():
    assert "circle" not in draw_curves({"kid": []})


@pytest.mark.parametrize(("low", "high", "expected"), [
    (0, 10, [0, 2, 4, 6, 8, 10]), (0, 4, [0, 1, 2, 3, 4]), (97, 176, [100, 120, 140, 160]),
    (-0.013, 0.021, [-0.01, 0, 0.01, 0.02]), (3, 3, [3])])
def test_ticks_are_round(low, high, expected):
    found = ticks(low, high, most=6)
    assert found == pytest.approx(expected)
