"""The page that gpu_report.py writes: docs/gpu.md, or a rehearsal of it, with its images beside it."""

import shutil
from argparse import Namespace
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from scripts.benchmarks.report import draw
from scripts.gpu.agreement import LIMITS
from scripts.gpu.choices import Choice, judge
from scripts.gpu.plan import Plan
from scripts.reports.compare_curves import draw as draw_losses
from util.atomic import write_text

REHEARSAL = "# Rehearsal of the GPU report, on a CPU\n"      # a rehearsal's first line, and no other page's
TITLES = {"tests": "tests marked `cuda`", "agreement": "agreement with float64", "memory": "memory",
          "speed": "speed", "training": "a training, killed and resumed"}
NAME_IN_LEGEND = "the training"
KINDS = {
    "step": "Steps: 20 warm up (2 on a CPU), then rows of 10 are timed between two synchronisations (on a "
            "CPU, each step).",
    "epoch": "An epoch, reading images included: the time of the whole.",
    "translate": "test.py from its start to its end: the time of the whole."}
ABOUT_REHEARSALS = """**The numbers say nothing about a GPU, nor about this CPU**: tiny networks and
images ran through all parts of the report, to show that each works before there is a GPU.
"""
ABOUT_CHOICES = """## What `auto` chose

CUT at batch 1, one choice changed at a time. A choice is contradicted where another is more than 5 % faster
and the quartiles do not overlap.
"""
ABOUT_MEMORY = """## Memory at {side} pixels, in MiB

Computed, as for the table in performance.md: any step but the first. Counted by the GPU's allocator: steps
after the first; all steps, cuDNN's trials among them; and what it took from the GPU.
"""
ABOUT_AGREEMENT = """## Agreement with float64

One step on the device beside the same step in float64 on the CPU: the largest relative difference of a loss
and of a network's gradients, and the correlation of the weights' changes. Adam's first change is nearly the
gradient's sign, so weights whose gradient is rounding alone lower it. Limits of losses and gradients:
{limits}.
"""
H2Z_STEPS, EPOCHS = 1334, 400       # an epoch of horse2zebra at batch 1, and the paper's schedule


def is_rehearsal(page: Path) -> bool:
    return page.read_text(encoding="utf-8", errors="replace").startswith(REHEARSAL)


def write_page(page: Path, record: dict[str, Any], plan: Plan, auto: Namespace) -> None:
    """The page from what is known so far; record: facts, command, and the data of every part begun."""
    page.parent.mkdir(parents=True, exist_ok=True)
    parts = record["parts"]
    choices = choices_of(record, plan, auto)
    sections = (lambda: head(record, plan), lambda: summary(parts, choices, plan),
                lambda: machine(record["facts"]), lambda: chosen(choices),
                lambda: speed(parts.get("speed", {}), page), lambda: memory(parts.get("memory", {}), plan),
                lambda: agreement(parts.get("agreement", {})),
                lambda: training(parts.get("training", {}), page), lambda: tests(parts.get("tests", {})))
    text = []
    for section in sections:
        try:
            text.append(section())
        except Exception as error:      # ten minutes of a GPU are worth more than a section of their page
            text.append(f"**A section could not be written** ({type(error).__name__}: {error}); its numbers "
                        "are in record.json.\n")
    write_text(page, "\n".join(filter(None, text)))


def choices_of(record: dict[str, Any], plan: Plan, auto: Namespace) -> list[Choice]:
    parts, values = record["parts"], vars(auto)
    known = {flag: values[flag] for flag in ("precision", "channels_last", "compile", "cuda_graph")
             if flag in values}
    return judge(known, parts.get("speed", {}).get("rows", []), parts.get("agreement", {}).get("rows", []),
                 plan.precisions)


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], words: int = 1) -> str:
    """Markdown; the first `words` columns hold words, the others numbers. Empty columns are left out."""
    lines = [list(map(str, line)) for line in (head, ["---"] * words + ["---:"] * (len(head) - words), *rows)]
    kept = [i for i in range(len(head)) if len(lines) == 2 or any(line[i] for line in lines[2:])]
    lines = [[line[i] for i in kept] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


# ---- the parts of the page

def head(record: dict[str, Any], plan: Plan) -> str:
    if plan.device == "cpu":
        return f"{REHEARSAL}\n    {record['command']}\n\nMade on {record['date']}. {ABOUT_REHEARSALS}"
    return (f"# On a GPU: {record['facts']['device']}\n\n    {record['command']}\n\nwrote this page on "
            f"{record['date']}, and its images. What was computed without a GPU stands in\n"
            "[performance.md](performance.md).\n")


def summary(parts: dict[str, dict[str, Any]], choices: list[Choice], plan: Plan) -> str:
    lines = []
    step = next((row for row in fastest(parts) if row["batch_size"] == 1), None)
    if step and plan.device != "cpu":
        hours = step["seconds"] * H2Z_STEPS * EPOCHS / 3600
        lines.append(f"- **{step['case']}: {milliseconds(step['seconds'])} a step**, the fastest at batch 1; "
                     f"{EPOCHS} epochs of {H2Z_STEPS:,} such steps take {hours:.1f} hours.")
    against = [choice for choice in choices if choice.verdict == "contradicted"]
    lines += [f"- **`auto` is contradicted**: `{one.flag} {one.chosen}`, but {one.why}." for one in against]
    if not against:
        measured = sum(choice.verdict == "holds" for choice in choices)
        lines.append(f"- None of `auto`'s choices is contradicted: {measured} compared, "
                     f"{len(choices) - measured} not measured.")
    rows = [[TITLES[name], "not run" if name not in parts else result(name, parts[name]),
             f"{parts[name]['seconds']:.0f} s" if "seconds" in parts.get(name, {}) else ""]
            for name in TITLES]
    return "\n".join(lines) + "\n\n" + table(["part", "result", "time"], rows, words=2)


def fastest(parts: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """CUT's steps of this project, the fastest first."""
    rows = parts.get("speed", {}).get("rows", [])
    return sorted((row for row in rows if row["what"] == "step" and row["model"] == "CUT"
                   and row["subject"] == "ours"), key=lambda row: row["seconds"])


def result(name: str, data: dict[str, Any]) -> str:
    """A part in a few words, and why it is not whole."""
    words = {"tests": lambda: counts(data.get("outcomes", {})),
             "agreement": lambda: f"{sum(row['agrees'] for row in data.get('rows', []))} of "
                                  f"{len(data.get('rows', []))} agree",
             "memory": lambda: f"{len(data.get('rows', []))} compared",
             "speed": lambda: f"{len(data.get('rows', []))} timed, {len(data.get('failed', {}))} failed, "
                              f"{len(data.get('not_reached', []))} not reached",
             "training": lambda: ", ".join(key for key in ("killed", "resumed", "ended", "translated")
                                           if key in data) or "nothing"}[name]()
    return f"{words}; **{data['problem']}**" if "problem" in data else words


def counts(outcomes: dict[str, str]) -> str:
    kinds = sorted(set(outcomes.values()))
    return ", ".join(f"{list(outcomes.values()).count(kind)} {kind.lower()}" for kind in kinds) or "none"


def machine(facts: dict[str, Any]) -> str:
    return "## The machine\n\n" + table(["", ""], facts.items(), words=2)


def chosen(choices: list[Choice]) -> str:
    rows = [[f"`{one.flag}`", one.chosen, one.other, one.verdict, one.why] for one in choices]
    return f"{ABOUT_CHOICES}\n" + table(["flag", "chosen", "instead", "verdict", ""], rows, words=5)


def milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.2f} ms" if seconds < 1 else f"{seconds:.2f} s"


def speed(data: dict[str, Any], page: Path) -> str:
    if not data:
        return ""
    text = ["## Speed\n"]
    timed = sorted(data.get("rows", []), key=lambda row: (row["model"] != "CUT", row["batch_size"]))
    for what, title in KINDS.items():
        rows = [row for row in timed if row["what"] == what]
        if rows:
            text += [title, "", timings_table(rows)]
    steps = [row for row in timed if row["what"] == "step"]
    if steps:
        image = page.with_name(f"{page.stem}_speed.svg")
        write_text(image, draw(steps, "step"))
        text.append(f"![Bars: milliseconds a step and peak of memory of every case above]({image.name})\n")
    peak = ", ".join("{} {:,.0f} {}".format(name.split("_")[0], value, name.split("_")[1])
                     for name, value in data.get("peak", {}).items())
    text += [f"The device's measured peak: {peak}."] if peak else []
    text += [""]
    said = {line: row["case"] for row in timed for line in row["said"]}
    text += [f"- {case}: {line}" for line, case in said.items()]
    text += [f"- {name} failed: {why}" for name, why in data.get("failed", {}).items()]
    if data.get("not_reached"):
        text.append(f"- Not reached in the time (`--minutes` gives more): {'; '.join(data['not_reached'])}.")
    return "\n".join(text) + "\n"


def timings_table(rows: list[dict[str, Any]]) -> str:
    cells = []
    for row in rows:
        ratio = row["ratio"] or {"faster": ""}
        part = f"{row['of_peak']:.0%}" if "of_peak" in row else ""
        spread = " to ".join(map(milliseconds, row["quartiles"])) if row["samples"] > 1 else ""
        cells.append([row["case"], row["resolved"], milliseconds(row["seconds"]), spread,
                      f"{row['images_per_second']:.1f}",
                      f"{row['peak_MB']:,}", part, ratio["faster"]])
    return table(["case", "ran in", "median", "quartiles", "images/s", "peak MB", "of the format's peak",
                  "times the reference"], cells, words=2)


def memory(data: dict[str, Any], plan: Plan) -> str:
    if not data.get("rows"):
        return ""
    side = plan.memory_sizes[1]
    rows = [[f"`{row['flags']}`", row["batch"], f"{row['computed']:,.0f}",
             *(f"{row[key]:,.0f}" if key in row else row.get("note", "")
               for key in ("later", "all", "reserved"))] for row in data["rows"]]
    return ABOUT_MEMORY.format(side=side) + "\n" + table(
        ["flags", "batch", "computed", "later steps", "all steps", "reserved"], rows)


def agreement(data: dict[str, Any]) -> str:
    if not data.get("rows"):
        return ""
    rows = [[row["model"], row["precision"], f"{row['loss']:.1e} ({row['of_loss']})",
             f"{row['gradient']:.1e} ({row['of_network']})", f"{row['changes']:.4f}",
             f"{row['scale']:g}" if row["precision"] == "fp16" else "", "yes" if row["agrees"] else "**no**"]
            for row in data["rows"]]
    limits = "; ".join(f"{name} {loss:g} and {gradients:g}" for name, (loss, gradients) in LIMITS.items())
    return ABOUT_AGREEMENT.format(limits=limits) + "\n" + table(
        ["model", "format", "losses", "gradients", "changes", "fp16's scale", "agrees"], rows, words=2)


def training(data: dict[str, Any], page: Path) -> str:
    if not data:
        return ""
    text = ["## A training, killed and resumed\n", f"{data['images_of']}\n"]
    if "killed" in data:
        killed = data["killed"]
        text.append(f"- `kill -9` after {killed['images']:,} images; on the disk was the state after "
                    f"{killed['saved']:,}.")
    if "resumed" in data:
        text.append(f"- `--continue_train`: {data['resumed']['line']}.")
    if "ended" in data:
        end = data["ended"]
        gaps = (f"{end['usual_gap']} images apart, at most {end['largest_gap']}"
                if end["in_order"] else "**not in order**")
        code = "143" if end["code"] == 143 else f"{end['code']} (**143 was expected**)"
        text.append(f"- SIGTERM after {end['images']:,} images: exit code {code}, saved after "
                    f"{end['saved']:,}; {end['lines']:,} lines of losses, {gaps}.")
    if "compute" in data:
        text.append(f"- Seconds an image, medians of `loss_log.txt`: {data['compute']} computing, "
                    f"{data['data']} waiting for images.")
    if data.get("losses"):
        image = page.with_name(f"{page.stem}_losses.svg")
        write_text(image, draw_losses({NAME_IN_LEGEND: [data["losses"]]}, list(data["losses"]), 5))
        text.append(f"\n![The losses of this training over the images seen]({image.name})")
    if "sheet" in data:
        image = page.with_name(f"{page.stem}_sheet.png")
        shutil.copyfile(data["sheet"], image)
        text.append(f"\n![{data['translated']} test images above, their translations below]({image.name})")
    return "\n".join(text) + "\n"


def tests(data: dict[str, Any]) -> str:
    bad = [f"- `{name}`: {outcome.lower()}" for name, outcome in data.get("outcomes", {}).items()
           if outcome in ("FAILED", "ERROR")]
    return "\n".join(["## Tests marked `cuda` that failed\n", *bad, ""]) if bad else ""
