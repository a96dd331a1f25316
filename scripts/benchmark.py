"""Time training steps, epochs, translation and reading images; count the memory of a training step.

    python scripts/benchmark.py step --models CUT FastCUT SinCUT --precisions fp32 bf16
    python scripts/benchmark.py step --baseline ../an_older_checkout
    python scripts/benchmark.py step --reference ../contrastive-unpaired-translation
    python scripts/benchmark.py epoch --dataroot ./datasets/horse2zebra --max_dataset_size 20
    python scripts/benchmark.py translate --dataroot ./datasets/horse2zebra
    python scripts/benchmark.py data --dataroot ./datasets/horse2zebra --num_threads 8
    python scripts/benchmark.py decoding ./datasets/horse2zebra/trainA
    python scripts/benchmark.py shards ./datasets/horse2zebra ./shards/horse2zebra --readers 1 8
    python scripts/benchmark.py exported checkpoints/h2z_CUT checkpoints/h2z_CUT/h2z_CUT_latest.onnx
    python scripts/benchmark.py memory
    python scripts/benchmark.py scaling --ranks 1 2 --threads 1

step, epoch, translate and data time one case after the other, each in a process of its own, so that each has
its own peak of memory. --flags, given again, makes more cases. With --baseline, an older checkout of this
project, or --reference, the published code, every case is timed by turns with the same case there, and ratios
are taken of the medians. On a machine that others use too, --threads 1 --clock cpu counts the processor's
time instead of the wall's. `benchmark.py step --help` lists the flags of step; the others work alike.
"""

import argparse
import os
import sys
from argparse import ArgumentDefaultsHelpFormatter, ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from scripts.benchmarks.cases import MODELS, time_cases  # noqa: E402
from util.errors import UsageError, run_command  # noqa: E402
from util.flags import integer  # noqa: E402

# Settings of the workers for which some sub-commands have no flag.
DEFAULTS = {"reference": None, "reference_python": sys.executable, "steps": 1, "warmup": None,
            "profile": False, "dataroot": None, "max_dataset_size": None, "num_threads": 0, "items": None,
            "timeout": None}
WARM_UP = {"cpu": 2, "cuda": 20}    # steps


def parse(argv: Sequence[str] | None = None) -> Namespace:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, title: str) -> ArgumentParser:
        return commands.add_parser(name, help=title, description=title,
                                   formatter_class=ArgumentDefaultsHelpFormatter)

    step = command("step", "time training steps on random images that lie in memory")
    epoch = command("epoch", "time an epoch of training, reading the images included")
    translate = command("translate", "time test.py on testA, from its start to its end")
    data = command("data", "time reading the images of an epoch and nothing else")
    for one in (step, epoch, translate, data):
        add_case_flags(one, with_reference=one is not data)
    for one in (epoch, translate, data):
        add_data_flags(one)
    step.add_argument("--steps", type=int, default=10,
                      help="steps that count, in each round; on a GPU ten times as many, ten at a time "
                           "between two synchronisations: the host runs ahead as it does in training")
    step.add_argument("--warmup", type=int, default=argparse.SUPPRESS,
                      help=f"steps before those (default: {WARM_UP['cpu']}, on a GPU {WARM_UP['cuda']})")
    step.add_argument("--profile", action="store_true", help="also show where the time of one step goes")
    data.add_argument("--items", type=int, help="items to read in an epoch; default: all, SinCUT 1600 crops")

    decoding = command("decoding", "time decoding an image with Pillow beside torchvision")
    decoding.add_argument("folder", type=Path, help="folder of images")
    decoding.add_argument("--images", type=int, default=100, help="how many are read")
    decoding.add_argument("--rounds", type=int, default=5, help="turns of each way")
    shards = command("shards", "time reading from folders beside shards, by several processes at once")
    shards.add_argument("folder", type=Path, help="folder with trainA and trainB")
    shards.add_argument("shards", type=Path, help="the same, packed by datasets/make_shards.py")
    shards.add_argument("--readers", nargs="+", type=integer(at_least=1), default=[1, 8],
                        help="how many processes read at once")
    shards.add_argument("--items", type=int, help="items of an epoch that are read; default: all")
    shards.add_argument("--rounds", type=int, default=5, help="turns of each way")
    shards.add_argument("--load_size", type=int, default=64, help="as of train.py")
    shards.add_argument("--crop_size", type=int, default=64, help="as of train.py")
    exported = command("exported", "time files of scripts/export.py beside the run's generator on the CPU")
    exported.add_argument("run", type=Path, help="the run's folder")
    exported.add_argument("files", type=Path, nargs="+", help="files that were made of it")
    exported.add_argument("--size", type=int, default=256, help="width and height in pixels")
    exported.add_argument("--rounds", type=int, default=10, help="turns of each")
    exported.add_argument("--threads", type=int, default=os.cpu_count(), help="CPU threads")
    exported.add_argument("--clock", choices=["wall", "cpu"], default="wall", help="which time is measured")
    memory = command("memory", "count how large a minibatch or an image fits on a GPU")
    memory.add_argument("--flags", action="append", metavar="='FLAGS'",
                        help="flags of train.py to count instead of the usual ones; given again, more rows")
    add_scaling_flags(command("scaling", "time a step on several ranks, each with as many images as one"))
    args = parser.parse_args(argv)
    if args.command == "step" and args.warmup is None:
        args.warmup = WARM_UP[args.device]
    return args


def add_scaling_flags(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--ranks", nargs="+", type=int, default=[1, 2], help="numbers of processes; the first is the measure")
    add("--flags", default="", metavar="='FLAGS'", help="more flags of train.py")
    add("--size", type=int, default=128, help="width and height in pixels")
    add("--batch_size", type=int, default=1, help="images of each rank in a step")
    add("--steps", type=int, default=10, help="steps that count, in each round")
    add("--warmup", type=int, default=3, help="steps before those")
    add("--rounds", type=int, default=3, help="turns of each number")
    add("--threads", type=int, default=1, help="CPU threads of each rank")
    add("--device", choices=["cpu", "cuda"], default="cpu", help="where the networks run")
    add("--json", type=Path, help="file for all that was measured")


def add_case_flags(parser: ArgumentParser, *, with_reference: bool) -> None:
    """The flags that choose what is timed, how often, and beside what."""
    parser.set_defaults(**DEFAULTS)
    add = parser.add_argument
    add("--models", nargs="+", choices=MODELS, default=["CUT"], help="models")
    add("--precisions", nargs="+", default=["fp32"], help="values of --precision")
    add("--flags", action="append", metavar="='FLAGS'",
        help="more flags of train.py and test.py; given again, more cases")
    add("--size", type=int, help="width and height in pixels; default: 256, SinCUT 64")
    add("--batch_size", type=int, help="images a step; default: 1, SinCUT 16, DRIT 2")
    add("--rounds", type=int, default=3, help="processes for each case, by turns")
    add("--threads", type=int, default=os.cpu_count(), help="CPU threads of torch")
    add("--clock", choices=["wall", "cpu"], default="wall", help="which time is measured")
    add("--device", choices=["cpu", "cuda"], default="cpu", help="where the networks run")
    beside = parser.add_mutually_exclusive_group()
    beside.add_argument("--baseline", help="an older checkout of this project to time beside this one")
    if with_reference:
        beside.add_argument("--reference", help="a checkout of the published code to time beside this one")
        add("--reference_python", default=sys.executable, help="its interpreter")
    add("--json", type=Path, help="file for all that was measured")
    add("--plot", type=Path, help="SVG file for bars of the medians and of the memory")


def add_data_flags(parser: ArgumentParser) -> None:
    parser.add_argument("--dataroot", help="folder with trainA, trainB, testA and testB; `data --models "
                                           "SinCUT` without it reads crops of noise of 1200x966 pixels")
    parser.add_argument("--max_dataset_size", type=int, help="images of a domain at most")
    parser.add_argument("--num_threads", type=int, default=4, help="worker processes that read images")


def check(args: Namespace) -> None:
    """Refuse with a UsageError what cannot be timed."""
    for flag, least in ("rounds", 1), ("steps", 1), ("warmup", 0), ("items", 1), ("images", 1):
        value = vars(args).get(flag)
        if value is not None and value < least:
            raise UsageError(f"--{flag} is {value}; it must be at least {least}")
    if args.command == "scaling" and min(args.ranks) < 1:
        raise UsageError(f"--ranks is {min(args.ranks)}; it must be at least 1")
    if args.command in ("decoding", "shards", "exported", "memory", "scaling"):
        return
    alone = args.command == "data" and args.models == ["SinCUT"]
    if args.command != "step" and not args.dataroot and not alone:
        raise UsageError(f"{args.command} needs --dataroot, a folder with trainA, trainB, testA and testB")
    for flag in ("baseline", "reference"):
        checkout = vars(args)[flag]
        if checkout and not (Path(checkout) / "options" / "train_options.py").is_file():
            raise UsageError(f"--{flag} {checkout} holds no options/train_options.py; name a checkout's root")


def main() -> None:
    args = parse()
    check(args)
    if args.command == "decoding":
        from scripts.benchmarks.decoding import compare  # only here: it loads torch, which takes seconds

        compare(args.folder, args.images, args.rounds)
    elif args.command == "shards":
        from scripts.benchmarks.shards import compare as compare_shards  # as above

        compare_shards(args)
    elif args.command == "exported":
        from scripts.benchmarks.exported import compare_files  # as above

        print(compare_files(args))
    elif args.command == "memory":
        from scripts.benchmarks.memory import CASES, memory_table  # as above

        print(memory_table(args.flags or CASES))
    elif args.command == "scaling":
        from scripts.benchmarks.scaling import scaling  # as above

        scaling(args)
    else:
        time_cases(args)


if __name__ == "__main__":
    run_command(main)
