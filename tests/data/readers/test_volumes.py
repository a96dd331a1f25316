"""Volumes and series, written by the formats' own packages: slices, depths, and what gets one line."""

import gzip
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data.image_folder import BadImage
from data.readers import open_stack, read_image, slices
from data.readers.place import Place
from data.readers.ranges import OwnWindow, Percentiles, ValueRange
from data.transforms import to_tensor
from tests.data.readers.volume_files import write_dicom, write_hdf5, write_nifti, write_tiff
from util.errors import UsageError

AUTO = ValueRange(None)
SHAPE = (4, 5, 6)


def numbers(dtype: str, *shape: int) -> np.ndarray:
    random = np.random.default_rng(0)
    if np.dtype(dtype).kind == "f":
        return random.uniform(-1000, 3000, shape).astype(dtype)
    limits = np.iinfo(dtype)
    return random.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)


def found(path: str | Path, low: float, high: float, axis: int | None = None) -> np.ndarray:
    """The image at a path, read as grey, in the numbers of its file."""
    tensor = to_tensor(read_image(str(path), 1, ValueRange((low, high)), axis))
    return (tensor[0].double().numpy() + 1) / 2 * (high - low) + low


# ---- slices

@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
@pytest.mark.parametrize("axis", [None, 0, 1, 2])
@pytest.mark.parametrize("slope,intercept", [(1, 0), (0.5, -100)])
def test_nifti_is_sliced_along_an_axis(tmp_path, name, axis, slope, intercept):
    stored = numbers("int16", *SHAPE)
    write_nifti(tmp_path / name, stored, slope, intercept)
    volume = stored.astype(np.float64) * slope + intercept
    paths = slices(str(tmp_path / name), axis)
    assert paths == [f"{tmp_path / name}[{k:03d}]" for k in range(SHAPE[2 if axis is None else axis])]
    for number, path in enumerate(paths):
        expected = volume.take(number, 2 if axis is None else axis)
        assert np.abs(found(path, volume.min(), volume.max(), axis) - expected).max() < 1e-2


def test_hdf5_arrays_and_pages_are_sliced_along_their_first_axis(tmp_path):
    volume = numbers("float32", *SHAPE)
    write_hdf5(tmp_path / "a.h5", scans__ct=volume)
    write_tiff(tmp_path / "a.tif", volume)
    np.save(tmp_path / "a.npy", volume)
    np.savez(tmp_path / "a.npz", volume)
    for path in (tmp_path / f"a.{extension}" for extension in ("h5", "tif", "npy", "npz")):
        paths = slices(str(path))
        assert paths == [f"{path}[{number:03d}]" for number in range(4)]
        assert all(np.abs(found(one, -1000, 3000) - volume[k]).max() < 1e-3 for k, one in enumerate(paths))
        if path.suffix != ".tif":
            assert len(slices(str(path), 2)) == 6
            assert np.abs(found(f"{path}[5]", -1000, 3000, 2) - volume[..., 5]).max() < 1e-3
    named = f"{tmp_path / 'a.h5'}:scans/ct"
    assert slices(named)[1] == f"{named}[001]" and np.array_equal(
        found(f"{named}[001]", -1000, 3000), found(f"{tmp_path / 'a.h5'}[001]", -1000, 3000))


@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 1), (5, 6, 3)])
def test_images_stay_single_items(tmp_path, shape):
    values = numbers("uint16", *shape)
    np.save(tmp_path / "a.npy", values)
    write_hdf5(tmp_path / "a.h5", images=values)
    for path in (tmp_path / "a.npy", tmp_path / "a.h5"):
        assert slices(str(path)) == [str(path)]
        tensor = to_tensor(read_image(str(path), 3, AUTO))
        assert np.abs(tensor.permute(1, 2, 0).numpy() - (values.reshape(5, 6, -1) / 32767.5 - 1)).max() < 1e-6


def test_stacks_of_colour_images_of_8_bits(tmp_path):
    values = numbers("uint8", 3, 4, 5, 3)
    write_hdf5(tmp_path / "a.h5", images=values)
    write_tiff(tmp_path / "a.tiff", values)
    np.save(tmp_path / "a.npy", values)
    for path in tmp_path.iterdir():
        assert len(slices(str(path))) == 3
        image = read_image(f"{path}[2]", 3, AUTO)
        assert image.depth == "uint8"
        assert np.abs(to_tensor(image).permute(1, 2, 0).numpy() - (values[2] / 127.5 - 1)).max() < 1e-6


def test_pages_of_several_sizes_are_one_image(tmp_path):
    """As a preview beside its image."""
    tifffile = pytest.importorskip("tifffile")
    image, preview = numbers("uint16", 8, 8), numbers("uint16", 4, 4)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(image, photometric="minisblack")
        file.write(preview, photometric="minisblack")
    path = str(tmp_path / "a.tif")
    assert slices(path) == [path] and np.abs(found(path, 0, 65535) - image).max() < 0.01


def test_colour_becomes_grey_as_pillow_makes_it(tmp_path):
    levels = numbers("uint8", 9, 8, 3)
    np.save(tmp_path / "a.npy", levels.astype(np.uint16))
    grey = np.asarray(Image.fromarray(levels).convert("L")).astype(float)
    assert np.abs(found(tmp_path / "a.npy", 0, 255) - grey).max() <= 0.51


def test_a_compressed_file_that_changed_is_read_anew(tmp_path):
    for value in (1, 2):
        write_nifti(tmp_path / "a.nii.gz", np.full(SHAPE, value, np.int16))
        os.utime(tmp_path / "a.nii.gz", (value, value))
        assert np.allclose(found(tmp_path / "a.nii.gz[1]", 0, 10), value)


# ---- DICOM

@pytest.mark.parametrize("dtype,slope,intercept,bits", [
    ("int16", 1, 0, 16), ("uint16", 1, -1024, 12), ("uint16", 2.5, 7, 16), ("uint8", 1, 0, 8)])
def test_dicom_numbers_are_rescaled(tmp_path, dtype, slope, intercept, bits):
    """auto: what the stored bits can mean."""
    stored = numbers(dtype, 7, 6) >> (16 - bits if dtype == "uint16" else 0)
    write_dicom(tmp_path / "a.dcm", stored, slope=slope, intercept=intercept, bits=bits)
    path = str(tmp_path / "a.dcm")
    assert slices(path) == [path]
    least = -2 ** (bits - 1) if dtype == "int16" else 0
    low, high = least * slope + intercept, (least + 2 ** bits - 1) * slope + intercept
    image = read_image(path, 1, AUTO)
    assert image.depth == dtype and image.bounds == (low, high)
    meant = stored.astype(np.float64) * slope + intercept
    assert np.abs(to_tensor(image)[0].numpy() - ((meant - low) / (high - low) * 2 - 1)).max() < 1e-6


def test_frames_are_slices(tmp_path):
    stored = numbers("int16", 3, 5, 4)
    write_dicom(tmp_path / "a.dcm", stored)
    paths = slices(str(tmp_path / "a.dcm"))
    assert len(paths) == 3
    for path, frame in zip(paths, stored, strict=True):
        assert np.abs(found(path, -40000, 40000) - (frame.astype(float) - 1024)).max() < 0.01


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT"])
def test_a_dicoms_own_window_is_what_pydicom_shows(tmp_path, function):
    pydicom = pytest.importorskip("pydicom")
    stored = np.arange(600, 1600, dtype=np.uint16).reshape(20, 50)
    write_dicom(tmp_path / "a.dcm", stored, bits=12)
    dataset = pydicom.dcmread(tmp_path / "a.dcm")
    dataset.VOILUTFunction = function
    dataset.save_as(tmp_path / "a.dcm")
    shown = pydicom.pixels.apply_windowing(pydicom.pixels.apply_modality_lut(stored, dataset), dataset)
    shown = (shown - shown.min()) / (shown.max() - shown.min()) * 2 - 1
    made = to_tensor(read_image(str(tmp_path / "a.dcm"), 1, OwnWindow()))[0].numpy()
    assert made.min() == -1 and made.max() == 1 and np.abs(made - shown).max() < 1e-5


def test_compressed_dicom_is_read(tmp_path):
    pydicom = pytest.importorskip("pydicom")
    stored = numbers("int16", 16, 12)
    write_dicom(tmp_path / "a.dcm", stored, intercept=0)
    dataset = pydicom.dcmread(tmp_path / "a.dcm")
    dataset.compress(pydicom.uid.RLELossless)
    dataset.save_as(tmp_path / "a.dcm")
    assert np.abs(found(tmp_path / "a.dcm", -32768, 32767) - stored).max() < 0.01


# ---- ranges

def test_percentiles_are_those_of_the_whole_volume(tmp_path):
    volume = numbers("float32", *SHAPE) + np.arange(4)[:, None, None].astype(np.float32) * 1000
    np.save(tmp_path / "a.npy", volume)
    low, high = np.percentile(volume, [10, 90])
    for number in range(4):
        image = read_image(f"{tmp_path / 'a.npy'}[{number}]", 1, Percentiles(10, 90))
        assert np.allclose(image.bounds, (low, high))
        expected = ((volume[number] - low) / (high - low) * 2 - 1).clip(-1, 1)
        assert np.abs(to_tensor(image)[0].numpy() - expected).max() < 1e-5


# ---- names

@pytest.mark.parametrize("path,file,dataset,number,extension,name", [
    ("scan.nii.gz[012]", "scan.nii.gz", "", 12, ".nii.gz", "scan/012"),
    ("scan.nii.gz", "scan.nii.gz", "", None, ".nii.gz", "scan"),
    ("a.h5:group/ct[003]", "a.h5", "group/ct", 3, ".h5", "a/group/ct/003"),
    ("a.h5:ct", "a.h5", "ct", None, ".h5", "a/ct"),
    ("odd[1].png", "odd[1].png", "", None, ".png", "odd[1]"),
    ("it:is.png", "it:is.png", "", None, ".png", "it:is"),
    ("missing.nii[1]", "missing.nii[1]", "", None, ".nii[1]", "missing"),
    ("A.B.PNG", "A.B.PNG", "", None, ".png", "A.B")])
def test_places(tmp_path, monkeypatch, path, file, dataset, number, extension, name):
    monkeypatch.chdir(tmp_path)
    for there in ("scan.nii.gz", "a.h5", "odd[1].png", "it:is.png"):
        Path(there).touch()
    place = Place.of(path)
    assert place == (file, dataset, number) and (place.extension, place.name) == (extension, name)


# ---- mistakes

def refusal(path: str | Path, scale=AUTO, kind=BadImage) -> str:
    with pytest.raises(kind) as caught:
        read_image(str(path), 1, scale)
    assert "\n" not in str(caught.value) and str(path).split(".")[0] in str(caught.value)
    return str(caught.value)


def test_nan_in_a_slice(tmp_path):
    volume = np.zeros(SHAPE, np.float32)
    volume[:, :, 2] = np.nan
    write_nifti(tmp_path / "a.nii", volume)
    scale = ValueRange((0, 1))
    assert "NaN" in refusal(tmp_path / "a.nii[002]", scale)
    assert read_image(str(tmp_path / "a.nii[001]"), 1, scale)


def test_empty_volumes(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((0, 4, 4), np.uint16))
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["images"] = np.zeros((0, 4, 4), np.uint16)
    assert "holds no slices" in refusal(tmp_path / "a.npy")
    assert "holds no slices" in refusal(tmp_path / "c.h5")
    assert slices(str(tmp_path / "c.h5")) == [str(tmp_path / "c.h5")]


def test_a_slice_that_is_not_there(tmp_path):
    write_nifti(tmp_path / "a.nii", np.zeros(SHAPE, np.int16))
    assert "it holds 6 slices, numbered from 0" in refusal(tmp_path / "a.nii[006]")
    assert "6 slices; name one, as in" in refusal(tmp_path / "a.nii")


def test_dicom_without_pixels_and_without_a_window(tmp_path):
    write_dicom(tmp_path / "a.dcm", None)
    assert "it holds no pixels" in refusal(tmp_path / "a.dcm")
    write_dicom(tmp_path / "b.dcm", numbers("int16", 4, 4), window=None)
    assert "names no window" in refusal(tmp_path / "b.dcm", OwnWindow())


def test_a_range_of_percentiles_that_is_empty(tmp_path):
    np.save(tmp_path / "a.npy", np.full((4, 4), 7, np.uint16))
    assert "percentiles 1 and 99 are both 7, an empty --value_range" in refusal(
        tmp_path / "a.npy", Percentiles(1, 99))


def test_data_sets_of_hdf5_are_listed(tmp_path):
    write_hdf5(tmp_path / "a.h5", ct=numbers("int16", 2, 3, 4), group__mr=numbers("int16", 2, 3, 4),
               table=numbers("int16", 5))
    path = tmp_path / "a.h5"
    assert refusal(f"{path}:pet", kind=UsageError) == (
        f"{path} has no data set 'pet' of images; it has: ct, group/mr")
    assert f"several data sets (ct, group/mr); name one, as in {path}:ct" in refusal(path, kind=UsageError)


def test_a_missing_decoder_is_named(tmp_path, monkeypatch):
    pydicom = pytest.importorskip("pydicom")
    write_dicom(tmp_path / "a.dcm", numbers("int16", 4, 4))
    dataset = pydicom.dcmread(tmp_path / "a.dcm")
    dataset.compress(pydicom.uid.RLELossless)
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.JPEGLSLossless
    dataset.save_as(tmp_path / "a.dcm")
    decoder = pydicom.pixels.get_decoder(pydicom.uid.JPEGLSLossless)
    monkeypatch.setattr(type(decoder), "is_available", False)
    assert "compressed as JPEG-LS Lossless" in refusal(tmp_path / "a.dcm", kind=UsageError)


@pytest.mark.parametrize("name,package", [("a.nii", "nibabel"), ("a.nii.gz", "nibabel"), ("a.dcm", "pydicom"),
                                          ("a.h5", "h5py"), ("a.hdf5", "h5py")])
def test_a_missing_package_is_named(tmp_path, monkeypatch, name, package):
    (tmp_path / name).touch()
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=f"{name} needs the package {package}: pip install -r requirements-"):
        slices(str(tmp_path / name))


@pytest.mark.parametrize("name,package", [("a.nii", "nibabel"), ("a.nii.gz", "nibabel"), ("a.dcm", "pydicom"),
                                          ("a.h5", "h5py"), ("a.npz", "numpy")])
def test_damaged_files(tmp_path, name, package):
    pytest.importorskip(package)
    for content in (b"", b"junk" * 200, gzip.compress(b"junk" * 200)):
        (tmp_path / name).write_bytes(content)
        assert slices(str(tmp_path / name)) == [str(tmp_path / name)]
        refusal(tmp_path / name)


def test_colours_of_nifti_are_refused(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    rgb = np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nibabel.save(nibabel.Nifti1Image(rgb, np.eye(4)), tmp_path / "a.nii")
    assert "not whole numbers or floats" in refusal(tmp_path / "a.nii")


def test_stacks_open_from_the_place_alone(tmp_path):
    write_nifti(tmp_path / "a.nii", np.zeros(SHAPE, ">i2"))
    stack = open_stack(Place(str(tmp_path / "a.nii")))
    assert (stack.count, stack.shape, stack.dtype.kind) == (6, SHAPE, "i")
    image = read_image(str(tmp_path / "a.nii[0]"), 1, AUTO)
    assert torch.equal(to_tensor(image).round(), torch.zeros(1, 4, 5))
