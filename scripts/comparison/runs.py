"""Train, translate and read the runs of the comparison."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from scripts.comparison.protocol import METHODS, NETWORKS, SIZE, DataSet, Protocol
from util.atomic import write_text
from util.errors import RunError

ROOT = Path(__file__).resolve().parents[2]
UNTOUCHED = "untouched"     # the inputs themselves, scored as if they were translations
COSTS = "costs.json"        # of the methods: seconds of a step
FINISHED = "finished.txt"   # in a run's folder once it came to its end


class Score(NamedTuple):
    """An evaluation of a run: images seen, metrics by name (`kid_ema`: of the averages), images compared."""

    images: int
    metrics: dict[str, float]
    fake: int
    real: int


def complete(protocol: Protocol, chosen: DataSet, method: str, seed: int) -> None:
    """Train a run to its end and translate the test split, unless that is done. RunError if it fails."""
    folder = run_folder(protocol, chosen, method, seed)
    if not (folder / FINISHED).exists():
        flags = [*protocol.shared_flags(chosen), "--evaluation_features", str(protocol.features),
                 "--seed", str(seed), *METHODS[method].flags.split()]
        resumed = ["--continue_train"] if (folder / "latest_state.pth").exists() else []
        call("train.py", *protocol.where(chosen, method, seed), *flags, *resumed)
        write_text(folder / FINISHED, " ".join(flags) + "\n")
    if not translations(protocol, chosen, method, seed).is_dir():
        call("test.py", *protocol.where(chosen, method, seed), "--use_ema", "--precision", protocol.precision,
             "--results_dir", str(protocol.folder(chosen) / "results"))


def score_untouched(protocol: Protocol, chosen: DataSet) -> None:
    """Score the inputs: a translation has to be better than that."""
    output = protocol.folder(chosen) / f"{UNTOUCHED}.json"
    if output.exists():
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    data = protocol.data / chosen.folder
    call("scripts/evaluate.py", "--real", str(data / "testB"), "--fake", str(data / "testA"),
         "--size", str(SIZE), "--features", str(protocol.features), "--output", str(output))


def measure_costs(protocol: Protocol, methods: Sequence[str], rounds: int = 3, steps: int = 8) -> None:
    """Time a step of each method by turns, in processor time on one thread, unless that is done already."""
    if {"cut", *methods} <= set(read_costs(protocol)):
        return
    methods = list(dict.fromkeys(("cut", *methods)))
    flags = [f"--flags={NETWORKS} {METHODS[method].flags}".strip() for method in methods]
    protocol.runs.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "steps.json"
        call("scripts/benchmark.py", "step", "--size", str(SIZE), "--clock", "cpu", "--threads", "1",
             "--rounds", str(rounds), "--steps", str(steps), "--precisions", protocol.precision,
             "--json", str(output), *flags)
        rows = json.loads(output.read_text(encoding="utf-8"))["results"]
    seconds = dict(zip(methods, (row["seconds"] for row in rows), strict=True))
    write_text(protocol.runs / COSTS, json.dumps(seconds, indent=1) + "\n")


def read_costs(protocol: Protocol) -> dict[str, float]:
    """Method -> seconds of a step relative to CUT's; {} before they are measured."""
    path = protocol.runs / COSTS
    seconds = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return {method: each / seconds["cut"] for method, each in seconds.items()}


def call(program: str, *flags: str) -> None:
    code = subprocess.run([sys.executable, str(ROOT / program), *flags], cwd=ROOT).returncode
    if code:
        raise RunError(f"{program} ended with exit code {code}; the same command goes on where it stopped")


def run_folder(protocol: Protocol, chosen: DataSet, method: str, seed: int) -> Path:
    return protocol.folder(chosen) / "checkpoints" / protocol.run_name(method, seed)


def seeds(protocol: Protocol, chosen: DataSet, method: str) -> list[int]:
    """Of the method's runs so far, finished or not."""
    begin = protocol.run_name(method, 0).removesuffix("0")
    names = (path.name for path in (protocol.folder(chosen) / "checkpoints").glob(f"{begin}*"))
    return sorted(int(name.removeprefix(begin)) for name in names if name.removeprefix(begin).isdigit())


def translations(protocol: Protocol, chosen: DataSet, method: str, seed: int) -> Path:
    """Where test.py has put the images, by label: the averages of the last step."""
    name = protocol.run_name(method, seed)
    return protocol.folder(chosen) / "results" / name / "test_latest_ema" / "images"


def read_scores(protocol: Protocol, chosen: DataSet, method: str, seed: int) -> list[Score]:
    """All evaluations of a finished run, oldest first; [] before it is finished."""
    folder = run_folder(protocol, chosen, method, seed)
    if not (folder / FINISHED).exists():
        return []
    rows = map(json.loads, (folder / "evaluations.jsonl").read_text(encoding="utf-8").splitlines())
    return [Score(row["total_images"], row["metrics"], row["fake"], row["real"]) for row in rows]


def read_untouched(protocol: Protocol, chosen: DataSet) -> dict[str, float]:
    """The inputs' scores by the metrics' names in a run; {} before they are scored."""
    path = protocol.folder(chosen) / f"{UNTOUCHED}.json"
    if not path.exists():
        return {}
    names = {"kid": "kernel distance x 1000", "fid": "Frechet distance", "swd": "SWD x 1000"}
    figures = json.loads(path.read_text(encoding="utf-8"))["figures"]
    values = {name: figures[title] for name, title in names.items() if title in figures}
    return {name: value["value"] if isinstance(value, dict) else value for name, value in values.items()}
