"""Images of every kind and name: each gives its right image, or one line that says why not."""

import os
import struct
import zlib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote_to_bytes

import numpy as np
import pytest
from PIL import Image

from tests.faults.programs import Program
from tests.faults.table import tally
from tests.faults.trainings import Training

RED, GREEN, BLUE, GRAY = (255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128)
PAGES = Path(__file__).parents[2] / "util" / "loggers" / "pages"
NAMES = ["with spaces.png", "with 'quotes' and \"more\".png", "two\nlines.png", "unicode ünï 馬 🦓.png",
         "<script>alert(1)</script>.png".replace("/", "\u2215"), "&amp;<b>bold.png", "percent%41%.png",
         "hash#and?query.png", "-dash.png", "x" * 251 + ".png", os.fsdecode(b"no utf-8 \xff\xfe.png"),
         "$(touch intruded).png", "`touch intruded`.png", "; touch intruded;.png", "back\\slash.png"]


def block(colour: tuple[int, ...], mode: str = "RGB") -> Image.Image:
    return Image.new(mode, (8, 8), colour)


def write_right(folder: Path) -> dict[str, np.ndarray]:
    """Images that are right, however odd; stem -> the pixels that are to be read."""
    solid = {"cmyk": GREEN, "palette": RED, "sixteen": GRAY, "animated": BLUE, "gray": GRAY,
             "one bit": (255,) * 3, "another's ending": RED, "one pixel": GREEN}
    block((255, 0, 255, 0), "CMYK").save(folder / "cmyk.jpg", quality=100)
    palette = block(RED).quantize(2)
    palette.save(folder / "palette.png", transparency=0)
    Image.fromarray(np.full((8, 8), 128 * 257, np.uint16)).save(folder / "sixteen.png")
    block(BLUE).save(folder / "animated.png", format="GIF", save_all=True, append_images=[block(RED)])
    block(GRAY[0], "L").save(folder / "gray.png")
    Image.new("1", (8, 8), 1).save(folder / "one bit.png")
    block(RED).save(folder / "another's ending.jpg", format="PNG")
    Image.new("RGB", (1, 1), GREEN).save(folder / "one pixel.png")
    expected = {stem: np.full((1, 1, 3) if stem == "one pixel" else (8, 8, 3), colour, np.uint8)
                for stem, colour in solid.items()}
    rotated = np.zeros((8, 16, 3), np.uint8)
    rotated[:, :8] = RED
    exif = Image.Exif()
    exif[0x0112] = 6                    # to be turned by 90 degrees; it is not, as in the reference
    Image.fromarray(rotated).save(folder / "exif.png", exif=exif)
    return expected | {"exif": rotated}


def write_wrong(folder: Path) -> set[str]:
    """Files that are no images, added to a folder. Their names."""
    others = {path.name for path in folder.iterdir()}
    block(RED).save(folder / "whole.png")
    whole = (folder / "whole.png").read_bytes()
    (folder / "whole.png").unlink()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "cut off.png")
    os.truncate(folder / "cut off.png", 5000)
    Image.fromarray(noise).save(folder / "cut off.jpg")
    os.truncate(folder / "cut off.jpg", 2000)
    (folder / "text.jpg").write_text("no image\n")
    (folder / "empty.png").touch()
    (folder / "only a head.png").write_bytes(whole[:8])
    (folder / "wrong checksum.png").write_bytes(whole[:50] + bytes([whole[50] ^ 255]) + whole[51:])
    (folder / "bomb.png").write_bytes(bomb(20_000))
    (folder / "dangling.png").symlink_to("nowhere.png")
    (folder / "looping.png").symlink_to("looping.png")
    os.mkfifo(folder / "pipe.png")
    names = {path.name for path in folder.iterdir()} - others
    (folder / "circle").symlink_to(folder)          # a folder in itself: each image is found once
    (folder / "a folder.png").mkdir()               # neither an image nor a bad one
    (folder / ".hidden.png").write_text("a note of the system")
    return names


def bomb(side: int) -> bytes:
    """A small PNG file of side x side pixels."""
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    pixels = zlib.compress(bytes((side // 8 + 1) * side), 9)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
            + chunk(b"IDAT", pixels) + chunk(b"IEND", b""))


def translate(training: Training, images: Path, where: Path) -> Program:
    arguments = ["--dataroot", str(images), "--checkpoints_dir", str(training.folder.parent), "--name",
                 training.name, "--results_dir", str(where), "--preprocess", "none", "--num_threads", "0",
                 "--gpu_ids", "-1"]
    where.mkdir()
    program = Program("test.py", arguments, where / "log")
    program.end()
    return program


def test_odd_images_are_read_right(tmp_path: Path, undisturbed: Training) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    right, wrong = write_right(folder), write_wrong(folder)
    with tally("odd images: read right", len(right)), tally("no images: one line each", len(wrong)):
        program = translate(undisturbed, folder, tmp_path / "results")
        assert program.end() == 0, program.err
        results = tmp_path / "results" / training_folder(undisturbed)
        for stem, pixels in right.items():
            with Image.open(results / "images" / "real_A" / f"{stem}.png") as image:
                found = np.asarray(image.convert("RGB")).astype(int)
            assert found.shape == pixels.shape and abs(found - pixels).max() <= 2, stem    # JPEG rounds
        assert len(list((results / "images" / "fake_B").iterdir())) == len(right)
        said = [line for line in program.err.splitlines() if line.startswith("bad image: ")]
        assert len(said) == len(wrong) and all(any(name in line for line in said) for name in wrong)
        assert f"translated {len(right)} of {len(right) + len(wrong)} images" in program.out


def training_folder(training: Training) -> str:
    return f"{training.name}/test_latest"


class Links(HTMLParser):
    """Tags, addresses and scripts of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.scripts: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value for name, value in attributes if name in ("href", "src") and value]

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            self.scripts.append(data)


def test_names_of_every_kind(tmp_path: Path, undisturbed: Training) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for number, name in enumerate(NAMES):
        block((number, 0, 0)).save(folder / name, format="PNG")
    with tally("names of every kind: written, linked, nothing run", len(NAMES)):
        program = translate(undisturbed, folder, tmp_path / "results")
        assert program.end() == 0, program.err
        results = tmp_path / "results" / training_folder(undisturbed)
        for number, name in enumerate(NAMES):
            with Image.open(results / "images" / "real_A" / name) as image:
                assert image.getpixel((0, 0)) == (number, 0, 0)
        page = Links()
        page.feed((results / "index.html").read_text(encoding="utf-8"))
        assert not page.tags & {"b", "iframe", "object"}
        assert "".join(page.scripts) == (PAGES / "images.js").read_text(encoding="utf-8")
        links = {os.fsdecode(unquote_to_bytes(address)) for address in page.addresses}
        assert links == {f"images/{label}/{name}" for label in ("real_A", "fake_B") for name in NAMES}
        assert not list(tmp_path.rglob("intruded")) and not Path("intruded").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unreadable to root")
def test_unreadable_image(own_images: Path, tmp_path: Path, undisturbed: Training) -> None:
    (own_images / "testA" / "0.png").chmod(0)
    program = translate(undisturbed, own_images / "testA", tmp_path / "results")
    assert program.end() == 0 and "0.png: Permission denied" in program.err
