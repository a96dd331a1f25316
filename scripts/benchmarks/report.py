"""The output of a benchmark: a table of medians and ratios, the operations of a step, and bars as SVG."""

import statistics
from typing import Any
from xml.sax.saxutils import escape

from util.loggers.curve import STYLE

Row = dict[str, Any]    # of cases.summary
BAR, LEFT, RIGHT, WIDTH = 26, 190, 130, 760     # pixels: height of a bar, margins for words, the whole
LETTER = 7      # pixels of a letter, about
COLOURS = {"reference": "#9aa4b1", "baseline": "#9aa4b1", "ours": "#4c8dff"}


def quartiles(values: list[float]) -> list[float]:
    if len(values) < 2:
        return [values[0], values[0]]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return [low, high]


def compared_with(row: Row, table: list[Row]) -> Row | None:
    """The row that one of ours is set beside: the reference's of this model, or the same case's baseline."""
    def same(other: Row) -> bool:
        if other["subject"] == "baseline":
            return all(row[key] == other[key] for key in ("model", "precision", "flags"))
        return (other["subject"] == "reference" and row["model"] == other["model"]
                and row.get("batch_size") == other.get("batch_size"))

    return next((other for other in table if same(other)), None) if row["subject"] == "ours" else None


def ratios(row: Row, table: list[Row]) -> dict[str, float] | None:
    """How many times faster than the other's median, and its memory as a part of the other's."""
    other = compared_with(row, table)
    if other is None:
        return None
    return {"faster": round(other["seconds"] / row["seconds"], 2),
            "memory": round(row["peak_MB"] / other["peak_MB"], 2)}


def render(table: list[Row], peak: dict[str, float]) -> str:
    """The table in columns for a terminal, with the operations of profiled steps below."""
    width = max(30, *(len(row["case"]) for row in table))
    lines = [*([f"measured peak: {peak}", ""] if peak else []),
             f"{'case':{width}}{'median s':>10}{'quartiles':>20}{'images/s':>10}{'peak MB':>9}{'GFLOP/s':>9}"
             f"{'of peak':>9}{'faster':>8}{'memory':>8}"]
    for row in table:
        spread = "-".join(f"{q:.4f}" for q in row["quartiles"])
        ratio = row["ratio"] or {"faster": "", "memory": ""}
        lines.append(f"{row['case']:{width}}{row['seconds']:10.4f}{spread:>20}{row['images_per_second']:10.3f}"
                     f"{row['peak_MB']:9}{row.get('GFLOP/s', ''):>9}{row.get('of_peak', ''):>9}"
                     f"{ratio['faster']:>8}{ratio['memory']:>8}")
    return "\n".join(lines + [line for row in table if "operations" in row for line in shares(row)])


def shares(row: Row, shown: int = 12) -> list[str]:
    """The longest operations of a step, with their share of all operations' time."""
    total = sum(each["seconds"] for each in row["operations"])
    return ["", f"{row['case']}, operations of one step under the profiler: {total:.3f} s",
            *(f"{one['seconds'] / total:7.1%} {one['seconds']:8.3f} s {one['calls']:6} x {one['operation']}"
              for one in row["operations"][:shown])]


def draw(table: list[Row], command: str) -> str:
    """An SVG image: the seconds of each case and its peak of memory."""
    half = (len(table) + 1) * BAR + 10
    others = {row["subject"] for row in table} - {"ours"}
    beside = f" (of the {others.pop()}'s)" if others else ""
    left = max(LEFT, 8 + LETTER * max(len(row["case"]) for row in table))
    seconds = bars(table, "seconds", f"{command}: median seconds{beside}", "s", 2, 0, left)
    memory = bars(table, "peak_MB", f"peak of memory{beside}", "MB", 0, half, left)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH + left - LEFT}" height="{2 * half}">'
            f'<style>{STYLE}</style>{seconds}{memory}</svg>\n')


def bars(table: list[Row], field: str, title: str, unit: str, digits: int, top: float, left: int) -> str:
    """A bar for each case, from `top` down and `left` on, with its value and, for ours, its ratio to the
    other's. Seconds below one are shown in milliseconds.
    """
    longest = max(row[field] for row in table)
    parts = [f'<text class="title" x="{left}" y="{top + 16}">{escape(title)}</text>']
    for number, row in enumerate(table, 1):
        y, width = top + number * BAR, (WIDTH - LEFT - RIGHT) * row[field] / longest
        value = f"{row[field]:,.{digits}f} {unit}"
        if unit == "s" and row[field] < 1:
            value = f"{1000 * row[field]:.1f} ms"
        if other := compared_with(row, table):
            value += f" ({row[field] / other[field]:.2f})"
        parts.append(f'<text x="{left - 8}" y="{y + 15}" text-anchor="end">{escape(row["case"])}</text>'
                     f'<rect x="{left}" y="{y + 3}" width="{width:.1f}" height="16" '
                     f'fill="{COLOURS[row["subject"]]}"/>'
                     f'<text x="{left + width + 6:.1f}" y="{y + 15}">{value}</text>')
    return "".join(parts)
