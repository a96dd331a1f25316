"""The part of a GPU report that times steps, epochs and translations, by the code of scripts/benchmark.py."""

import os
from argparse import Namespace
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

from scripts import benchmark
from scripts.benchmarks.cases import Case, measure, peak_of_device, summary
from scripts.benchmarks.report import ratios
from scripts.gpu.parts import Context, Data
from scripts.gpu.plan import LEFT_TO_AUTO, Plan, Timing
from util.console import say
from util.errors import RunError

AT_MOST = 150       # seconds for a case; compiling takes longest
AT_LEAST = 5        # seconds below which no case is begun


def time_all(context: Context, data: Data) -> None:
    """data: `peak` of the device; `rows` of summary(), in the plan's order; `failed`, name -> why;
    `not_reached`, names.
    """
    plan = context.plan
    data |= {"peak": {}, "rows": [], "failed": {}, "not_reached": []}
    with open(context.work / "log.txt", "w") as log, redirect_stderr(log):
        try:
            data["peak"] = peak_of_device(arguments(Timing("step", "CUT", 1), context))
        except RunError as error:
            data["failed"]["the device's peak"] = str(error)
        for timing in plan.timings:
            if context.left < AT_LEAST:
                data["not_reached"].append(timing.name)
                continue
            try:
                data["rows"].append(row := time_one(timing, context, data["peak"]))
                say(f"  {row['case']}: {1000 * row['seconds']:.1f} ms")
            except RunError as error:
                data["failed"][timing.name] = str(error).split("stands above: ")[-1]
                say(f"  {timing.name}: {data['failed'][timing.name]}")
    for row in data["rows"]:
        row["ratio"] = ratios(row, [other for other in data["rows"] if other["what"] == row["what"]])


def time_one(timing: Timing, context: Context, peak: dict[str, float]) -> dict[str, Any]:
    """A row: benchmark's summary, and with it what was timed and what the flags said of themselves."""
    args = arguments(timing, context)
    auto = "" if timing.what == "translate" else LEFT_TO_AUTO
    flags = " ".join(filter(None, (context.plan.timing_flags.get(timing.model), auto, timing.flags)))
    if timing.precision == "reference":
        case = Case("reference", timing.model, "fp32")
    else:
        case = Case("ours", timing.model, timing.precision, flags)
    found = measure(case, args)
    return summary(case, [found], args, peak) | {
        "case": timing.name, "what": timing.what, "changed": timing.flags, "said": found.get("said", []),
        "resolved": found["precision"]}


def arguments(timing: Timing, context: Context) -> Namespace:
    """What `benchmark.py` reads from a command line of that case."""
    plan: Plan = context.plan
    line = [timing.what, "--device", plan.device, "--batch_size", str(timing.batch), "--rounds", "1"]
    line += ["--size", str(plan.timing_size)] if plan.timing_size else []
    line += ["--threads", os.environ.get("OMP_NUM_THREADS", str(os.cpu_count()))]
    if timing.what == "step":
        line += ["--steps", str(plan.steps)]
    else:
        line += ["--dataroot", str(context.dataroot), "--max_dataset_size", str(plan.epoch_images)]
        line += ["--num_threads", "4" if plan.device == "cuda" else "0"]
    if context.reference:
        line += ["--reference", str(Path(context.reference).absolute())]
    args = benchmark.parse(line)
    args.timeout = min(AT_MOST, context.left)
    return args
