"""Draw the losses of several runs into one image: a line for each group of runs, a band for their spread.

    python scripts/reports/compare_curves.py losses.svg \\
        fp32=checkpoints/a_s0,checkpoints/a_s1 bf16=checkpoints/b_s0

Reads stats.jsonl of each folder. A line is the mean over the group's runs, smoothed (--smooth), a band goes
from the lowest run to the highest. Only images that all runs of a group have reached are drawn.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from util.atomic import atomic_file  # noqa: E402
from util.errors import UsageError, run_command  # noqa: E402
from util.loggers.curve import HEIGHT, LEFT, STYLE, WIDTH, Frame, title_of  # noqa: E402

COLOURS = ("#4c8dff", "#e8833a", "#3aa76d", "#b05cc6", "#d64550", "#8a6d3b", "#12a5b8", "#c9a800", "#7a869a",
           "#e377c2", "#5c5cd6", "#80b918", "#a0522d", "#00806a", "#444444")
ENTRY, ROW = 280, 18        # width and height of an entry of the legend, in SVG's units
Series = dict[str, list[tuple[int, float]]]     # loss -> (images seen, value)


def read_run(folder: Path) -> Series:
    """The losses of a run. Raises UsageError where there are none."""
    path, series = folder / "stats.jsonl", {}
    if not path.is_file():
        raise UsageError(f"there is no {path}; name the folders of runs that have been trained")
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        for name, value in row.get("losses", {}).items():
            series.setdefault(name, []).append((row["total_images"], value))
    if not series:
        raise UsageError(f"{path} holds no losses yet")
    return series


def smoothed(values: Sequence[float], width: int) -> list[float]:
    """Means over `width` neighbours at most, fewer at both ends."""
    half = width // 2
    return [statistics.mean(values[max(0, i - half):i + half + 1]) for i in range(len(values))]


def band(runs: Sequence[Series], name: str, width: int) -> list[tuple[int, float, float, float]]:
    """(images, lowest, mean, highest) over the runs, at the images that all of them have."""
    each = []
    for run in runs:
        images, values = zip(*run[name], strict=True)
        each.append(dict(zip(images, smoothed(values, width), strict=True)))
    common = sorted(set.intersection(*(set(values) for values in each)))
    found = [(x, [values[x] for values in each]) for x in common]
    return [(x, min(ys), statistics.mean(ys), max(ys)) for x, ys in found]


def panel(title: str, bands: Sequence[list[tuple[int, float, float, float]]]) -> str:
    """One loss: a band and a line for each group."""
    rows = [row for points in bands for row in points]
    frame = Frame(max(images for images, *_ in rows), [y for _, low, _, high in rows for y in (low, high)])
    parts = [title_of(title), frame.axes()]
    for colour, points in zip(COLOURS, bands, strict=False):
        edge = [(x, top) for x, _, _, top in points] + [(x, low) for x, low, _, _ in reversed(points)]
        middle = frame.line((x, mean) for x, _, mean, _ in points)
        parts.append(f'<polygon points="{frame.line(edge)}" fill="{colour}" opacity="0.2"/>'
                     f'<polyline points="{middle}" fill="none" stroke="{colour}" stroke-width="2"/>')
    return "".join(parts)


def count(runs: Sequence[Series]) -> str:
    return f"{len(runs)} run{'s' * (len(runs) != 1)}"


def draw(groups: dict[str, list[Series]], names: Sequence[str], smooth: int, columns: int = 2) -> str:
    """An SVG image with a panel a loss and a legend below."""
    panels = [f'<g transform="translate({i % columns * WIDTH},{i // columns * HEIGHT})">'
              f'{panel(name, [band(runs, name, smooth) for runs in groups.values()])}</g>'
              for i, name in enumerate(names)]
    height, width = -(-len(names) // columns) * HEIGHT, min(columns, len(names)) * WIDTH
    beside = max(1, (width - LEFT) // ENTRY)        # entries of the legend in a row
    legend = [entry(LEFT + i % beside * ENTRY, height + i // beside * ROW, colour, f"{name}, {count(runs)}")
              for i, (colour, (name, runs)) in enumerate(zip(COLOURS, groups.items(), strict=False))]
    size = f'width="{width}" height="{height + -(-len(groups) // beside) * ROW + 8}"'
    return (f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{STYLE}</style>'
            f'{"".join(panels)}{"".join(legend)}</svg>\n')


def entry(x: int, y: int, colour: str, text: str) -> str:
    """A line of the legend."""
    return (f'<rect x="{x}" y="{y + 6}" width="12" height="12" fill="{colour}"/>'
            f'<text x="{x + 18}" y="{y + 16}">{escape(text)}</text>')


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("output", type=Path, help="SVG file to write")
    add("groups", nargs="+", metavar="NAME=RUN[,RUN...]", help="a name and the folders of its runs")
    add("--losses", nargs="+", metavar="LOSS", help="losses to draw (default: all that every run has)")
    add("--smooth", type=int, default=5, help="rows of stats.jsonl to average (default: 5)")
    arguments = parser.parse_args()
    if len(arguments.groups) > len(COLOURS):
        raise UsageError(f"{len(arguments.groups)} groups are too many; give {len(COLOURS)} at most")
    for group in arguments.groups:
        if not all(group.partition("=")):
            raise UsageError(f"{group!r} is no group; write NAME=RUN,RUN")
    if arguments.smooth < 1:
        raise UsageError(f"--smooth is {arguments.smooth}; it must be at least 1")
    return arguments


def main() -> None:
    arguments = parse()
    pairs = [group.split("=", 1) for group in arguments.groups]
    groups = {name: [read_run(Path(run)) for run in runs.split(",")] for name, runs in pairs}
    runs = [run for group in groups.values() for run in group]
    common = [name for name in runs[0] if all(name in run for run in runs)]
    names = arguments.losses or common
    for name in names:
        if name not in common:
            raise UsageError(f"--losses {name}: not every run has it; all have {', '.join(common)}")
    with atomic_file(arguments.output) as stream:
        stream.write(draw(groups, names, arguments.smooth).encode())
    print(f"written: {arguments.output}")


if __name__ == "__main__":
    run_command(main)
