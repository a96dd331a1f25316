"""Translations in their inputs' formats: volumes put together, headers, alpha; what cannot be written."""

from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from data.image_folder import Domain
from data.readers import read_image, slices
from data.readers import written as module
from data.readers.place import Place
from data.readers.ranges import value_range
from data.readers.volumes import VOLUMES
from data.readers.written import Written
from data.transforms import to_tensor
from tests.data.readers.volume_files import AFFINE, write_dicom, write_hdf5, write_nifti, write_tiff
from util.errors import UsageError
from util.images import save_image, to_pixels
from util.loggers.results import Results

SHAPE = (4, 5, 6)


def options(**changes) -> Namespace:
    values = dict(value_range="auto", slice_axis=None, keep_alpha=False, output_nc=1, preprocess="none",
                  direction="AtoB", load_size=256, crop_size=256)
    return Namespace(**values | changes)


def translated(root: Path, paths: list[Path], change=lambda image: image, left_out=(), **changes) -> Written:
    """The images of files, changed, as test.py writes them to root/out."""
    opt = options(**changes)
    items = [item for path in paths for item in slices(str(path), opt.slice_axis)]
    written = Written(opt, {"A": Domain(str(root), items, opt.output_nc)})
    results = Results(root / "out", "", "", image_height=64)
    for item in items:
        if item in left_out:
            continue
        image = read_image(item, opt.output_nc, value_range(opt.value_range), opt.slice_axis)
        depth = "{} {!r} {!r}".format(image.depth, *image.bounds)
        batch = {"A": to_tensor(image)[None], "A_paths": [item], "A_depth": [depth]}
        name = str(Path(Place.of(item).name).relative_to(root))
        results.add([name], {"real_A": batch["A"], "fake_B": change(batch["A"])}, written.exact(batch, "A"))
    results.save()
    written.close()
    return written


def negative(image: Tensor) -> Tensor:
    return -image


def integers(dtype: str, *shape: int) -> np.ndarray:
    limits = np.iinfo(dtype)
    return np.random.default_rng(0).integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)


# ---- there and back

@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
@pytest.mark.parametrize("axis", [None, 0])
@pytest.mark.parametrize("dtype,slope,intercept", [("int16", 1, 0), ("uint8", 2, -5), ("float32", 1, 0)])
def test_nifti_comes_back_as_it_was(tmp_path, name, axis, dtype, slope, intercept):
    """Numbers, type, scale, affine and header; the same file for each of its slices."""
    nibabel = pytest.importorskip("nibabel")
    stored = integers("uint8", *SHAPE).astype(dtype)
    write_nifti(tmp_path / name, stored, slope, intercept)
    assert translated(tmp_path, [tmp_path / name], value_range="-1000:1000", slice_axis=axis).missing == []
    source = nibabel.load(tmp_path / name)
    made = nibabel.load(tmp_path / "out" / "images" / "fake_B" / name)
    assert made.get_data_dtype() == dtype and np.allclose(made.affine, AFFINE)
    assert np.allclose(made.get_fdata(), stored * float(slope) + intercept, atol=1e-3)
    for field in ("descrip", "pixdim", "xyzt_units", "qform_code", "sform_code", "dim"):
        assert np.array_equal(made.header[field], source.header[field])
    assert (made.dataobj.slope, made.dataobj.inter) == (slope, intercept)
    count = SHAPE[2 if axis is None else axis]
    assert len(list((tmp_path / "out" / "images" / "fake_B" / "scan").glob("*.png"))) == count
    assert not list((tmp_path / "out" / "images" / "real_A").glob("*.nii*"))


def test_hdf5_comes_back_with_its_data_set(tmp_path):
    h5py = pytest.importorskip("h5py")
    volume = integers("uint16", *SHAPE)
    write_hdf5(tmp_path / "a.h5", scans__ct=volume, other=volume)
    translated(tmp_path, [Path(f"{tmp_path / 'a.h5'}:scans/ct")], negative)
    with h5py.File(tmp_path / "out" / "images" / "fake_B" / "a" / "scans" / "ct.h5") as file:
        assert list(file) == ["scans"] and list(file["scans"]) == ["ct"]
        assert file["scans/ct"].dtype == "uint16" and np.array_equal(file["scans/ct"][:], 65535 - volume)
        assert file["scans/ct"].attrs["unit"] == "HU"


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
@pytest.mark.parametrize("shape", [SHAPE, (*SHAPE, 3)])
@pytest.mark.parametrize("extension", [".tif", ".npy"])
def test_stacks_come_back_whole(tmp_path, dtype, shape, extension):
    volume = integers(dtype, *shape)
    if extension == ".npy":
        np.save(tmp_path / "a.npy", volume)
    else:
        write_tiff(tmp_path / "a.tif", volume)
    translated(tmp_path, [tmp_path / f"a{extension}"], negative, output_nc=len(shape) * 2 - 5)
    path = tmp_path / "out" / "images" / "fake_B" / f"a{extension}"
    made = np.load(path) if extension == ".npy" else pytest.importorskip("tifffile").imread(path)
    limits = np.iinfo(dtype)
    assert made.dtype == dtype and np.array_equal(made, limits.max - (volume.astype(int) - limits.min))


def test_a_series_of_dicom_stays_a_series(tmp_path):
    """Each file by itself: the header, another UID, one new series, derived; stored numbers."""
    pydicom = pytest.importorskip("pydicom")
    stored = integers("uint16", 3, 8, 6) >> 4
    for number, image in enumerate(stored):
        write_dicom(tmp_path / f"{number}.dcm", image, slope=2, bits=12, number=number)
    translated(tmp_path, [tmp_path / f"{number}.dcm" for number in range(3)], negative)
    made = [pydicom.dcmread(tmp_path / "out" / "images" / "fake_B" / f"{number}.dcm") for number in range(3)]
    for number, dataset in enumerate(made):
        assert np.array_equal(dataset.pixel_array, 4095 - stored[number])
        assert (dataset.PatientName, dataset.RescaleSlope, dataset.BitsStored) == ("Doe^Jane", 2, 12)
        assert dataset.ImagePositionPatient == [0, 0, 2.5 * number]
        assert list(dataset.ImageType) == ["DERIVED", "SECONDARY", "AXIAL"]
        source = pydicom.dcmread(tmp_path / f"{number}.dcm")
        assert dataset.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
        assert dataset.SOPInstanceUID == dataset.file_meta.MediaStorageSOPInstanceUID != source.SOPInstanceUID
    assert len({dataset.SOPInstanceUID for dataset in made}) == 3
    (series,) = {dataset.SeriesInstanceUID for dataset in made}
    assert series != "1.2.3.4"
    translated(tmp_path, [tmp_path / "0.dcm"])
    again = pydicom.dcmread(tmp_path / "out" / "images" / "fake_B" / "0.dcm")
    assert again.SeriesInstanceUID != series


def test_frames_and_compressed_dicom_come_back(tmp_path):
    pydicom = pytest.importorskip("pydicom")
    stored = integers("int16", 3, 16, 12)
    write_dicom(tmp_path / "a.dcm", stored)
    dataset = pydicom.dcmread(tmp_path / "a.dcm")
    dataset.compress(pydicom.uid.RLELossless)
    dataset.save_as(tmp_path / "a.dcm")
    translated(tmp_path, [tmp_path / "a.dcm"], negative)
    made = pydicom.dcmread(tmp_path / "out" / "images" / "fake_B" / "a.dcm")
    assert np.array_equal(made.pixel_array, -1 - stored) and made.NumberOfFrames == 3


@pytest.mark.parametrize("name", ["CT_small", "MR_small", "MR_small_bigendian", "MR_small_RLE", "JPEG2000",
                                  "image_dfl", "rtdose", "rtdose_expb", "rtdose_rle"])
def test_files_that_come_with_pydicom(tmp_path, name):
    """Of scanners; little-endian, big-endian, deflated, compressed, of 16 and 32 bits, of many frames."""
    pydicom = pytest.importorskip("pydicom")
    source = Path(pydicom.__file__).parent / "data" / "test_files" / f"{name}.dcm"
    if not source.exists():
        pytest.skip("this release of pydicom comes without it")
    (tmp_path / f"{name}.dcm").write_bytes(source.read_bytes())
    translated(tmp_path, [tmp_path / f"{name}.dcm"])
    given = pydicom.dcmread(source)
    made = pydicom.dcmread(tmp_path / "out" / "images" / "fake_B" / f"{name}.dcm")
    assert made.pixel_array.dtype == given.pixel_array.dtype and made.PatientID == given.PatientID
    tolerance = 2 ** 8 if given.BitsAllocated == 32 else 0      # networks compute with 24 bits
    assert np.abs(made.pixel_array.astype(float) - given.pixel_array).max() <= tolerance


def test_volumes_that_come_with_nibabel(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    source = Path(nibabel.__file__).parent / "tests" / "data" / "anatomical.nii"
    if not source.exists():
        pytest.skip("this release of nibabel comes without it")
    (tmp_path / "a.nii").write_bytes(source.read_bytes())
    translated(tmp_path, [tmp_path / "a.nii"], value_range="p0:p100")
    given, made = nibabel.load(source), nibabel.load(tmp_path / "out" / "images" / "fake_B" / "a.nii")
    assert made.shape == given.shape and np.array_equal(made.affine, given.affine)
    assert np.abs(made.get_fdata() - given.get_fdata()).max() <= 1e-6 * given.get_fdata().max()


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.h5", "a.npy", "a.npz", "a.dcm", "a.tif"])
def test_a_full_disk_is_an_error_of_the_system(tmp_path, name):
    """Which the programs say in one line; the libraries' own errors have several, or end the process."""
    volume = integers("uint16", *SHAPE)
    write = {".h5": lambda path: write_hdf5(path, x=volume), ".npy": lambda path: np.save(path, volume),
             ".npz": lambda path: np.savez(path, volume), ".tif": lambda path: write_tiff(path, volume),
             ".dcm": lambda path: write_dicom(path, volume)}.get(Path(name).suffix,
                                                                lambda path: write_nifti(path, volume))
    write(tmp_path / name)
    place = Place(str(tmp_path / name))
    with pytest.raises(OSError, match="No space left|written") as caught, open("/dev/full", "wb") as stream:
        VOLUMES[place.extension].save(stream, volume, place, 0, "")
    assert "\n" not in str(caught.value)


def test_a_window_of_its_own_is_written_back_through_itself(tmp_path):
    """Within the percentiles the numbers are those of before, beyond them the percentiles."""
    volume = np.random.default_rng(0).normal(500, 100, (3, 20, 20)).astype(np.float32)
    np.save(tmp_path / "a.npy", volume)
    translated(tmp_path, [tmp_path / "a.npy"], value_range="p5:p95")
    made = np.load(tmp_path / "out" / "images" / "fake_B" / "a.npy")
    assert np.abs(made - volume.clip(*np.percentile(volume, [5, 95]))).max() < 1e-3


def test_volumes_are_not_kept_together(tmp_path, monkeypatch):
    """In memory are no more than those on the way to the disk."""
    monkeypatch.setattr("util.loggers.results.WAITING", 4)
    alive = []
    made = []

    class Counted(module._Volume):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            made.append(self)

        def add(self, *arguments, **named):
            super().add(*arguments, **named)
            alive.append(sum(len(volume._slices) for volume in made))
    monkeypatch.setattr(module, "_Volume", Counted)
    for number in range(8):
        np.save(tmp_path / f"{number}.npy", integers("uint16", *SHAPE))
    translated(tmp_path, [tmp_path / f"{number}.npy" for number in range(8)])
    assert len(made) == 8 and max(alive) <= 3 and alive[-1] == 0


def test_a_volume_that_lacks_a_slice_is_not_written(tmp_path):
    for number in range(2):
        np.save(tmp_path / f"{number}.npy", integers("uint16", *SHAPE))
    written = translated(tmp_path, [tmp_path / "0.npy", tmp_path / "1.npy"],
                         left_out=[f"{tmp_path / '0.npy'}[002]"])
    assert written.missing == [
        f"{tmp_path / '0.npy'}: 1 of its 4 slices are missing, so no volume is written of it"]
    assert [path.name for path in (tmp_path / "out" / "images" / "fake_B").glob("*.npy")] == ["1.npy"]


# ---- alpha

def rgba(mode: str = "RGBA", size: tuple[int, int] = (9, 8)) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)
    return Image.fromarray(values).convert(mode)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("changes", [{"value_range": "auto"}, {"value_range": "", "keep_alpha": True}],
                         ids=str)
def test_alpha_of_8_bits_is_put_back(tmp_path, mode, changes):
    rgba(mode).save(tmp_path / "a.png")
    written = Written(options(output_nc=3, **changes), {})
    (extension, write), = written.exact({"A_paths": [str(tmp_path / "a.png")]}, "A")
    write(tmp_path / f"b{extension}", torch.zeros(3, 8, 9))
    made = Image.open(tmp_path / "b.png")
    assert made.mode == "RGBA" and set(np.asarray(made)[..., :3].ravel()) == {128}
    assert np.array_equal(np.asarray(made)[..., 3], np.asarray(rgba(mode))[..., -1])


def test_without_alpha_the_png_is_the_pages(tmp_path):
    image = torch.rand(3, 8, 9) * 2 - 1
    for mode, flags in (("RGB", {"keep_alpha": True}), ("P", {"keep_alpha": True}), ("L", {})):
        rgba().convert("RGB").convert(mode).save(tmp_path / "a.png")
        (extension, write), = Written(options(**flags), {}).exact({"A_paths": [str(tmp_path / "a.png")]}, "A")
        write(tmp_path / f"b{extension}", image)
        save_image(tmp_path / "c.png", to_pixels(image))
        assert (tmp_path / "b.png").read_bytes() == (tmp_path / "c.png").read_bytes()
    assert Written(options(value_range=""), {}).exact({"A_paths": [str(tmp_path / "a.png")]}, "A") == [None]


def test_alpha_follows_the_size(tmp_path):
    image = Image.new("RGBA", (20, 10), (9, 9, 9, 0))
    image.paste((9, 9, 9, 255), (10, 0, 20, 10))
    image.save(tmp_path / "a.png")
    (_, write), = Written(options(keep_alpha=True, preprocess="resize_and_crop"), {}).exact(
        {"A_paths": [str(tmp_path / "a.png")]}, "A")
    write(tmp_path / "b.png", torch.zeros(3, 40, 40))
    alpha = np.asarray(Image.open(tmp_path / "b.png"))[..., 3]
    assert alpha.shape == (40, 40) and (alpha[:, :15] == 0).all() and (alpha[:, 25:] == 255).all()


@pytest.mark.parametrize("extension", [".png", ".tif"])
@pytest.mark.parametrize("colours", [1, 3])
def test_alpha_of_16_bits_is_kept(tmp_path, extension, colours):
    codecs, tifffile = pytest.importorskip("imagecodecs"), pytest.importorskip("tifffile")
    values = integers("uint16", 8, 9, colours + 1)
    source = tmp_path / f"a{extension}"
    if extension == ".png":
        source.write_bytes(codecs.png_encode(values))
    else:
        tifffile.imwrite(source, values, photometric="rgb" if colours == 3 else "minisblack",
                         extrasamples=["unassalpha"], planarconfig="contig")
    translated(tmp_path, [source], negative, output_nc=colours)
    path = tmp_path / "out" / "images" / "fake_B" / source.name
    made = codecs.png_decode(path.read_bytes()) if extension == ".png" else tifffile.imread(path)
    assert np.array_equal(made[..., :-1], 65535 - values[..., :-1])
    assert np.array_equal(made[..., -1], values[..., -1])


# ---- mistakes

@pytest.mark.parametrize("name,changes,words", [
    ("a.nii.gz", {"output_nc": 3}, "3 channels .*, but .nii.gz holds one here; train with --output_nc 1"),
    ("a.dcm", {"output_nc": 3}, "but .dcm holds one here"),
    ("a.dcm", {"preprocess": "resize"}, "--preprocess is resize, but .* use --preprocess none"),
    ("a.png", {"keep_alpha": True, "preprocess": "crop"}, "--keep_alpha needs whole images"),
    ("a.png", {"keep_alpha": True, "preprocess": "resize_and_crop", "load_size": 286}, "cuts parts out")],
    ids=str)
def test_what_cannot_be_written_is_said_before(tmp_path, name, changes, words):
    with pytest.raises(UsageError, match=words) as caught:
        Written(options(**changes), {"A": Domain(str(tmp_path), [str(tmp_path / name)], 1)})
    assert "\n" not in str(caught.value)


def test_an_error_while_writing_leaves_no_file(tmp_path, monkeypatch):
    np.save(tmp_path / "a.npy", integers("uint16", *SHAPE))
    monkeypatch.setattr("data.readers.volumes.arrays.np.save", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        translated(tmp_path, [tmp_path / "a.npy"])
    assert not [path for path in (tmp_path / "out").rglob("*") if path.suffix in (".npy", ".tmp")]
