"""Draw curves over the images seen, as an SVG image without any other file."""

import math
from collections.abc import Iterable, Sequence
from xml.sax.saxutils import escape

Points = list[tuple[float, float]]
WIDTH, HEIGHT = 420, 220            # of a panel, in SVG's units
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 30, 34
STYLE = ("text{font:12px system-ui,sans-serif;fill:#68717d}.title{font-weight:600;fill:#1c2128}"
         ".grid{stroke:#e1e4e8}.line{fill:none;stroke:#4c8dff;stroke-width:2}.dot{fill:#4c8dff}"
         "@media(prefers-color-scheme:dark){.title{fill:#e4e7eb}.grid{stroke:#2e343c}text{fill:#929aa5}}")


def draw_curves(curves: dict[str, Points]) -> str:
    """One panel for each curve, side by side. Points: (x, y), sorted by x; a curve may be empty."""
    panels = "".join(f'<g transform="translate({i * WIDTH},0)">{_panel(name, points)}</g>'
                     for i, (name, points) in enumerate(curves.items()))
    size = f'width="{len(curves) * WIDTH}" height="{HEIGHT}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{STYLE}</style>{panels}</svg>\n'


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """At most `most` round numbers from `low` to `high`: multiples of 1, 2 or 5 times a power of ten."""
    if not high > low:
        return [low]
    step = 10.0 ** math.floor(math.log10((high - low) / most))
    step *= next(factor for factor in (1, 2, 5, 10, 20) if len(_multiples(low, high, step * factor)) <= most)
    return _multiples(low, high, step)


def _multiples(low: float, high: float, step: float) -> list[float]:
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


class Frame:
    """The scales of a panel: x from 0 to `last`, y from `low` to `high`."""

    def __init__(self, last: float, values: Sequence[float]):
        """values: all that the y axis must cover; a margin is added."""
        margin = 0.05 * (max(values) - min(values)) or abs(values[0]) * 0.05 or 1
        self.last, self.low, self.high = last, min(values) - margin, max(values) + margin

    def across(self, x: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * x / self.last

    def down(self, y: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (self.high - y) / (self.high - self.low)

    def line(self, points: Iterable[tuple[float, float]]) -> str:
        """The points as an SVG attribute."""
        return " ".join(f"{self.across(x):.1f},{self.down(y):.1f}" for x, y in points)

    def axes(self, unit: str = "images") -> str:
        """Grid lines with their numbers, as SVG elements. unit: what x counts."""
        parts = []
        for y in ticks(self.low, self.high):
            parts.append(f'<path class="grid" d="M{LEFT} {self.down(y):.1f}H{WIDTH - RIGHT}"/>'
                         f'<text x="{LEFT - 6}" y="{self.down(y) + 4:.1f}" text-anchor="end">{y:g}</text>')
        for x in ticks(0, self.last):
            place = f'x="{self.across(x):.1f}" y="{HEIGHT - BOTTOM + 16}"'
            parts.append(f'<text {place} text-anchor="middle">{x:,.10g}</text>')
        parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 4}" text-anchor="end">{unit}</text>')
        return "".join(parts)


def title_of(name: str) -> str:
    return f'<text class="title" x="{LEFT}" y="18">{escape(name)}</text>'


def _panel(name: str, points: Points) -> str:
    if not points:
        return title_of(name)
    xs, ys = zip(*points, strict=True)
    frame = Frame(max(xs), ys)
    parts = [title_of(name), frame.axes(), f'<polyline class="line" points="{frame.line(points)}"/>']
    parts += [f'<circle class="dot" r="3" cx="{frame.across(x):.1f}" cy="{frame.down(y):.1f}"/>'
              for x, y in points]
    return "".join(parts)
