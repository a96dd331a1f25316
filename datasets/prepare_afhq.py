"""Make cat -> dog of AFHQ: cats are A and dogs are B, as they are (512 x 512).

    bash datasets/download_dataset.sh afhq
    python datasets/prepare_afhq.py --afhq datasets/afhq

AFHQ's val (in version 2: test) becomes test. Files are linked where the disk allows it, else copied.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from data.image_folder import find_images  # noqa: E402
from datasets.preparation import folder_of, new_folder, place  # noqa: E402
from util.errors import UsageError, run_command  # noqa: E402

ANIMALS = ["cat", "dog", "wild"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--afhq", type=Path, default=Path("datasets/afhq"), metavar="DIR", help="holds train/cat and so on")
    add("--A", default="cat", choices=ANIMALS, help="the input domain (default: cat)")
    add("--B", default="dog", choices=ANIMALS, help="the target domain (default: dog)")
    add("--output", type=Path, metavar="DIR", help="a new folder (default: datasets/<A>2<B>)")
    arguments = parser.parse_args()
    if arguments.A == arguments.B:
        raise UsageError(f"--A and --B are both {arguments.A}; choose two kinds of animals")
    root = folder_of("--afhq", arguments.afhq)
    test = "val" if (root / "val").is_dir() else "test"
    output = arguments.output or Path("datasets") / f"{arguments.A}2{arguments.B}"
    with new_folder(output) as folder:
        for theirs, ours in (("train", "train"), (test, "test")):
            for domain, animal in (("A", arguments.A), ("B", arguments.B)):
                paths = find_images(str(folder_of("--afhq", root / theirs / animal)))
                if not paths:
                    raise UsageError(f"--afhq: {root / theirs / animal} holds no images")
                for path in map(Path, paths):
                    place(path, folder / f"{ours}{domain}" / path.name)
                print(f"{ours}{domain}: {len(paths)} images of {theirs}/{animal}", flush=True)
    print(output)


if __name__ == "__main__":
    run_command(main)
