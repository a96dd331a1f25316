"""The page that compare_methods.py writes: tables, curves and images of the runs so far.

What stands above the line MARK on the page is written by hand, and kept. Scores of runs that are on other
machines come from a file beside the page, of the page's name with .jsonl (scripts/comparison/kept.py).
"""

import platform
import statistics
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import scripts.comparison.kept as kept
from scripts.comparison.kept import Kept
from scripts.comparison.protocol import METHODS, SIZE, DataSet, Protocol
from scripts.comparison.runs import Score, translations
from scripts.reports.compare_curves import draw
from util.atomic import write_text
from util.errors import UsageError
from util.images import grid, save_image

MARK = "<!-- scripts/compare_methods.py writes what follows; what stands above is kept -->"
SHOWN = 10      # images in a row
# Title of a column -> metric, and which evaluation of a run: its last, or its best by that metric.
COLUMNS = (("KID, last", "kid", "last"), ("KID, averaged, last", "kid_ema", "last"),
           ("KID, averaged, best", "kid_ema", "best"), ("FD, averaged, last", "fid_ema", "last"),
           ("SWD, averaged, last", "swd_ema", "last"))
CURVES = ("kid", "kid_ema", "swd_ema", "fid_ema")


def write_page(page: Path, protocol: Protocol, sets: Sequence[DataSet], methods: Sequence[str]) -> None:
    """Write the page, and its scores, curves and images beside it. UsageError where no run is finished."""
    scores, parts, found = page.with_suffix(".jsonl"), [head(protocol)], {}
    costs = kept.costs(scores, protocol)
    for chosen in sets:
        one = found[chosen.name] = kept.read(scores, protocol, chosen)
        runs = {method: one.runs[method] for method in methods if method in one.runs}
        if not runs:
            continue
        image, curves = (page.with_name(f"results_{chosen.name}.{kind}") for kind in ("png", "svg"))
        groups = {METHODS[method].title: [series(scores) for scores in seeds.values()]
                  for method, seeds in runs.items()}
        write_text(curves, draw(groups, CURVES, 1))
        rows = write_image(image, protocol, chosen, {method: min(seeds) for method, seeds in runs.items()})
        one = found[chosen.name] = one._replace(rows=rows or (one.rows if image.exists() else []))
        parts.append(section(protocol, chosen, one._replace(runs=runs), costs, curves.name, image.name))
    if len(parts) == 1:
        raise UsageError(f"{protocol.runs} holds no finished run yet; leave out --report to train")
    kept.write(scores, protocol, sets, found, costs)
    above = page.read_text(encoding="utf-8").split(MARK)[0] if page.exists() else "# Methods compared\n\n"
    write_text(page, f"{above}{MARK}\n\n" + "\n".join(parts))


def series(scores: Sequence[Score]) -> dict[str, list[tuple[int, float]]]:
    return {name: [(score.images, score.metrics[name]) for score in scores] for name in CURVES}


def head(protocol: Protocol) -> str:
    versions = f"PyTorch {torch.__version__.split('+')[0]}, Python {platform.python_version()}"
    return f"""## How

    python scripts/compare_methods.py

trains every method with the same networks, images, schedule and seeds, scores each run as it goes on and
writes this part of the page; the same command goes on where it was stopped. {versions},
`--precision {protocol.precision}` on a CPU. Mean ± std over seeds, their number behind.

KID (kernel distance × 1000) and FD (Fréchet distance) compare features of EfficientNet-Lite0, so neither is
the KID or FID of a paper, and they are weak judges of images that are enlarged from {SIZE} pixels; SWD is
the sliced Wasserstein distance of 7 x 7 patches × 1000. Lower is better in all. "Averaged" scores the
averages of G's weights (`--ema`), the others the weights themselves. "Best" is the lowest over the run's
evaluations, chosen on the test images as papers do; "last" chooses nothing. [evaluation.md](evaluation.md)
explains the scores.
"""


def section(protocol: Protocol, chosen: DataSet, found: Kept, costs: dict[str, float], curves: str,
            image: str) -> str:
    untouched, runs, shown = found
    last = next(iter(next(iter(runs.values())).values()))[-1]
    titles = [title for title, *_ in COLUMNS] + (["time of a step"] if costs else [])
    rows = [["", *titles], ["---", *["---:"] * len(titles)]]
    plain = [untouched.get(metric.removesuffix("_ema")) for _, metric, _ in COLUMNS]
    rows.append(["the input, untouched", *(f"{v:.1f}" if v is not None else "" for v in plain),
                 *([""] if costs else [])])
    for method, seeds in runs.items():
        cells = [summary([value(scores, metric, which) for scores in seeds.values()])
                 for _, metric, which in COLUMNS]
        cost = [f"{costs[method]:.2f}" if method in costs else ""] if costs else []
        rows.append([METHODS[method].title, *cells, *cost])
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    caption = (f"Test images, evenly spread over the names, averaged weights of the last step, first seed. "
               f"From top to bottom: {', '.join(shown)}.")
    picture = f"""
![{caption}]({image})

*{' '.join(filter(None, (caption, chosen.licence)))}*
""" if shown else ""
    return f"""## {chosen.title}

`{' '.join(protocol.shared_flags(chosen))}`

{last.fake} translations are compared with {last.real} images of the target domain.

{table}

![The scores over the images seen: a line for each method, a band for its seeds]({curves})
{picture}"""


def value(scores: Sequence[Score], metric: str, which: str) -> float:
    """A run's score by a metric: of its last evaluation, or of its lowest."""
    return scores[-1].metrics[metric] if which == "last" else min(s.metrics[metric] for s in scores)


def summary(values: Sequence[float]) -> str:
    """Mean, with std and the number of seeds where there are several."""
    spread = f" ± {statistics.stdev(values):.1f} ({len(values)})" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}"


def write_image(path: Path, protocol: Protocol, chosen: DataSet, seeds: dict[str, int]) -> list[str]:
    """A row of each method's translations, under the inputs where they may be shown. Returns the rows' names,
    [] where there are no translations on this machine.
    """
    folders = {METHODS[method].title: translations(protocol, chosen, method, seed)
               for method, seed in seeds.items()}
    folders = {title: folder for title, folder in folders.items() if (folder / "fake_B").is_dir()}
    if not folders:
        return []
    first = next(iter(folders.values()))
    files = sorted(file.name for file in (first / "fake_B").glob("*.png"))
    files = files[::max(1, len(files) // SHOWN)][:SHOWN]      # spread evenly, not chosen
    rows = {title: folder / "fake_B" for title, folder in folders.items()}
    if chosen.licence:
        rows = {"input": first / "real_A"} | rows
    images = [Image.open(folder / name).convert("RGB") for folder in rows.values() for name in files]
    save_image(path, grid([np.asarray(image) for image in images], columns=len(files)))
    return list(rows)
