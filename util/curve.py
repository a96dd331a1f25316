"""Curves over the images seen, as an SVG picture that needs nothing from elsewhere."""

import math
from xml.sax.saxutils import escape

Points = list[tuple[float, float]]
WIDTH, HEIGHT = 420, 220            # of a panel, in SVG's units
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 30, 34
CURVE = "evaluation.svg"            # beside the gallery's page
STYLE = ("text{font:12px system-ui,sans-serif;fill:#68717d}.title{font-weight:600;fill:#1c2128}"
         ".grid{stroke:#e1e4e8}.line{fill:none;stroke:#4c8dff;stroke-width:2}.dot{fill:#4c8dff}"
         "@media(prefers-color-scheme:dark){.title{fill:#e4e7eb}.grid{stroke:#2e343c}text{fill:#929aa5}}")


def draw_curves(curves: dict[str, Points]) -> str:
    """One panel a curve, side by side. Points: (x, y), sorted by x; a curve of none is an empty panel."""
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


def _panel(name: str, points: Points) -> str:
    title = f'<text class="title" x="{LEFT}" y="18">{escape(name)}</text>'
    if not points:
        return title
    xs, ys = zip(*points, strict=True)
    margin = 0.05 * (max(ys) - min(ys)) or abs(ys[0]) * 0.05 or 1
    low, high = min(ys) - margin, max(ys) + margin

    def across(x: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * x / max(xs)

    def down(y: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - y) / (high - low)

    parts = [title]
    for y in ticks(low, high):
        parts.append(f'<path class="grid" d="M{LEFT} {down(y):.1f}H{WIDTH - RIGHT}"/>'
                     f'<text x="{LEFT - 6}" y="{down(y) + 4:.1f}" text-anchor="end">{y:g}</text>')
    for x in ticks(0, max(xs)):
        place = f'x="{across(x):.1f}" y="{HEIGHT - BOTTOM + 16}"'
        parts.append(f'<text {place} text-anchor="middle">{x:,.10g}</text>')
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 4}" text-anchor="end">images</text>')
    places = [f"{across(x):.1f},{down(y):.1f}" for x, y in points]
    parts.append(f'<polyline class="line" points="{" ".join(places)}"/>')
    parts += [f'<circle class="dot" r="3" cx="{across(x):.1f}" cy="{down(y):.1f}"/>' for x, y in points]
    return "".join(parts)
