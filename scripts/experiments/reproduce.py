"""Run experiments of the papers one after the other, and print their scores beside the papers'.

    python scripts/experiments/reproduce.py --list
    python scripts/experiments/reproduce.py horse2zebra_cut 'cityscapes_*' -- --batch_size 4
    python scripts/experiments/reproduce.py horse2zebra_cut --seeds 0 1 2
    python scripts/experiments/reproduce.py --table

Each is scripts/experiments/<name>.sh, whose head tells its cost. Flags behind -- go to train.py, and the
environment variables that experiments/common.sh names are passed on. Finished runs are skipped and
interrupted ones go on, so that the same command can be given again. With --seeds, runs are called
<name>_seed<n>, and the table shows mean and std.
"""

import argparse
import json
import math
import os
import re
import signal
import statistics
import subprocess
import sys
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
from util.errors import RunError, UsageError, run_command  # noqa: E402

FOLDER = Path(__file__).resolve().parent
STOPPED = (128 + signal.SIGINT, 128 + signal.SIGTERM)    # exit codes of a script that was asked to stop
# The paper's name of a score -> that of scripts/evaluate_segmentation.py, where they differ.
OUR_NAMES = {"mAP": "mean IoU"}


class Experiment(NamedTuple):
    """An experiment of a paper, as the head of its script describes it."""

    name: str
    title: str
    expected: dict[str, str]    # score -> the paper's value, with ? behind it where it is only recalled
    cost: str
    protocol: str               # which of a run's weights the paper scores, as far as is known
    users: dict[str, str]       # score -> what users of the published code report at the last epoch

    @property
    def script(self) -> Path:
        return FOLDER / f"{self.name}.sh"


def read_experiment(script: Path) -> Experiment:
    """From the comment lines at the head: the title, then `Key: text` lines."""
    comments = [line[2:] for line in script.read_text().splitlines() if line.startswith("# ")]
    fields = dict(line.split(": ", 1) for line in comments[1:])
    users = fields.get("Users", "").removesuffix(" at the last epoch")
    return Experiment(script.stem, comments[0], figures(fields["Expected"]), fields["Cost"],
                      fields.get("Protocol", "not said"), figures(users))


def figures(text: str) -> dict[str, str]:
    """The scores in "FID 34.4 ?, mAP 20.1" or "FID 60-68", by name."""
    return dict(re.findall(r"(\w+) ([\d.]+(?:-[\d.]+)?(?: \?)?)(?:, |$)", text))


def all_experiments() -> list[Experiment]:
    return [read_experiment(path) for path in sorted(FOLDER.glob("*.sh")) if path.name != "common.sh"]


def choose(patterns: Sequence[str]) -> list[Experiment]:
    """Those that a name or pattern means, all for no pattern. UsageError for one that means none."""
    known = all_experiments()
    for pattern in patterns:
        if not any(fnmatch(e.name, pattern) for e in known):
            raise UsageError(f"{pattern!r} names no experiment; --list shows them")
    return [e for e in known if not patterns or any(fnmatch(e.name, p) for p in patterns)]


def run_name(experiment: Experiment, seed: int | None) -> str:
    return experiment.name if seed is None else f"{experiment.name}_seed{seed}"


def run(experiment: Experiment, seed: int | None, flags: Sequence[str]) -> int:
    """The exit code of the experiment's script."""
    seeded = [] if seed is None else ["--seed", str(seed)]
    environment = {**os.environ, "NAME": run_name(experiment, seed)}
    print(f"\n== {environment['NAME']}: {experiment.title}", flush=True)
    return subprocess.Popen(["bash", str(experiment.script), *flags, *seeded], env=environment).wait()


def run_all(experiments: Sequence[Experiment], seeds: Sequence[int | None],
            flags: Sequence[str]) -> list[str]:
    """Run them; returns the names of those that failed. RunError after Ctrl-C or SIGTERM."""
    failed = []
    # The script gets the signal too, and saves; waiting for it must not be cut short.
    signal.signal(signal.SIGINT, lambda *_: None)
    for experiment, seed in ((e, s) for e in experiments for s in seeds):
        code = run(experiment, seed, flags)
        if code in STOPPED:
            raise RunError(f"{run_name(experiment, seed)} was stopped; the same command goes on")
        if code:
            failed.append(run_name(experiment, seed))
    return failed


def scores(name: str, results: Path) -> dict[str, float]:
    """A run's scores by scripts/evaluate.py and evaluate_segmentation.py; {} before they ran."""
    found = {}
    for path in sorted(results.glob(f"{name}/*_latest/*.json")):
        if path.name in ("metrics.json", "segmentation.json"):
            values = json.loads(path.read_text(encoding="utf-8"))["figures"]
            found |= {key: v["value"] if isinstance(v, dict) else v for key, v in values.items()}
    return {key: value for key, value in found.items() if value is not None and math.isfinite(value)}


def summarize(values: Sequence[float]) -> str:
    """Mean, and std where there are several values, to a tenth or, below 10, three digits."""
    if not values:
        return ""
    mean = statistics.mean(values)
    digits = 1 if abs(mean) >= 10 else 3
    spread = f" ± {statistics.stdev(values):.{digits}f} ({len(values)} seeds)" if len(values) > 1 else ""
    return f"{mean:.{digits}f}{spread}"


def table(experiments: Sequence[Experiment], seeds: Sequence[int | None], results: Path) -> str:
    """A Markdown table: the scores that the papers and users report, and ours as far as there are any.

    Ours are those of the last epoch. Protocols stand where the paper has a score.
    """
    rows = [("experiment", "score", "ours", "paper", "its protocol", "users"),
            ("---", "---", "---:", "---:", "---", "---:")]
    for experiment in experiments:
        runs = [scores(run_name(experiment, seed), results) for seed in seeds]
        names = {OUR_NAMES.get(name, name): name for name in experiment.expected}
        names |= {name: name for found in runs for name in found if name not in names}
        for ours, paper in names.items():
            values = [found[ours] for found in runs if ours in found]
            reported = experiment.expected.get(paper, "")
            rows.append((experiment.name, paper, summarize(values), reported,
                         experiment.protocol if reported else "", experiment.users.get(paper, "")))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = [[text.ljust(width) for text, width in zip(row, widths, strict=True)] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in padded)


def parse(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """The arguments, and the flags for train.py behind --."""
    own, flags = list(argv), []
    if "--" in own:
        at = own.index("--")
        own, flags = own[:at], own[at + 1:]
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help="experiments, or patterns such as 'cityscapes_*'")
    add("--list", action="store_true", help="show the experiments and their cost")
    add("--table", action="store_true", help="only print the table of the scores so far")
    add("--seeds", type=int, nargs="+", metavar="N", help="run each once with every seed")
    arguments = parser.parse_args(own)
    if not (arguments.names or arguments.list or arguments.table):
        raise UsageError("name the experiments to run; --list shows them, '*' means all")
    return arguments, flags


def main() -> None:
    arguments, flags = parse(sys.argv[1:])
    experiments, seeds = choose(arguments.names), arguments.seeds or [None]
    if arguments.list:
        print("\n".join(f"{e.name}\n    {e.title}\n    {e.cost}" for e in experiments))
        return
    failed = [] if arguments.table else run_all(experiments, seeds, flags)
    print("\n" + table(experiments, seeds, Path(os.environ.get("RESULTS", ROOT / "results"))))
    print("ours, users: at the last epoch. ? recalled, not checked against the paper")
    if failed:
        raise RunError(f"failed: {', '.join(failed)}; their messages stand above")


if __name__ == "__main__":
    run_command(main)
