"""What the parts of a GPU report share: the time that is left, programs that run within it, what is kept."""

import json
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.benchmarks.processes import TimeUp, last_line, run_bounded
from scripts.gpu.plan import Plan
from util.console import say
from util.errors import RunError

ROOT = Path(__file__).resolve().parents[2]
Data = dict[str, Any]       # what a part has found so far


@dataclass(frozen=True)
class Context:
    """What a part may use. work: a folder of its own; end: of its time, by time.monotonic."""

    plan: Plan
    work: Path
    dataroot: Path
    reference: str | None
    end: float

    @property
    def left(self) -> float:
        """Seconds, never quite 0."""
        return max(0.1, self.end - time.monotonic())


def run_part(name: str, part: Callable[[Context, Data], None], context: Context, data: Data) -> None:
    """Run a part, which fills `data` as it goes. Its time, and in one line why it is not whole, go there too.

    Whatever a part raises is a line of the report; only an interruption ends the report.
    """
    context.work.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    say(f"{name}: at most {context.left:.0f} s")
    try:
        part(context, data)
    except TimeUp as error:
        data["problem"] = str(error)
    except Exception as error:
        (context.work / "traceback.txt").write_text(traceback.format_exc())
        data["problem"] = " ".join((str(error).strip() or type(error).__name__).split())[:400]
    except KeyboardInterrupt:
        data["problem"] = "interrupted"
        raise
    finally:
        data["seconds"] = round(time.monotonic() - began, 1)
        say(f"{name}: {data['seconds']:.0f} s{', ' + data['problem'] if 'problem' in data else ''}")


def run_worker(script: str, settings: dict[str, Any], context: Context, data: Data) -> None:
    """Run a worker of this folder; data["rows"] is what it has written, be it whole or not."""
    answer, log = context.work / "rows.jsonl", context.work / "log.txt"
    answer.unlink(missing_ok=True)
    command = [sys.executable, str(ROOT / "scripts" / "gpu" / script),
               json.dumps(settings | {"answer": str(answer)})]
    try:
        code = run_bounded(command, log, seconds=context.left, cwd=ROOT)
    finally:
        lines = answer.read_text().splitlines() if answer.exists() else []
        data["rows"] = [json.loads(line) for line in lines if line.endswith("}")]
    if code:
        raise RunError(f"{script} failed: {last_line(log)}")
