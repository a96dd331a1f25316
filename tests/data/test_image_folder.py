"""Finding and reading images, among them those that are no good."""

import os
import warnings
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from PIL import Image

from data.image_folder import BadImage, find_images, load_image, tolerated_bad


def names(folder: Path, **limit) -> list[str]:
    return [os.path.relpath(path, folder) for path in find_images(str(folder), **limit)]


def test_sorted_with_sub_folders_and_only_images(tmp_path):
    images = ["a.jpeg", "b.PNG", "c/d.webp", "c/e/f.TIFF", "c/g.bmp", "h.ppm", "i.tif", "j.jpg"]
    for name in reversed(images):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name in ["notes.txt", "._a.jpeg", "png", "k.jpg.part"]:
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert names(tmp_path) == images
    assert names(tmp_path, limit=3) == images[:3]


def test_linked_folders_are_followed_and_circles_end(tmp_path):
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir(), outside.mkdir()
    (outside / "a.png").touch()
    (inside / "b.png").symlink_to(outside / "a.png")
    (inside / "linked").symlink_to(outside)
    (outside / "back").symlink_to(inside)
    (inside / "itself.png").symlink_to(inside / "itself.png")
    assert names(inside) == ["b.png", "itself.png", "linked/a.png"]


def test_each_mode_becomes_gray_or_colour(tmp_path):
    path = str(tmp_path / "p.png")
    Image.new("RGBA", (1, 1), (10, 20, 30, 0)).save(path)
    assert load_image(path, 3).getpixel((0, 0)) == (10, 20, 30)  # transparency dropped
    Image.new("RGB", (1, 1), (255, 0, 0)).save(path)
    assert load_image(path, 1).getpixel((0, 0)) == 76  # ITU-R 601: 0.299 of red
    Image.new("LA", (1, 1), (9, 0)).save(path)
    assert load_image(path, 3).getpixel((0, 0)) == (9, 9, 9)
    Image.new("1", (1, 1), 1).save(path)
    assert load_image(path, 1).getpixel((0, 0)) == 255
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "p.tif")
    assert load_image(str(tmp_path / "p.tif"), 3).getpixel((0, 0)) == (255, 0, 0)


def test_palette_with_transparency_is_read_without_a_warning(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 7, 8, 9])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "p.png", transparency=b"\x00\x80")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_image(str(tmp_path / "p.png"), 3).getpixel((1, 0)) == (7, 8, 9)


@pytest.mark.parametrize("extension", ["png", "tif"])
def test_16_bits_are_scaled_to_8(tmp_path, extension):
    path = tmp_path / f"p.{extension}"
    Image.fromarray(np.array([[0, 257, 100 * 257, 65535]], dtype=np.uint16)).save(path)
    for channels in (1, 3):
        pixels = np.asarray(load_image(str(path), channels)).reshape(4, channels)
        assert pixels[:, 0].tolist() == [0, 1, 100, 255]


def test_exif_rotation_is_not_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    Image.new("RGB", (16, 8)).save(tmp_path / "p.jpg", exif=exif)
    assert load_image(str(tmp_path / "p.jpg"), 3).size == (16, 8)


def bad_files(folder: Path) -> dict[str, Path]:
    whole = folder / "whole.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(whole)
    photo = folder / "photo.jpg"
    Image.open(whole).save(photo)
    names = ["text.jpg", "zero.png", "cut.png", "cut.jpg", "bomb.png", "link.png", "pipe.png", "float.tif",
             "new\nline.png", "missing.png"]
    files = {name: folder / name for name in names}
    files["text.jpg"].write_text("no image")
    files["zero.png"].touch()
    files["new\nline.png"].touch()
    for name, source in (("cut.png", whole), ("cut.jpg", photo)):
        content = source.read_bytes()
        files[name].write_bytes(content[:len(content) // 2])
    # the header of a 20,000 x 20,000 image
    header = bytearray(whole.read_bytes())
    header[16:24] = (20000).to_bytes(4, "big") * 2
    header[29:33] = crc32(header[12:29]).to_bytes(4, "big")
    files["bomb.png"].write_bytes(header)
    files["link.png"].symlink_to(folder / "nowhere.png")
    os.mkfifo(files["pipe.png"])
    Image.new("F", (4, 4)).save(files["float.tif"])
    return files


def test_bad_images_are_named_in_one_line(tmp_path):
    for name, path in bad_files(tmp_path).items():
        with pytest.raises(BadImage) as error:
            load_image(str(path), 3)
        message = str(error.value)
        assert " ".join(name.split()) in message and "\n" not in message, message
        assert len(message) > len(str(path)) + 8 and message.count(str(tmp_path)) == 1, message
    with pytest.raises(BadImage, match="decompression bomb"):
        load_image(str(tmp_path / "bomb.png"), 3)


@pytest.mark.parametrize(("images", "tolerated"), [(1, 3), (399, 3), (400, 4), (1000, 10)])
def test_one_percent_and_never_fewer_than_three_may_be_bad(images, tolerated):
    assert tolerated_bad(images) == tolerated
