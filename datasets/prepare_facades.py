"""Make facades from the CMP database: photos are A, colour label maps are B, at their own sizes.

    bash datasets/download_dataset.sh cmp_facades
    python datasets/prepare_facades.py --cmp datasets/cmp_facades

The base set (378 pairs) is for training, the extended set (228) for testing. Both images of a pair have the
same name. CycleGAN's own division of the same images is datasets/download_dataset.sh facades. Label map ->
photo is --direction BtoA.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from datasets.preparation import folder_of, new_folder, place, read_colour  # noqa: E402
from util.errors import UsageError, run_command  # noqa: E402

SPLITS = {"base": "train", "extended": "test"}    # CMP's folder -> ours


def find_pairs(root: Path, part: str) -> list[tuple[Path, Path]]:
    """The photos (.jpg) and label maps (.png) of <part>, wherever it lies below the root."""
    photos = sorted(root.glob(f"**/{part}/*.jpg"))
    if not photos:
        raise UsageError(f"--cmp: below {root} there is no {part}/*.jpg of CMP_facade_DB_{part}.zip")
    missing = [photo for photo in photos if not photo.with_suffix(".png").is_file()]
    if missing:
        raise UsageError(f"--cmp: {missing[0]} has no label map {missing[0].stem}.png beside it")
    return [(photo, photo.with_suffix(".png")) for photo in photos]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--cmp", type=Path, default=Path("datasets/cmp_facades"), metavar="DIR",
        help="holds the unpacked base and extended sets")
    add("--output", type=Path, default=Path("datasets/facades_cmp"), metavar="DIR", help="a new folder")
    arguments = parser.parse_args()
    root = folder_of("--cmp", arguments.cmp)
    with new_folder(arguments.output) as folder:
        for part, split in SPLITS.items():
            pairs = find_pairs(root, part)
            (folder / f"{split}B").mkdir()
            for photo, label in pairs:
                place(photo, folder / f"{split}A" / photo.name)
                read_colour(label).save(folder / f"{split}B" / label.name)     # palette to colours
            print(f"{split}: {len(pairs)} pairs", flush=True)
    print(arguments.output)


if __name__ == "__main__":
    run_command(main)
