"""What `auto` chose on a device, and whether the device's own numbers speak against it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

Row = dict[str, Any]        # of timings.time_one
# Words of a line that a flag says where it comes to nothing.
IN_VAIN = ("runs uncompiled", "without a graph")
MARGIN = 1.05               # how much faster another choice must be, beyond the quartiles' overlap


class Choice(NamedTuple):
    """One choice at batch 1. verdict: holds, contradicted or not measured; why: the numbers, in words."""

    flag: str
    chosen: str
    other: str
    verdict: str
    why: str


def judge(auto: dict[str, Any], rows: Sequence[Row], agreement: Sequence[dict[str, Any]],
          precisions: Sequence[str]) -> list[Choice]:
    """auto: what it stands for, by flag. rows: timings; agreement: rows of agreement.py."""
    steps = [row for row in rows if row["what"] == "step" and row["model"] == "CUT"
             and row["subject"] == "ours" and row["batch_size"] == 1]
    base = next((row for row in steps if row["precision"] == "auto" and not row["changed"]), None)
    chosen = auto["precision"]
    found = [compare("--precision", chosen, name, base, next(
        (row for row in steps if row["precision"] == name and not row["changed"]), None))
        for name in precisions if name != chosen]
    for flag in ("channels_last", "compile", "cuda_graph"):
        if flag in auto:
            typed = f"--{flag} false" if auto[flag] else f"--{flag}"
            other = next((row for row in steps
                          if row["precision"] == "auto" and row["changed"] == typed), None)
            now, then = (str(value).lower() for value in (bool(auto[flag]), not auto[flag]))
            found.append(compare(f"--{flag}", now, then, base, other))
    wrong = [row["model"] for row in agreement if row["precision"] == chosen and not row["agrees"]]
    if wrong:
        found.append(Choice("--precision", chosen, "fp32", "contradicted",
                            f"a step of {', '.join(wrong)} differs too much from float64"))
    return found


def compare(flag: str, chosen: str, other: str, base: Row | None, changed: Row | None) -> Choice:
    """base: the timing of what was chosen; changed: of the other choice."""
    if base is None or changed is None:
        return Choice(flag, chosen, other, "not measured", "")
    before, after = (in_vain(row) for row in (base, changed))
    if failed := [line for line in before if line.startswith(f"{flag}: ")]:
        return Choice(flag, chosen, other, "contradicted", failed[-1])
    if vain := [line for line in after if line not in before]:
        return Choice(flag, chosen, other, "not measured", vain[-1])
    times = base["seconds"] / changed["seconds"]
    clear = changed["quartiles"][1] < base["quartiles"][0]
    why = (f"{1000 * base['seconds']:.2f} ms a step, with {other} {1000 * changed['seconds']:.2f} ms: "
           f"{times:.2f} times as fast")
    return Choice(flag, chosen, other, "contradicted" if times > MARGIN and clear else "holds", why)


def in_vain(row: Row) -> list[str]:
    """The lines by which flags said, in a timing, that they come to nothing."""
    return [line for line in row["said"] if any(words in line for words in IN_VAIN)]
