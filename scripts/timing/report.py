"""The table of a benchmark: medians, quartiles, ratios, and the operations of a step."""

import statistics
from typing import Any


def quartiles(values: list[float]) -> list[float]:
    if len(values) < 2:
        return [values[0], values[0]]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return [low, high]


def ratios(row: dict[str, Any], table: list[dict[str, Any]]) -> dict[str, float] | None:
    """How many times faster than the reference's median, and what part of its memory."""
    others = [r for r in table if r["subject"] == "reference" and r["model"] == row["model"]]
    if row["subject"] == "reference" or not others:
        return None
    return {"faster": round(others[0]["seconds"] / row["seconds"], 2),
            "memory": round(row["peak_MB"] / others[0]["peak_MB"], 2)}


def render(table: list[dict[str, Any]], peak: dict[str, float]) -> str:
    lines = [*([f"measured peak: {peak}", ""] if peak else []),
             f"{'case':30}{'median s':>10}{'quartiles':>20}{'images/s':>10}{'peak MB':>9}{'GFLOP/s':>9}"
             f"{'of peak':>9}{'faster':>8}{'memory':>8}"]
    for row in table:
        spread = "-".join(f"{q:.3f}" for q in row["quartiles"])
        ratio = row["ratio"] or {"faster": "", "memory": ""}
        lines.append(f"{row['case']:30}{row['seconds']:10.3f}{spread:>20}{row['images_per_second']:10.3f}"
                     f"{row['peak_MB']:9}{row.get('GFLOP/s', ''):>9}{row.get('of_peak', ''):>9}"
                     f"{ratio['faster']:>8}{ratio['memory']:>8}")
    return "\n".join(lines + [line for row in table if "operations" in row for line in shares(row)])


def shares(row: dict[str, Any], shown: int = 12) -> list[str]:
    """The longest operations of a step, with what part of all operations' time they take."""
    total = sum(each["seconds"] for each in row["operations"])
    return ["", f"{row['case']}, operations of one step under the profiler: {total:.3f} s",
            *(f"{one['seconds'] / total:7.1%} {one['seconds']:8.3f} s {one['calls']:6} x {one['operation']}"
              for one in row["operations"][:shown])]
