"""Time training, translation and reading images; beside the reference implementation where one is at hand.

    python scripts/benchmark.py step --models CUT FastCUT SinCUT --precisions fp32 bf16
    python scripts/benchmark.py step --reference ../contrastive-unpaired-translation
    python scripts/benchmark.py epoch --dataroot ./datasets/horse2zebra --max_dataset_size 20
    python scripts/benchmark.py translate --dataroot ./datasets/horse2zebra --reference ...
    python scripts/benchmark.py data --dataroot ./datasets/horse2zebra --num_threads 8
    python scripts/benchmark.py step --precisions bf16 --flags= --flags=--channels_last

Every case runs in a process of its own, so that each has its own peak of memory; with --reference our
cases alternate with the reference's, round after round, and ratios are taken of the medians. The
reference's interpreter may be another (--reference_python). Prints a table; --profile adds where the time of
one of our steps goes, --json writes all that was measured. On a machine that others use too, --threads 1
--clock cpu counts the processor's time instead of the wall's.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from scripts.timing.plot import draw  # noqa: E402
from scripts.timing.report import quartiles, ratios, render  # noqa: E402

WORKERS = ROOT / "scripts" / "timing"

MODELS = {"CUT": "--model cut --CUT_mode CUT", "FastCUT": "--model cut --CUT_mode FastCUT",
          "SinCUT": "--model sincut", "CycleGAN": "--model cycle_gan", "GcGAN": "--model gcgan",
          "DistanceGAN": "--model distance_gan", "SelfDistance": "--model distance_gan --use_self_distance"}
OF_THE_REFERENCE = ("CUT", "FastCUT", "SinCUT")     # its CycleGAN does not start as it is published

# Floating point operations of one training step at 256 pixels and batch 1, of the operations that the model
# needs: G's passes, D's, their backwards and the encoder's; what repeats itself is not counted. FastCUT's is
# the mean of mirrored and unmirrored steps.
STEP_GFLOP = {"CUT": 1286.0, "FastCUT": 730.0}
# Flags of --flags that leave these operations what they are.
SAME_OPERATIONS = {"--channels_last", "--compile", "--grad_checkpoint"}


class Case(NamedTuple):
    """What is timed. subject: ours or reference."""

    subject: str
    model: str
    precision: str
    flags: str = ""

    @property
    def name(self) -> str:
        shown = f"{self.precision} {self.flags}".strip() if self.subject == "ours" else "reference"
        return f"{self.model} {shown}"


def main() -> None:
    args = parse()
    told = {"device": args.device, "clock": args.clock}
    peak = run_worker(sys.executable, "peak.py", args, told) if args.what == "step" else {}
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
        Path(args.plot).write_text(draw(table, args.what))
    if args.json:
        content = {"command": sys.argv[1:], "machine": machine(args), "peak": peak, "load": os.getloadavg(),
                   "results": table}
        Path(args.json).write_text(json.dumps(content, indent=1) + "\n")


def parse() -> Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0],
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add = parser.add_argument
    add("what", choices=["step", "epoch", "translate", "data"], help="what is timed")
    add("--models", nargs="+", choices=MODELS, default=["CUT"], help="models")
    add("--precisions", nargs="+", default=["fp32"], help="values of --precision")
    add("--size", type=int, default=None, help="pixels a side; default: 256, SinCUT 64")
    add("--batch_size", type=int, default=None, help="images a step; default: 1, SinCUT 16")
    add("--steps", type=int, default=10, help="steps that count, in each round")
    add("--warmup", type=int, default=2, help="steps before those")
    add("--rounds", type=int, default=3, help="processes for each case, alternating")
    add("--threads", type=int, default=os.cpu_count(), help="CPU threads of torch")
    add("--clock", choices=["wall", "cpu"], default="wall", help="which time is measured")
    add("--device", default="cpu", help="cpu or cuda")
    add("--dataroot", default=None, help="data set for epoch, translate and data")
    add("--max_dataset_size", type=int, default=None, help="images a side at most")
    add("--num_threads", type=int, default=4, help="worker processes that read images")
    add("--flags", action="append", metavar="='FLAGS'",
        help="more flags of train.py and test.py for our cases; given again, more cases")
    add("--reference", default=None, help="checkout of the reference implementation")
    add("--reference_python", default=sys.executable, help="interpreter for it")
    add("--profile", action="store_true", help="also tell where the time of one of our steps goes")
    add("--json", default=None, help="file for all that was measured")
    add("--plot", default=None, help="SVG file for bars of the medians and of the memory")
    args = parser.parse_args()
    if args.what != "step" and not args.dataroot:
        parser.error(f"{args.what} needs --dataroot, a folder with trainA, trainB, testA and testB")
    if args.what == "data" and args.reference:
        parser.error("data times our loader alone; leave --reference out")
    return args


def cases(args: Namespace) -> list[Case]:
    """All cases of a round: ours in each format and with each --flags, the reference's once a model."""
    found = []
    for model in args.models:
        found += [Case("ours", model, precision, flags)
                  for precision in args.precisions for flags in args.flags or [""]]
        if args.reference and model in OF_THE_REFERENCE:
            found.append(Case("reference", model, "fp32"))
    return found


def settings(case: Case, args: Namespace) -> dict[str, Any]:
    """What a worker is told, with the model's own sizes where none were given."""
    single = case.model == "SinCUT"
    return {"what": args.what, "model_flags": MODELS[case.model].split(), "precision": case.precision,
            "device": args.device, "size": args.size or (64 if single else 256), "clock": args.clock,
            "batch_size": args.batch_size or (16 if single else 1), "steps": args.steps,
            "warmup": args.warmup, "profile": args.profile,
            "dataroot": args.dataroot and os.path.abspath(args.dataroot),
            "max_dataset_size": args.max_dataset_size, "num_threads": args.num_threads,
            "flags": case.flags,
            "checkout": os.path.abspath(args.reference) if case.subject == "reference" else str(ROOT)}


def measure(case: Case, args: Namespace) -> dict[str, Any]:
    python = args.reference_python if case.subject == "reference" else sys.executable
    return run_worker(python, f"{case.subject}.py", args, settings(case, args))


def run_worker(python: str, script: str, args: Namespace, told: dict[str, Any]) -> dict[str, Any]:
    """Run a worker in a process of its own. Returns the JSON object that it writes. Exits where it fails."""
    environment = os.environ | {"OMP_NUM_THREADS": str(args.threads)}
    with tempfile.TemporaryDirectory() as folder:
        answer = os.path.join(folder, "answer.json")
        told = told | {"folder": folder, "threads": args.threads, "answer": answer}
        command = [python, str(WORKERS / script), json.dumps(told)]
        done = subprocess.run(command, cwd=told.get("checkout", ROOT), env=environment, capture_output=True,
                              text=True)
        if done.returncode:
            sys.exit(f"benchmark.py: error: {script} failed:\n{done.stdout[-1500:]}{done.stderr[-1500:]}")
        return json.loads(Path(answer).read_text())


def summary(case: Case, runs: list[dict[str, Any]], args: Namespace,
            peak: dict[str, float]) -> dict[str, Any]:
    """Median and spread (quartiles) of all rounds' times."""
    seconds = sorted(second for run in runs for second in run["seconds"])
    median = statistics.median(seconds)
    told = settings(case, args)
    row = {"case": case.name, "subject": case.subject, "model": case.model, "precision": case.precision,
           "size": told["size"], "batch_size": told["batch_size"], "seconds": round(median, 5),
           "quartiles": [round(q, 5) for q in quartiles(seconds)], "samples": len(seconds),
           "images_per_second": round(runs[0]["images"] / median, 4),
           "peak_MB": round(max(run["peak_MB"] for run in runs))}
    if args.what == "step" and case.model in STEP_GFLOP and set(told["flags"].split()) <= SAME_OPERATIONS:
        gflop = STEP_GFLOP[case.model] * (told["size"] / 256) ** 2 * told["batch_size"]
        row["GFLOP/s"] = round(gflop / median, 1)
        best = peak.get("bf16_GFLOP/s" if case.precision in ("bf16", "fp16") else "fp32_GFLOP/s")
        row["of_peak"] = round(gflop / median / best, 3)
    if "operations" in runs[0]:
        row["operations"] = runs[0]["operations"]
    return row


def machine(args: Namespace) -> dict[str, Any]:
    names = [line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    return {"processor": names[0] if names else platform.processor(), "cores": os.cpu_count(),
            "threads": args.threads, "python": platform.python_version(), "system": platform.system()}


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if os.path.exists(path) else []


if __name__ == "__main__":
    main()
