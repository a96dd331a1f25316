"""The files of translations: names, and formats, read back by Pillow."""

import re
from argparse import Namespace

import numpy as np
import pytest
import torch
from PIL import Image

from data import create_loader
from data.result_files import FileNames, Output, ResultNames
from util.errors import UsageError
from util.images import SAVED, to_pixels
from util.loggers.results import Writer


def output(format="", quality=None, output_only=False, value_range="",
           keep_alpha=False) -> Output:
    return Output(Namespace(format=format, quality=quality, output_only=output_only, value_range=value_range,
                            slice_axis=None, keep_alpha=keep_alpha, preprocess="none", load_size=16,
                            crop_size=16, direction="AtoB", output_nc=3), {})


def writer_of(made: Output, path: str, dtype: str = "") -> Writer:
    depth = f"{dtype} 0.0 4095.0" if dtype else ""
    writer, = made.writers({"A_paths": [path], "A_depth": [depth]}, "A")
    return writer


def smooth(channels: int = 3) -> torch.Tensor:
    """An image that JPEG keeps well, [C, 24, 36] in [-1, 1]."""
    ramp = torch.linspace(-1, 1, 36).expand(channels, 24, 36).clone()
    return ramp * torch.linspace(0.2, 1, channels)[:, None, None]


# ---- names

def test_names_depend_on_the_names_before_them_alone():
    asked = ["a", "b/c", "a", "a.png/x", "a_2", "b"]
    whole, part = FileNames(), FileNames()
    names = [whole.free(name) for name in asked]
    assert names == ["a", "b/c", "a_2", "a.png_2/x", "a_2_2", "b"]
    assert [part.free(name) for name in asked[:3]] == names[:3]


def test_extensions_that_differ_need_no_number():
    names = FileNames()
    assert [names.free("a", {".jpg"}), names.free("a", {".png"}), names.free("a", {".jpg", ".png"})] == [
        "a", "a", "a_2"]


@pytest.mark.parametrize("flags, expected", [
    (dict(), ["000", "000_2"]),
    (dict(format="same"), ["000", "000_2"]),                        # on the page both inputs are PNG
    (dict(format="same", output_only=True), ["000", "000"]),
    (dict(output_only=True), ["000", "000_2"])])
def test_names_of_the_results_of_a_data_set(options, paint, flags, expected, tmp_path):
    path, = paint("photos", 1)
    Image.open(path).save(path.with_suffix(".bmp"))
    dataset = create_loader(options(isTrain=False, phase="test", dataroot=str(tmp_path / "photos"))).dataset
    names = ResultNames(dataset, output(**flags))
    assert names.known == expected and names.sources == [str(path.with_suffix(".bmp")), str(path)]
    assert names.of([1, 0], ["?", "?"]) == expected[::-1]


def test_names_that_only_reading_tells_come_with_the_items(options, paint, monkeypatch):
    paths = [str(path) for path in paint("testA", 3)]
    dataset = create_loader(options(isTrain=False, phase="test")).dataset
    monkeypatch.setattr(dataset, "inputs", list)
    names = ResultNames(dataset, output())
    assert names.known == []
    assert names.of([2, 0], [paths[2], paths[0]]) == ["002", "000"] == names.known


# ---- formats

@pytest.mark.parametrize("extension", SAVED)
def test_every_format_of_8_bits_is_what_its_name_says(tmp_path, extension):
    for channels in (1, 3):
        writer = writer_of(output("same"), f"x{extension}")
        path = tmp_path / f"x{writer.extension}"
        writer.write(path, to_pixels(smooth(channels)))
        with Image.open(path) as found:
            assert found.format == SAVED[extension][0]
            made = np.asarray(found.convert("L" if channels == 1 else "RGB")).reshape(24, 36, channels)
        error = np.abs(made.astype(int) - to_pixels(smooth(channels))).max()
        assert error <= (10 if extension in (".jpg", ".jpeg", ".webp") else 0)


def test_quality_is_a_matter_of_size(tmp_path):
    noise, sizes = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8), []
    for quality in (10, 50, 95):
        writer = writer_of(output("jpg", quality), "x.png")
        writer.write(tmp_path / "x.jpg", noise)
        sizes.append((tmp_path / "x.jpg").stat().st_size)
    assert sizes[0] < sizes[1] / 2 < sizes[2] / 4


@pytest.mark.parametrize("path, flags, depth, expected, shown", [
    ("a.jpg", "", "", ".png", True), ("a.JPG", "same", "", ".JPG", True),
    ("a.ppm", "same", "", ".ppm", False),
    ("a.tif", "tiff", "", ".tiff", False), ("a.bmp", "webp", "", ".webp", True),
    ("a.npy", "", "", ".png", True), ("a.npy", "same", "", ".npy", False),
    ("a.npy", "", "int16", ".npy", False), ("a.png", "", "uint16", ".png", True),
    ("a.tif", "png", "uint16", ".png", True), ("a.png", "tiff", "uint16", ".tiff", False)])
def test_the_extension_of_a_translation(path, flags, depth, expected, shown, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", np.zeros((2, 2), np.int16))
    chosen = output(flags, value_range="auto" if depth else "")
    writer = writer_of(chosen, path, depth)
    assert (writer.extension, writer.shown) == (expected, shown)
    assert writer.exact == (bool(depth) or expected == ".npy")
    assert {writer.extension, ".png"} <= chosen.extensions(path)


@pytest.mark.parametrize("extension", [".png", ".webp", ".tiff"])
def test_transparency_is_kept_in_the_formats_that_hold_it(tmp_path, extension):
    source, alpha = tmp_path / f"a{extension}", np.arange(24 * 36, dtype=np.uint8).reshape(24, 36)
    Image.fromarray(np.dstack([to_pixels(smooth()), alpha])).save(source, lossless=True)
    for chosen, name in ((output("same", keep_alpha=True), extension), (output("", keep_alpha=True), ".png")):
        writer = writer_of(chosen, str(source))
        writer.write(tmp_path / f"made{writer.extension}", smooth())
        made = np.asarray(Image.open(tmp_path / f"made{name}"))
        assert np.array_equal(made[..., 3], alpha)


@pytest.mark.parametrize("format", ["png", "tiff"])
def test_transparency_of_16_bits_is_kept_in_a_format_by_name(tmp_path, format):
    imagecodecs, tifffile = pytest.importorskip("imagecodecs"), pytest.importorskip("tifffile")
    numbers = np.arange(24 * 36 * 4, dtype=np.uint16).reshape(24, 36, 4)
    source, made = tmp_path / "a.png", tmp_path / f"made.{format}"
    source.write_bytes(imagecodecs.png_encode(numbers))
    writer_of(output(format, value_range="0:4095"), str(source), "uint16").write(made, smooth())
    found = tifffile.imread(made) if format == "tiff" else imagecodecs.png_decode(made.read_bytes())
    assert found.dtype == np.uint16 and np.array_equal(found[..., 3], numbers[..., 3])


def test_an_array_of_bytes_stays_one(tmp_path):
    writer = writer_of(output("same", value_range="0:4095"), "a.npy")
    writer.write(tmp_path / "a.npy", smooth())
    assert np.array_equal(np.load(tmp_path / "a.npy"), to_pixels(smooth()))


@pytest.mark.parametrize("format, depth", [("png", "float32"), ("png", "int16"), ("jpg", "uint16")])
def test_a_format_that_cannot_hold_the_depth_is_refused(format, depth):
    line = f"--format {format} does not write numbers of {depth}, as scan.npy has them; use --format same"
    with pytest.raises(UsageError, match=re.escape(line)):
        writer_of(output(format, value_range="0:1"), "scan.npy", depth)
