"""Pack the images of a data set into tar files (shards) for --dataset_mode webdataset, or check such files.

    python datasets/make_shards.py ./datasets/horse2zebra ./shards/horse2zebra
    python datasets/make_shards.py --check ./shards/horse2zebra
    python train.py --dataroot ./shards/horse2zebra --dataset_mode webdataset --name h2z

Each folder (trainA, trainB, testA, a companion's) becomes a set: trainA-000000.tar and so on, each with an
index (.idx), and trainA.json, which says that the set is whole. Images keep their bytes, names and order. A
second call makes only what is missing or no longer fits: after a kill, it goes on where the first was.
"""

import argparse
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from data.shards.find import read_manifest  # noqa: E402
from datasets.packing import (  # noqa: E402
    alone_in,
    find_sets,
    in_processes,
    is_made,
    pack,
    plan,
    verify,
    write_manifest,
)
from util.atomic import remove_temporaries  # noqa: E402
from util.errors import RunError, UsageError, run_command  # noqa: E402
from util.flags import integer, number  # noqa: E402


def make(arguments: argparse.Namespace) -> None:
    """Pack every set that is not packed yet."""
    folder, output = arguments.folder, arguments.output
    sets = find_sets(folder, arguments.sets)
    if output.resolve().is_relative_to(folder.resolve()) and output.resolve().name in sets:
        raise UsageError(f"{output} is one of the folders to be packed; choose another")
    output.mkdir(parents=True, exist_ok=True)
    with alone_in(output):
        remove_temporaries(output)
        plans = {name: plan(name, folder / name, paths, output, most_images=arguments.shard_images,
                            most_bytes=int(arguments.shard_size * 1e6)) for name, paths in sets.items()}
        refuse_others(output, plans)
        missing = []
        for name, packings in plans.items():
            left = [packing for packing in packings if not is_made(packing)]
            if left:
                (output / f"{name}.json").unlink(missing_ok=True)     # until the set is whole again
            missing += left
        total = sum(map(len, plans.values()))
        print(f"{total} shards, {total - len(missing)} of them made already", flush=True)
        began = time.monotonic()
        for done, (packing, error) in enumerate(in_processes(missing, pack, arguments.workers), 1):
            if error:
                raise RunError(error)
            print(f"{done}/{len(missing)} {packing.shard.name}: {len(packing.files):,} images", flush=True)
        for name, packings in plans.items():
            images, size = write_manifest(name, packings)
            print(f"{name}: {images:,} images, {size / 1e6:,.1f} MB in {len(packings)} shards")
        print(f"{time.monotonic() - began:.1f} s; {output}")


def refuse_others(output: Path, plans: dict) -> None:
    """Raise UsageError where the folder holds shards of these sets that are none of theirs."""
    ours = {packing.shard.name for packings in plans.values() for packing in packings}
    others = sorted(path.name for name in plans for path in output.glob(f"{name}-*.tar")
                    if path.name not in ours)
    if others:
        raise UsageError(f"{output} holds {len(others)} shards of other sizes or images, the first is "
                         f"{others[0]}; remove them, or choose another folder")


def check(folder: Path, workers: int) -> None:
    """Read every shard; say what is wrong. Raises RunError if anything is."""
    sets = {path.stem: read_manifest(path) for path in sorted(folder.glob("*.json"))}
    if not sets:
        raise UsageError(f"{folder} holds no list of shards (.json), or making them was not finished; give "
                         "the folder that make_shards.py filled")
    shards = [folder / shard for names in sets.values() for shard in names]
    errors = [error for _, error in in_processes(shards, verify, workers) if error]
    for error in errors:
        print(error)
    if errors:
        raise RunError(f"{len(errors)} of {len(shards)} shards in {folder} are not as they were made")
    print(f"{len(shards)} shards of {', '.join(sets)} are whole, and as they were made")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("folder", type=Path, help="folder with trainA, trainB and so on; with --check, the folder of shards")
    add("output", type=Path, nargs="?", help="folder for the shards")
    add("--sets", nargs="+", default=[], metavar="NAME",
        help="pack only these folders (default: all with images)")
    add("--shard_size", type=number(above=0), default=256, metavar="MB",
        help="size of a shard (default: 256)")
    add("--shard_images", type=integer(at_least=1), default=10_000, metavar="N",
        help="images in a shard at most (default: 10000)")
    add("--workers", type=integer(at_least=1), default=os.cpu_count(), metavar="N",
        help="processes (default: one a core)")
    add("--check", action="store_true", help="check the shards in a folder against their checksums")
    arguments = parser.parse_args()
    if arguments.check == bool(arguments.output):
        raise UsageError("give the folder of images and the folder for the shards, or --check and a folder")
    if arguments.check:
        check(arguments.folder, arguments.workers)
    else:
        make(arguments)


if __name__ == "__main__":
    run_command(main)
