"""Weak scaling: the time of a training step on one and on several ranks, each with as many images."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any, NamedTuple

import torch.distributed as dist

from scripts.benchmarks.report import quartiles
from util.distributed.launch import environment, watch
from util.errors import RunError

ROOT = Path(__file__).resolve().parents[2]
WORKER = ROOT / "scripts" / "benchmarks" / "workers" / "rank_worker.py"


class Case(NamedTuple):
    """So many processes at a time. together: they train one model; else one each, and share nothing."""

    processes: int
    together: bool

    @property
    def name(self) -> str:
        if self.processes == 1:
            return "1 process"
        return f"{self.processes} ranks" if self.together else f"{self.processes} processes apart"


def scaling(args: Namespace) -> None:
    """Time all cases round after round, print the table, and write --json."""
    cases = [Case(count, together) for count in args.ranks for together in ((True, False)[:count])]
    seconds: dict[Case, list[float]] = {case: [] for case in cases}
    load = os.getloadavg()[0]
    for number in range(args.rounds):
        for case in cases:
            found = measure(case, args)
            seconds[case] += found
            print(f"round {number + 1}/{args.rounds}: {case.name}: median {statistics.median(found):.4f} s",
                  flush=True)
    rows = [row_of(case, seconds[case], statistics.median(seconds[cases[0]])) for case in cases]
    print(f"load before: {load:.1f}\n" + table(rows))
    if args.json:
        found = {"command": sys.argv[1:], "load": load, "rows": rows}
        args.json.write_text(json.dumps(found, indent=1) + "\n")


def measure(case: Case, args: Namespace) -> list[float]:
    """Seconds of each step, as rank 0 has them. Raises RunError where a process fails."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {"folder": folder, "size": args.size, "flags": args.flags, "steps": args.steps,
                    "warmup": args.warmup, "batch_size": args.batch_size, "device": args.device,
                    "answer": str(Path(folder, "answer.json")),
                    "ranks": case.processes if case.together else 1}
        store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        processes = []
        for rank in range(case.processes):
            place = (rank, case.processes) if case.together else (0, 1)
            own = environment(*place, store.port) | {"OMP_NUM_THREADS": str(args.threads)}
            answer = settings | ({} if rank == 0 else {"answer": str(Path(folder, f"other_{rank}.json"))})
            processes.append(subprocess.Popen([sys.executable, str(WORKER), json.dumps(answer)], cwd=ROOT,
                                              env=os.environ | own | {"PYTHONPATH": str(ROOT)},
                                              stdout=subprocess.DEVNULL))
        if watch(processes):
            raise RunError(f"{case.name}: a process failed; what it said stands above")
        return json.loads(Path(settings["answer"]).read_text())


def row_of(case: Case, seconds: list[float], alone: float) -> dict[str, Any]:
    """alone: median seconds of the first case's step."""
    median, (low, high) = statistics.median(seconds), quartiles(seconds)
    return {"case": case.name, "steps": len(seconds), "seconds": round(median, 5),
            "quartiles": [round(low, 5), round(high, 5)], "of_one": round(alone / median, 3)}


def table(rows: list[dict[str, Any]]) -> str:
    lines = [f"{'case':<22}{'steps':>7}{'median s':>11}{'quartiles':>20}{'efficiency':>12}"]
    lines += [f"{row['case']:<22}{row['steps']:>7}{row['seconds']:>11.4f}"
              f"{'-'.join(f'{q:.4f}' for q in row['quartiles']):>20}{row['of_one']:>12.2f}" for row in rows]
    return "\n".join(lines)
