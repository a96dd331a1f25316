"""Make CUT's data set of Cityscapes: photos (A) and colour label maps (B), 256 x 256.

    python datasets/prepare_cityscapes.py --photos leftImg8bit --labels gtFine

--photos and --labels are the folders in leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip, which
cityscapes-dataset.com gives to registered users. Both images of a pair have the same name. val becomes test,
since the labels of Cityscapes' own test set are not public. Photos are resized by the bicubic filter, label
maps by the nearest pixel, so that they keep the colours of the classes. Translate with --direction BtoA.
"""

import argparse
import sys
from pathlib import Path

from PIL import Image
from PIL.Image import Resampling

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from datasets.preparation import folder_of, for_all, new_folder, read_colour, save_jpeg  # noqa: E402
from util.errors import UsageError, run_command  # noqa: E402

PHOTO, LABEL = "_leftImg8bit.png", "_gtFine_color.png"
SPLITS = {"train": "train", "val": "test"}    # Cityscapes' name -> ours


def find_pairs(photos: Path, labels: Path) -> list[tuple[Path, Path]]:
    """Photos with their label maps, in one folder a city. Raises UsageError for a photo without one."""
    pairs = []
    for photo in sorted(photos.glob(f"*/*{PHOTO}")):
        label = labels / photo.parent.name / (photo.name.removesuffix(PHOTO) + LABEL)
        if not label.is_file():
            raise UsageError(f"there is no {label} for {photo.name}; --labels is gtFine with its colour maps")
        pairs.append((photo, label))
    if not pairs:
        raise UsageError(f"{photos} holds no <city>/*{PHOTO}; --photos is the folder leftImg8bit")
    return pairs


def resized(path: Path, size: int, resample: Resampling) -> Image.Image:
    """An image file at size x size pixels."""
    return read_colour(path).resize((size, size), resample)


def write_split(photos: Path, labels: Path, output: Path, split: str, *, size: int, paired: bool) -> int:
    """Write <split>A and <split>B, or images photo | label map in one folder. Returns the number of pairs."""
    def write(pair: tuple[Path, Path]) -> None:
        name = pair[0].name.removesuffix(PHOTO) + ".jpg"
        photo, label = resized(pair[0], size, Resampling.BICUBIC), resized(pair[1], size, Resampling.NEAREST)
        if paired:
            both = Image.new("RGB", (2 * size, size))
            both.paste(photo, (0, 0))
            both.paste(label, (size, 0))
            save_jpeg(both, output / split / name)
        else:
            save_jpeg(photo, output / f"{split}A" / name)
            save_jpeg(label, output / f"{split}B" / name)
    return for_all(find_pairs(photos, labels), write)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--photos", type=Path, required=True, metavar="DIR", help="the folder leftImg8bit")
    add("--labels", type=Path, required=True, metavar="DIR", help="the folder gtFine")
    add("--output", type=Path, default=Path("datasets/cityscapes"), metavar="DIR", help="a new folder")
    add("--size", type=int, default=256, help="side of the images, in pixels (default: 256)")
    add("--paired", action="store_true", help="images photo | label map, as pix2pix takes them")
    arguments = parser.parse_args()
    if arguments.size < 1:
        raise UsageError(f"--size is {arguments.size}; it must be at least 1")
    photos, labels = folder_of("--photos", arguments.photos), folder_of("--labels", arguments.labels)
    with new_folder(arguments.output) as folder:
        for theirs, ours in SPLITS.items():
            pairs = write_split(photos / theirs, labels / theirs, folder, ours, size=arguments.size,
                                paired=arguments.paired)
            print(f"{ours}: {pairs} pairs", flush=True)
    print(arguments.output)


if __name__ == "__main__":
    run_command(main)
