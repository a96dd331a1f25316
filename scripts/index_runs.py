"""Write one page over all runs of a checkpoints folder: their curves, scores, and flags that differ.

    python scripts/index_runs.py --checkpoints_dir ./checkpoints

It is <checkpoints_dir>/index.html, opens from disk, and may be written while runs go on. Run it again to see
what is new. A column's head orders the runs.
"""

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from util.errors import UsageError, run_command  # noqa: E402
from util.loggers.base import LOSS, SCORE, add_prefix  # noqa: E402
from util.loggers.line_file import whole_lines  # noqa: E402
from util.loggers.pages.curves import Curves, higher_is_better, panels  # noqa: E402
from util.loggers.pages.document import address, element, table, text, write_page  # noqa: E402
from util.loggers.pages.sections import curves_section, read_record  # noqa: E402

POINTS = 12_000     # of all runs for each curve, so that the page stays quick
LONGEST = 120       # characters of a flag's value
# Flags that say where a run is, not what it does.
PLACES = ("name", "checkpoints_dir", "parsed", "display_env", "display_id", "display_port")


@dataclass
class Run:
    """What a run's folder tells. epoch, images: where it is, from the newest row of numbers."""

    folder: Path
    options: Mapping[str, Any]
    curves: Curves
    epoch: int = 0
    images: int = 0

    def epochs(self) -> str:
        """Like "4 of 10"."""
        try:
            return f"{self.epoch} of {self.options['n_epochs'] + self.options['n_epochs_decay']}"
        except (KeyError, TypeError):
            return str(self.epoch)


def find_runs(checkpoints: Path) -> list[Path]:
    """Folders with the numbers of a run, in any depth, by name."""
    if not checkpoints.is_dir():
        raise UsageError(f"--checkpoints_dir: there is no folder {checkpoints}")
    found = sorted(path.parent for path in checkpoints.rglob("stats.jsonl"))
    if not found:
        raise UsageError(f"--checkpoints_dir: no run in {checkpoints} has numbers yet (stats.jsonl); name "
                         "the folder above those of the runs")
    return found


def read_run(folder: Path, points: int) -> Run:
    """points: of a curve at most. A line that is no row of numbers is said and left out."""
    options = read_record(folder).get("options")
    run = Run(folder, options if isinstance(options, dict) else {}, Curves(points))
    bad = 0
    for file, column, prefix in (("stats.jsonl", "losses", LOSS), ("evaluations.jsonl", "metrics", SCORE)):
        for line in whole_lines(folder / file):
            try:
                row = json.loads(line)
                values = {name: float(value) for name, value in row[column].items() if value is not None}
                epoch, images = int(row["epoch"]), int(row["total_images"])
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                bad += 1
                continue
            run.curves.add(images, add_prefix(prefix, values))
            run.epoch, run.images = max(run.epoch, epoch), max(run.images, images)
    if bad:
        print(f"{folder}: {bad} lines of stats.jsonl and evaluations.jsonl are no rows of numbers; left out")
    return run


def differing(runs: Sequence[Run]) -> list[str]:
    """Options that not all runs have with the same value, by name."""
    names = sorted({name for run in runs for name in run.options} - set(PLACES))
    return [name for name in names
            if len({json.dumps(run.options.get(name), sort_keys=True) for run in runs}) > 1]


def columns(runs: Sequence[Run]) -> Iterator[tuple[str, Callable[[Run], tuple[str, str]]]]:
    """Head of each column of scores, and its cell of a run: what to order by, and HTML."""
    for metric in dict.fromkeys(name for run in runs for name in run.curves.best_scores()):
        best = {id(run): run.curves.best_scores().get(metric, (0, math.nan)) for run in runs}
        scores = [score for _, score in best.values() if math.isfinite(score)]
        winner = (max if higher_is_better(metric) else min)(scores)

        def cell(run: Run, best: Mapping = best, winner: float = winner) -> tuple[str, str]:
            images, score = best[id(run)]
            if not math.isfinite(score):
                return "", ""
            shown = f"{score:.4g} <small>at {images:,.0f}</small>"
            return repr(score), f"<b>{shown}</b>" if score == winner else shown
        yield f"best {metric}", cell


def overview(runs: Mapping[str, Run], page: Path) -> str:
    """A table: a row a run, with links, how far it is, its best scores, and flags in which runs differ."""
    scores = list(columns(list(runs.values())))
    flags = differing(list(runs.values()))
    head = ["run", "epoch", "images", *(text(name) for name, _ in scores), *(f"--{text(f)}" for f in flags)]
    rows = []
    for name, run in runs.items():
        cells = [("", run.epochs()), (str(run.images), f"{run.images:,}"), *(cell(run) for _, cell in scores)]
        cells += [("", text(flag_value(run.options, flag))) for flag in flags]
        rows.append([link(name, run.folder, page), *(ordered(key, shown) for key, shown in cells)])
    return f'<section id="runs"><h2>Runs</h2>{table(head, rows)}</section>'


def ordered(key: str, shown: str) -> str:
    """A cell that is ordered by `key` rather than by what is shown."""
    return f'<span data-key="{text(key)}">{shown}</span>' if key else shown


def flag_value(options: Mapping[str, Any], name: str) -> str:
    if name not in options:
        return ""
    value = options[name]
    written = value if isinstance(value, str) else json.dumps(value)
    return written if len(written) <= LONGEST else written[:LONGEST] + "..."


def link(name: str, folder: Path, page: Path) -> str:
    """The run's name, as a link to its own page where it has one."""
    target = folder / "web" / "index.html"
    if not target.exists():
        return text(name)
    return element("a", text(name), href=address(PurePath(target.relative_to(page))))


def write_index(checkpoints: Path) -> tuple[Path, int]:
    """Returns the page's path and how many runs are on it."""
    folders = find_runs(checkpoints)
    points = max(20, POINTS // len(folders)) // 2 * 2
    runs = {folder.relative_to(checkpoints).as_posix(): read_run(folder, min(600, points))
            for folder in folders}
    drawn = panels({name: run.curves for name, run in runs.items()})
    body = [overview(runs, checkpoints), curves_section(drawn, legend=len(runs) > 1)]
    path = write_page(checkpoints / "index.html", title=f"Runs of {checkpoints.resolve().name}",
                      subtitle=f"{len(runs)} runs", body=body, scripts=["charts.js", "sort.js"],
                      data={"panels": drawn})
    return path, len(runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoints_dir", type=Path, default=Path("./checkpoints"),
                        help="the folder with a folder for each run (default: ./checkpoints)")
    path, count = write_index(parser.parse_args().checkpoints_dir)
    print(f"{count} runs: {path}")


if __name__ == "__main__":
    run_command(main)
