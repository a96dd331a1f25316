"""The parts of a GPU report that check and count: tests marked cuda, agreement with float64, memory."""

import re
import sys

from scripts.benchmarks.processes import last_line, run_bounded
from scripts.gpu.parts import ROOT, Context, Data, run_worker
from util.errors import RunError

OUTCOME = re.compile(r"^(\S+::.*?) (PASSED|FAILED|SKIPPED|ERROR|XFAIL|XPASS)\b", re.MULTILINE)
MARK = "mark.cuda"


def run_tests(context: Context, data: Data) -> None:
    """data: `outcomes`, test -> PASSED, FAILED, SKIPPED or ERROR, of those that came to an end."""
    files = [str(path.relative_to(ROOT)) for path in sorted((ROOT / "tests").rglob("test_*.py"))
             if MARK in path.read_text(encoding="utf-8")]
    if not files:
        raise RunError(f"{ROOT / 'tests'} holds no tests marked cuda")
    log = context.work / "log.txt"
    command = [sys.executable, "-m", "pytest", "-v", "-m", "cuda", "-p", "no:cacheprovider", "--color=no",
               *files]
    try:
        code = run_bounded(command, log, seconds=context.left, cwd=ROOT)
    finally:
        data["outcomes"] = dict(OUTCOME.findall(log.read_text(errors="replace")))
    if code > 1 or not data["outcomes"]:
        raise RunError(f"pytest ended with code {code}: {last_line(log)}")


def compare_steps(context: Context, data: Data) -> None:
    """data: `rows` of agreement.py."""
    plan = context.plan
    run_worker("agreement.py", {"device": plan.device, "models": plan.agreement,
                                "precisions": plan.precisions}, context, data)


def count_memory(context: Context, data: Data) -> None:
    """data: `rows` of memory.py."""
    plan = context.plan
    run_worker("memory.py", {"device": plan.device, "flags": plan.memory, "sizes": plan.memory_sizes,
                             "batches": plan.memory_batches}, context, data)
