"""Make GTA -> Cityscapes: frames of the game are A, photos of streets are B, at their own sizes.

    bash datasets/download_dataset.sh gta
    python datasets/prepare_gta.py --gta datasets/gta --photos leftImg8bit

--photos is the folder in leftImg8bit_trainvaltest.zip of cityscapes-dataset.com. The last --test frames are
testA; how the paper divided them is not known. Cityscapes' val is testB. Files are linked where the disk
allows it, else copied.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from data.image_folder import find_images  # noqa: E402
from datasets.preparation import folder_of, new_folder, place  # noqa: E402
from util.errors import UsageError, run_command  # noqa: E402


def images(flag: str, folder: Path) -> list[Path]:
    """Sorted by name, wherever below the folder they lie. Raises UsageError for none."""
    paths = sorted(map(Path, find_images(str(folder_of(flag, folder)))), key=lambda path: path.name)
    if not paths:
        raise UsageError(f"{flag}: {folder} holds no images")
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--gta", type=Path, default=Path("datasets/gta"), metavar="DIR", help="the frames, sub-folders too")
    add("--photos", type=Path, required=True, metavar="DIR", help="the folder leftImg8bit of Cityscapes")
    add("--test", type=int, default=500, help="frames for testA (default: 500)")
    add("--output", type=Path, default=Path("datasets/gta2cityscapes"), metavar="DIR", help="a new folder")
    arguments = parser.parse_args()
    frames = images("--gta", arguments.gta)
    if not 0 < arguments.test < len(frames):
        raise UsageError(f"--test is {arguments.test} of {len(frames)} frames; choose more than 0, and fewer")
    splits = {"trainA": frames[:-arguments.test], "testA": frames[-arguments.test:],
              "trainB": images("--photos", arguments.photos / "train"),
              "testB": images("--photos", arguments.photos / "val")}
    with new_folder(arguments.output) as folder:
        for name, paths in splits.items():
            for path in paths:
                place(path, folder / name / path.name)
            print(f"{name}: {len(paths)} images", flush=True)
    print(arguments.output)


if __name__ == "__main__":
    run_command(main)
