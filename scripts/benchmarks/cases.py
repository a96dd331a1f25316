"""The cases of a benchmark: what is timed, by which worker process, and the table row that comes out."""

import json
import os
import platform
import statistics
import sys
import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any, NamedTuple

from scripts.benchmarks.processes import last_line, run_bounded
from scripts.benchmarks.report import draw, quartiles, ratios, render
from util.errors import RunError

ROOT = Path(__file__).resolve().parents[2]
WORKERS = ROOT / "scripts" / "benchmarks" / "workers"

MODELS = {"CUT": "--model cut", "FastCUT": "--model cut --CUT_mode FastCUT",
          "SinCUT": "--model sincut", "CycleGAN": "--model cycle_gan", "GcGAN": "--model gcgan",
          "DistanceGAN": "--model distance_gan", "SelfDistance": "--model distance_gan --use_self_distance",
          "EnCo": "--model enco", "MUNIT": "--model munit",
          "DRIT": "--model drit",
          "DCLGAN": "--model dclgan", "SimDCL": "--model dclgan --dcl_mode simdcl"}
OF_THE_REFERENCE = ("CUT", "FastCUT", "SinCUT")     # its CycleGAN does not start as it is published
BATCHES = {"SinCUT": 16, "DRIT": 2}     # the models' own, where it is not 1
SINCUT_ITEMS = 1600     # crops that `data` reads; an epoch of SinCUT, 100,000 crops, would take minutes

# Floating point operations of one training step at 256 pixels and batch 1, of the operations that the model
# needs: G's passes, D's, their backwards and the encoder's; repeated operations are not counted. FastCUT's is
# the mean of mirrored and unmirrored steps.
STEP_GFLOP = {"CUT": 1286.0, "FastCUT": 730.0}
# Flags of --flags that do not change these operations.
SAME_OPERATIONS = {"--channels_last", "--compile", "--cuda_graph", "--grad_checkpoint", "true", "false",
                   "auto"}


class Case(NamedTuple):
    """One thing to time. subject: ours, baseline (an older checkout of this project) or reference."""

    subject: str
    model: str
    precision: str
    flags: str = ""

    @property
    def name(self) -> str:
        if self.subject == "reference":
            return f"{self.model} reference"
        shown = f"{self.model} {self.precision} {self.flags}".strip()
        return shown if self.subject == "ours" else f"{shown} baseline"


def time_cases(args: Namespace) -> None:
    """Time all cases round after round; print the table, and write --json and --plot."""
    peak = peak_of_device(args) if args.command == "step" else {}
    results: dict[Case, list[dict[str, Any]]] = {}
    for number in range(args.rounds):
        for case in cases(args):
            found = measure(case, args)
            results.setdefault(case, []).append(found)
            seconds = ", ".join(f"{second:.3f}" for second in found["seconds"])
            print(f"round {number + 1}/{args.rounds}: {case.name}: {seconds} s", flush=True)
    table = [summary(case, runs, args, peak) for case, runs in results.items()]
    for row in table:
        row["ratio"] = ratios(row, table)
    print(render(table, peak))
    if args.plot:
        args.plot.write_text(draw(table, args.command))
    if args.json:
        content = {"command": sys.argv[1:], "machine": machine(args), "peak": peak, "load": os.getloadavg(),
                   "results": table}
        args.json.write_text(json.dumps(content, indent=1) + "\n")


def peak_of_device(args: Namespace) -> dict[str, float]:
    """The most that the device reaches: GFLOP/s in each number format, and GB/s of copying."""
    return run_worker(sys.executable, "peak_worker.py", args, {"device": args.device, "clock": args.clock})


def cases(args: Namespace) -> list[Case]:
    """The cases of a round: each of ours, the baseline's beside it, and the reference's once a model."""
    found = []
    subjects = ("ours", "baseline") if args.baseline else ("ours",)
    for model in args.models:
        found += [Case(subject, model, precision, flags) for precision in args.precisions
                  for flags in args.flags or [""] for subject in subjects]
        if args.reference and model in OF_THE_REFERENCE:
            found.append(Case("reference", model, "fp32"))
    return found


def settings(case: Case, args: Namespace) -> dict[str, Any]:
    """The settings of a case's worker, with the model's own sizes where none were given."""
    single = case.model == "SinCUT"
    checkout = {"ours": ROOT, "baseline": args.baseline, "reference": args.reference}[case.subject]
    return {"command": args.command, "model_flags": MODELS[case.model].split(), "precision": case.precision,
            "device": args.device, "size": args.size or (64 if single else 256), "clock": args.clock,
            "batch_size": args.batch_size or BATCHES.get(case.model, 1), "steps": args.steps,
            "warmup": args.warmup, "profile": args.profile,
            "dataroot": args.dataroot and os.path.abspath(args.dataroot),
            "max_dataset_size": args.max_dataset_size, "num_threads": args.num_threads,
            "items": args.items or (SINCUT_ITEMS if single else None), "flags": case.flags,
            "checkout": os.path.abspath(checkout)}


def measure(case: Case, args: Namespace) -> dict[str, Any]:
    """The answer of the case's worker: seconds, images, peak_MB, the precision that `auto` stood for and,
    with --profile, operations.
    """
    if case.subject == "reference":
        return run_worker(args.reference_python, "reference_worker.py", args, settings(case, args))
    return run_worker(sys.executable, "project_worker.py", args, settings(case, args))


def run_worker(python: str, script: str, args: Namespace, settings: dict[str, Any]) -> dict[str, Any]:
    """Run a worker in a process of its own. Returns the JSON object that it writes; RunError where it fails.

    The worker imports options, models and data from the checkout that the settings name.
    """
    checkout = settings.get("checkout", str(ROOT))
    path = os.pathsep.join(filter(None, [checkout, os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"OMP_NUM_THREADS": str(args.threads), "PYTHONPATH": path}
    with tempfile.TemporaryDirectory() as folder:
        answer = os.path.join(folder, "answer.json")
        settings = settings | {"folder": folder, "threads": args.threads, "answer": answer}
        command, log = [python, str(WORKERS / script), json.dumps(settings)], Path(folder, "log")
        if run_bounded(command, log, seconds=args.timeout, cwd=checkout, environment=environment):
            print(log.read_text(errors="replace")[-3000:], file=sys.stderr)
            raise RunError(f"{script} failed in {checkout}; its output stands above: {last_line(log)}")
        return json.loads(Path(answer).read_text())


def summary(case: Case, runs: list[dict[str, Any]], args: Namespace,
            peak: dict[str, float]) -> dict[str, Any]:
    """A row of the table: median and quartiles of all rounds' seconds, and what follows from them."""
    seconds = sorted(second for run in runs for second in run["seconds"])
    median = statistics.median(seconds)
    sizes = settings(case, args)
    row = {"case": case.name, "subject": case.subject, "model": case.model, "precision": case.precision,
           "flags": case.flags, "size": sizes["size"], "batch_size": sizes["batch_size"],
           "seconds": round(median, 5), "quartiles": [round(q, 5) for q in quartiles(seconds)],
           "samples": len(seconds), "images_per_second": round(runs[0]["images"] / median, 4),
           "peak_MB": round(max(run["peak_MB"] for run in runs))}
    if args.command == "step" and case.model in STEP_GFLOP and set(case.flags.split()) <= SAME_OPERATIONS:
        gflop = STEP_GFLOP[case.model] * (sizes["size"] / 256) ** 2 * sizes["batch_size"]
        row["GFLOP/s"] = round(gflop / median, 1)
        if best := peak_of(runs[0].get("precision", case.precision), peak):
            row["of_peak"] = round(gflop / median / best, 3)
    if "operations" in runs[0]:
        row["operations"] = runs[0]["operations"]
    return row


def peak_of(precision: str, peak: dict[str, float]) -> float | None:
    """GFLOP/s that the device reaches in a number format; a CPU's fp16 is set beside its bf16."""
    return peak.get(f"{precision}_GFLOP/s", peak.get("bf16_GFLOP/s") if precision == "fp16" else None)


def machine(args: Namespace) -> dict[str, Any]:
    """The processor and the Python that were measured with."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return {"processor": names[0] if names else platform.processor(), "cores": os.cpu_count(),
            "threads": args.threads, "python": platform.python_version(), "system": platform.system()}
