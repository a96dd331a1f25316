"""The ratios of a benchmark's table as bars."""

from typing import Any
from xml.sax.saxutils import escape

from util.loggers.curve import STYLE

ROW, LEFT, RIGHT, WIDTH = 26, 190, 130, 760
COLOURS = {"reference": "#9aa4b1", "ours": "#4c8dff"}


def bars(table: list[dict[str, Any]], field: str, title: str, unit: str, digits: int, top: float) -> str:
    """A bar for each case, from `top` down, with its value and, for ours, what part of the reference's."""
    longest = max(row[field] for row in table)
    parts = [f'<text class="title" x="{LEFT}" y="{top + 16}">{escape(title)}</text>']
    reference = {row["model"]: row[field] for row in table if row["subject"] == "reference"}
    for number, row in enumerate(table, 1):
        y, width = top + number * ROW, (WIDTH - LEFT - RIGHT) * row[field] / longest
        value = f"{row[field]:,.{digits}f} {unit}"
        if row["subject"] == "ours" and row["model"] in reference:
            value += f" ({row[field] / reference[row['model']]:.2f})"
        parts.append(f'<text x="{LEFT - 8}" y="{y + 15}" text-anchor="end">{escape(row["case"])}</text>'
                     f'<rect x="{LEFT}" y="{y + 3}" width="{width:.1f}" height="16" '
                     f'fill="{COLOURS[row["subject"]]}"/>'
                     f'<text x="{LEFT + width + 6:.1f}" y="{y + 15}">{value}</text>')
    return "".join(parts)


def draw(table: list[dict[str, Any]], what: str) -> str:
    """An SVG image: the seconds of each case and its peak of memory."""
    half = (len(table) + 1) * ROW + 10
    seconds = bars(table, "seconds", f"{what}: median seconds (of the reference's)", "s", 2, 0)
    memory = bars(table, "peak_MB", "peak of memory (of the reference's)", "MB", 0, half)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{2 * half}">'
            f'<style>{STYLE}</style>{seconds}{memory}</svg>\n')
