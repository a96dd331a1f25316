"""Check every image of a data set before training on it.

    python datasets/check_dataset.py datasets/horse2zebra

Prints for each folder (trainA, trainB, testA, ... or the folder itself) the number, sizes and modes of its
images. Names those that cannot be read, and those that occur more than once: the same pixels, whatever the
file. An image in both training and test makes scores too good. Exit code 1: images are bad, or in both
training and test.
"""

import argparse
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from data.image_folder import BadImage, find_images, load_image  # noqa: E402
from util.errors import UsageError, run_command  # noqa: E402

SPLITS = ("train", "val", "test")
SHOWN = 10    # lines of a kind; the rest is counted


class Seen(NamedTuple):
    """The facts about an image file. bad: why it cannot be read, else ""; if bad, the rest is empty."""

    path: str
    size: tuple[int, int] = (0, 0)
    mode: str = ""      # Pillow's: L is gray, RGB is colour, RGBA has transparency, I;16 has 16 bits
    pixels: str = ""    # hash of size and colours
    bad: str = ""


def look_at(path: str) -> Seen:
    """Decode one image file."""
    try:
        image = load_image(path, 3)
        with Image.open(path) as file:
            mode = file.mode
    except BadImage as error:
        return Seen(path, bad=str(error))
    digest = hashlib.sha256(repr(image.size).encode() + image.tobytes()).hexdigest()
    return Seen(path, image.size, mode, digest)


def find_folders(dataroot: Path) -> list[Path]:
    """Those of trainA, trainB, valA and so on that exist, else the folder itself. UsageError for none."""
    if not dataroot.is_dir():
        raise UsageError(f"{str(dataroot)!r} is no folder; give that of a data set")
    folders = [dataroot / f"{split}{domain}" for split in SPLITS for domain in "AB"]
    return [folder for folder in folders if folder.is_dir()] or [dataroot]


def duplicates(folders: dict[str, list[Seen]]) -> list[list[str]]:
    """Groups of paths with the same pixels."""
    groups: dict[str, list[str]] = {}
    for images in folders.values():
        for image in images:
            if not image.bad:
                groups.setdefault(image.pixels, []).append(image.path)
    return [group for group in groups.values() if len(group) > 1]


def split_of(path: str, dataroot: Path) -> str:
    """train, val or test, by the first folder of the path below dataroot; '' for another."""
    first = Path(path).relative_to(dataroot).parts[0]
    return first[:-1] if first[:-1] in SPLITS else ""


def leaks(groups: Sequence[Sequence[str]], dataroot: Path) -> list[Sequence[str]]:
    """The groups with images of training and of another split."""
    return [group for group in groups
            if len(splits := {split_of(path, dataroot) for path in group}) > 1 and "train" in splits]


def describe(images: Sequence[Seen]) -> str:
    """Number, sizes and modes of a folder's images, in one line."""
    good = [image for image in images if not image.bad]
    if not good:
        return f"{len(images)} images, none of which can be read" if images else "no images"
    sizes, modes = Counter(p.size for p in good), Counter(p.mode for p in good)
    if len(sizes) == 1:
        shape = "all {} x {}".format(*good[0].size)
    else:
        (width, height), count = sizes.most_common(1)[0]
        areas = [p.size for p in sorted(good, key=lambda p: p.size[0] * p.size[1])]
        shape = "{} x {} to {} x {}".format(*areas[0], *areas[-1]) + f", mostly {width} x {height} ({count})"
    kinds = ", ".join(f"{mode} {count}" if len(modes) > 1 else mode for mode, count in modes.most_common())
    return f"{len(images):,} images, {shape}, {kinds}"


def equation(group: Sequence[str], dataroot: Path) -> str:
    """The paths of equal images, joined by equal signs."""
    return " = ".join(str(Path(path).relative_to(dataroot)) for path in group)


def report(title: str, lines: Sequence[str]) -> None:
    """Print a title with the number of lines, and the first of them; nothing for no lines."""
    if lines:
        print(f"\n{title}: {len(lines)}")
        print("\n".join(f"  {line}" for line in lines[:SHOWN]))
        if len(lines) > SHOWN:
            print(f"  and {len(lines) - SHOWN} more")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataroot", type=Path, help="folder of the data set")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all of it to this file")
    arguments = parser.parse_args()
    folders = {}
    with ThreadPoolExecutor() as pool:
        for folder in find_folders(arguments.dataroot):
            folders[folder.name] = list(pool.map(look_at, find_images(str(folder))))
            print(f"{folder.name}: {describe(folders[folder.name])}", flush=True)
    bad = [image.bad for images in folders.values() for image in images if image.bad]
    groups = duplicates(folders)
    leaked = leaks(groups, arguments.dataroot)
    report("cannot be read", bad)
    report("the same image in training and test", [equation(g, arguments.dataroot) for g in leaked])
    others = [equation(group, arguments.dataroot) for group in groups if group not in leaked]
    report("the same image more than once", others)
    if arguments.json:
        record = {name: [image._asdict() for image in images] for name, images in folders.items()}
        arguments.json.write_text(json.dumps({"folders": record, "doubled": groups}, indent=1) + "\n")
    if bad or leaked:
        sys.exit(1)
    print("\nno bad images, and none in both training and test")


if __name__ == "__main__":
    run_command(main)
