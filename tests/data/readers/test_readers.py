"""Images of more than 8 bits: what is read, what is written back, and what gets one line."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data import readers
from data.image_folder import BadImage, load_image
from data.readers import ValueRange, read_image, value_range, write_image
from data.readers.deep_image import DeepImage
from data.readers.formats import FORMATS, write_png
from data.transforms import to_tensor
from util.errors import UsageError

AUTO = ValueRange(None)


def numbers(dtype, *shape: int) -> np.ndarray:
    random = np.random.default_rng(0)
    if np.dtype(dtype).kind == "f":
        return random.uniform(-1000, 3000, shape).astype(dtype)
    limits = np.iinfo(dtype)
    return random.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)


def save(path: Path, values: np.ndarray) -> Path:
    """By the formats' own packages, not by ours."""
    if path.suffix == ".npy":
        np.save(path, values)
    elif path.suffix == ".npz":
        np.savez(path, image=values)
    elif path.suffix == ".png" and values.ndim == 3:
        path.write_bytes(pytest.importorskip("imagecodecs").png_encode(values))
    elif values.ndim == 3 or values.dtype not in ("uint16", "float32"):
        pytest.importorskip("tifffile").imwrite(path, values, photometric="rgb" if values.ndim == 3 else None)
    else:
        Image.fromarray(values).save(path)
    return path


def load(path: Path) -> np.ndarray:
    if path.suffix == ".npz":
        return np.load(path)["image"] if "image" in np.load(path) else np.load(path)["arr_0"]
    if path.suffix == ".npy":
        return np.load(path)
    if path.suffix == ".png":
        return pytest.importorskip("imagecodecs").png_decode(path.read_bytes())
    return pytest.importorskip("tifffile").imread(path)


# ---- there and back

CASES = [(extension, dtype, shape) for extension, dtype in [
    (".png", "uint16"), (".tif", "uint16"), (".tif", "float32"), (".tif", "int16"),
    (".tif", "uint32"), (".tif", "float64"), (".npy", "uint16"), (".npy", "int16"),
    (".npy", "float32"), (".npy", "float64"), (".npz", "float32")] for shape in [(5, 7), (5, 7, 3)]]


@pytest.mark.parametrize("extension,dtype,shape", CASES)
def test_a_file_comes_back_as_it_was(tmp_path, extension, dtype, shape):
    """The values by their definition, (value - low) / (high - low); and back in the same dtype."""
    values = numbers(dtype, *shape)
    low, high = (-1000, 3000) if "float" in dtype else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    scale = ValueRange((low, high)) if "float" in dtype else AUTO
    image = read_image(str(save(tmp_path / f"a{extension}", values)), len(shape) * 2 - 3, scale)
    assert isinstance(image, DeepImage) and image.depth == dtype and image.size == (7, 5)
    tensor = to_tensor(image)
    expected = (values.astype(np.float64).reshape(5, 7, -1) - low) / (high - low) * 2 - 1
    assert tensor.dtype == torch.float32
    assert np.abs(tensor.permute(1, 2, 0).numpy() - expected).max() < 1e-6
    write_image(tmp_path / "made" / f"b{extension}", tensor, image.depth, scale)
    if extension in (".png", ".tif") and len(shape) == 2 and dtype in ("uint16", "float32"):
        back = np.asarray(Image.open(tmp_path / "made" / f"b{extension}"))
    else:
        back = load(tmp_path / "made" / f"b{extension}")
    assert back.dtype == dtype and back.shape == shape
    tolerance = {"float32": 3e-4, "float64": 3e-4, "uint32": 2**8}.get(dtype, 0)    # float32 has 24 bits
    assert np.abs(back.astype(np.float64) - values).max() <= tolerance


def test_16_bit_png_of_any_size_is_what_pillow_reads():
    for shape in [(1, 1), (3, 1), (1, 9), (64, 33)]:
        stream = io.BytesIO()
        values = numbers("uint16", *shape)
        write_png(stream, values)
        stream.seek(0)
        image = Image.open(stream)
        assert image.mode == "I;16" and np.array_equal(np.asarray(image), values)


def test_16_bit_colour_png_keeps_its_high_bytes_for_pillow():
    """Pillow reads such a file as 8 bits, the high byte of each number."""
    stream = io.BytesIO()
    values = numbers("uint16", 6, 5, 3)
    write_png(stream, values)
    assert np.array_equal(np.asarray(Image.open(stream)), values >> 8)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "1", "LA"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("scale", [AUTO, ValueRange((0, 4095))])
def test_8_bit_images_are_as_without_the_flag(tmp_path, mode, channels, scale):
    path = str(tmp_path / "a.png")
    Image.fromarray(numbers("uint8", 9, 8, 3)).convert(mode).save(path)
    image = read_image(path, channels, scale)
    assert isinstance(image, Image.Image)
    assert torch.equal(to_tensor(image), to_tensor(load_image(path, channels)))


def test_8_bit_arrays_are_8_bit_images(tmp_path):
    values = numbers("uint8", 9, 8, 3)
    np.save(tmp_path / "a.npy", values)
    assert np.array_equal(read_image(str(tmp_path / "a.npy"), 3, AUTO), values)
    np.save(tmp_path / "b.npy", values[..., :1])
    assert np.array_equal(read_image(str(tmp_path / "b.npy"), 1, AUTO), values[..., 0])


def test_numbers_beyond_the_range_are_cut_off_and_grey_is_spread(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[-5, 0, 2048, 4096, 9999]], np.int16))
    found = to_tensor(read_image(str(tmp_path / "a.npy"), 3, ValueRange((0, 4096))))
    assert found.tolist() == [[[-1, -1, 0, 1, 1]]] * 3


# ---- the words of --preprocess

def test_words_do_what_pil_does():
    """8-bit levels as deep images: resizing, cropping and mirroring give PIL's levels, but for rounding."""
    levels = numbers("uint8", 20, 24)
    image = Image.fromarray(levels)
    deep = DeepImage.of((levels / 127.5 - 1).astype(np.float32)[None], "uint16")
    for change in (lambda x: x.resize((13, 31), Image.Resampling.BICUBIC), lambda x: x.crop((3, 2, 15, 19)),
                   lambda x: x.transpose(Image.Transpose.FLIP_LEFT_RIGHT)):
        expected, found = change(image), change(deep)
        assert found.size == (found.width, found.height) == expected.size and found.depth == "uint16"
        got = (found.to_tensor()[0].numpy() + 1) * 127.5
        assert np.abs(got - np.asarray(expected, np.float64)).max() <= 1
        assert got.min() >= 0 and got.max() <= 255


# ---- mistakes

@pytest.mark.parametrize("text,expected", [("", None), ("auto", (None,)), ("0:4095", ((0, 4095),)),
                                           ("-1024:3.5e3", ((-1024, 3500),))])
def test_ranges(text, expected):
    assert value_range(text) == expected


@pytest.mark.parametrize("text", ["5:5", "9:1", "0", "a:b", "0:nan", "0:inf", "0:1:2", ":"])
def test_ranges_that_are_none(text):
    with pytest.raises(UsageError, match=f"--value_range is '{re.escape(text)}'; give auto, or two numbers"):
        value_range(text)


@pytest.mark.parametrize("values,words", [
    (np.full((4, 4), np.nan, np.float32), "NaN"), (np.zeros((0, 4), np.uint16), "shape"),
    (np.zeros((2, 4, 4, 3), np.uint16), "shape"), (np.zeros((4, 4, 5), np.uint16), r"\(4, 4, 5\)"),
    (np.zeros((4, 4), np.complex64), "complex64"), (np.array([["a"]]), "<U1"),
    (np.zeros((3, 4, 5), np.uint8), "")], ids=str)
def test_arrays_that_are_no_image(tmp_path, values, words):
    np.save(tmp_path / "a.npy", values)
    scale = ValueRange((0, 1)) if "NaN" in words else AUTO
    with pytest.raises(BadImage, match=f"a.npy: .*{words}") as caught:
        read_image(str(tmp_path / "a.npy"), 3, scale)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("extension", [*FORMATS, ".jpg"])
def test_damaged_files(tmp_path, extension):
    for content in (b"", b"junk" * 20, b"\x93NUMPY\x01\x00"):
        (tmp_path / f"a{extension}").write_bytes(content)
        with pytest.raises((BadImage, UsageError), match=f"a{extension}") as caught:
            read_image(str(tmp_path / f"a{extension}"), 3, AUTO)
        assert "\n" not in str(caught.value)


def test_floats_have_no_range_of_their_own(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((4, 4)))
    with pytest.raises(UsageError, match="there are numbers of float64, .*; give --value_range lo:hi"):
        read_image(str(tmp_path / "a.npy"), 1, AUTO)


def test_objects_in_arrays_run_nothing(tmp_path):
    np.save(tmp_path / "a.npy", np.array([object()]), allow_pickle=True)
    with pytest.raises(BadImage, match="allow_pickle"):
        read_image(str(tmp_path / "a.npy"), 3, AUTO)


@pytest.mark.parametrize("name,package", [("a.png", "imagecodecs"), ("a.tif", "tifffile")])
def test_a_missing_package_is_named(tmp_path, monkeypatch, name, package):
    stream = io.BytesIO()
    write_png(stream, numbers("uint16", 4, 4, 3))
    (tmp_path / name).write_bytes(stream.getvalue() if name == "a.png" else b"II*\0" + bytes(40))
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(UsageError, match=f"{name} needs the package {package}: pip install -r requirements-"):
        read_image(str(tmp_path / name), 3, AUTO)


def test_what_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setitem(readers.formats.FORMATS, ".npy", FORMATS[".npy"]._replace(write=lambda *_: 1 / 0))
    with pytest.raises(ZeroDivisionError):
        write_image(tmp_path / "a.npy", torch.zeros(1, 4, 4), "uint16", AUTO)
    assert list(tmp_path.iterdir()) == []
