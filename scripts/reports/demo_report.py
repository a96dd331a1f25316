"""Score translated images against their ground truth, and show them on one page.

    python scripts/reports/demo_report.py results/quickstart/test_latest

Reads images/real_A, images/fake_B and images/real_B as test.py wrote them, with equal names for input, output
and ground truth. Prints a table and writes report.html into the folder. Its rows are the metrics in the table
of util/metrics/registry.py that need no network.
"""

import argparse
import random
import sys
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import dominate
import numpy as np
from dominate import tags
from dominate.util import raw
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from util.atomic import atomic_file  # noqa: E402
from util.errors import UsageError, run_command  # noqa: E402
from util.loggers.pages.document import STYLE  # noqa: E402
from util.metrics.registry import ImageSet, metrics_needing  # noqa: E402

COLUMNS = {"real_A": "input", "fake_B": "output", "real_B": "ground truth"}  # folder -> what it shows
EXTRA_STYLE = """
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(29rem, 100%), 1fr)); gap: 1rem; }
main section { margin: 0; }
.row { flex-wrap: nowrap; }
table { border-collapse: collapse; }
th, td { padding: .3rem 1.5rem .3rem 0; text-align: right; font-variant-numeric: tabular-nums; }
th:first-child, td:first-child { text-align: left; }
thead th { border-bottom: 1px solid var(--line); color: var(--faint); font-weight: 500; }
"""


class Row(NamedTuple):
    """One row of the table: a score of the inputs and of the outputs, each against the ground truth."""

    title: str
    input: float
    output: float
    better: str
    digits: int

    def scores(self) -> tuple[str, str]:
        return f"{self.input:.{self.digits}f}", f"{self.output:.{self.digits}f}"


def read_images(folder: Path) -> dict[str, np.ndarray]:
    """File name -> RGB image [H, W, 3], uint8, sorted by name. Raises UsageError for none."""
    images = {}
    for path in sorted(folder.glob("*.png")):
        with Image.open(path) as image:
            images[path.name] = np.asarray(image.convert("RGB"))
    if not images:
        raise UsageError(f"no PNG images in {folder}; translate some first: "
                         "python test.py --dataroot <folder> --name <experiment>")
    return images


def table(columns: dict[str, dict[str, np.ndarray]], folder: Path) -> list[Row]:
    """The rows for the images of every column of COLUMNS, equally named. Raises UsageError."""
    sets = {column: ImageSet(images) for column, images in columns.items()}
    rows = []
    for name, metric in metrics_needing("", "pairs").items():
        title = metric.long_title or metric.title or name
        try:
            scores = [metric.compute(sets[column], sets["real_B"]) for column in ("real_A", "fake_B")]
        except ValueError as error:         # images that the metric cannot take
            raise UsageError(f"{folder}: {title} cannot be computed: {error}") from error
        rows.append(Row(title, *scores, metric.better, metric.digits))
    return rows


def check(columns: dict[str, dict[str, np.ndarray]], folder: Path) -> None:
    """Raises UsageError unless every column has the same names and sizes."""
    for column in COLUMNS:
        if odd := sorted(columns[column].keys() ^ columns["real_B"].keys()):
            raise UsageError(f"{folder}: {odd[0]} is not in both {column} and real_B; the report needs "
                             "images that are paired by name")
        for name, image in columns[column].items():
            if image.shape != columns["real_B"][name].shape:
                raise UsageError(f"{folder}: {name} has another size in {column} than in real_B")


def as_text(rows: list[Row]) -> str:
    """The table in columns for a terminal."""
    lines = [f"{'distance to the ground truth':<36}{'input':>9}{'output':>9}"]
    for row in rows:
        before, after = row.scores()
        lines.append(f"{row.title:<36}{before:>9}{after:>9}   ({row.better} is better)")
    return "\n".join(lines)


def write_page(path: Path, rows: list[Row], names: list[str]) -> None:
    """The table, then a card of input, output and ground truth per name; paths are relative to the page."""
    page = dominate.document(title=f"CUT: {path.parent.parent.name}")
    with page.head:
        tags.meta(charset="utf-8")
        tags.meta(name="viewport", content="width=device-width, initial-scale=1")
        tags.style(raw(STYLE + EXTRA_STYLE))
    with page:
        with tags.header():
            tags.h1(f"{path.parent.parent.name}: input, output, ground truth")
            tags.p(f"{len(names)} images that were not trained on")
        with tags.section(), tags.table():
            titles = "to the ground truth", "input", "output", "better is"
            tags.thead(tags.tr(tags.th(title) for title in titles))
            with tags.tbody():
                for row in rows:
                    tags.tr(tags.td(text) for text in (row.title, *row.scores(), row.better))
        with tags.main():
            for name in names:
                card(name)
    with atomic_file(path) as stream:
        stream.write(page.render(pretty=False).encode())


def card(name: str) -> None:
    with tags.section():
        tags.h2(name)
        with tags.div(cls="row"):
            for column, label in COLUMNS.items():
                with tags.figure():
                    address = quote(f"images/{column}/{name}")
                    tags.img(src=address, alt=label, cls="small", width=128, loading="lazy")
                    tags.figcaption(label)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="folder with images/real_A, fake_B and real_B in it")
    parser.add_argument("--sheet", type=Path, help="also write a PNG of up to 16 inputs, outputs and truths")
    args = parser.parse_args()
    folder = args.results
    columns = {column: read_images(folder / "images" / column) for column in COLUMNS}
    check(columns, folder)
    rows = table(columns, folder)
    print(as_text(rows))
    names = list(columns["real_B"])
    random.Random(0).shuffle(names)  # neighbours by name often look alike
    write_page(folder / "report.html", rows, names)
    if args.sheet:
        from util.images import grid, save_image  # only here: it loads torch, which takes seconds

        shown = names[:16]
        images = [columns[column][name] for column in COLUMNS for name in shown]
        save_image(args.sheet, grid(images, columns=len(shown)))
    print(f"input, output and ground truth: {(folder / 'report.html').resolve()}")


if __name__ == "__main__":
    run_command(main)
