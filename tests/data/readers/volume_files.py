"""Volumes and series written by the formats' own packages, for tests."""

from pathlib import Path

import numpy as np
import pytest

AFFINE = np.array([[-0.7, 0.1, 0, 90], [0.1, 0.8, 0, -120], [0, 0, 2.5, -70], [0, 0, 0, 1]])


def write_nifti(path: Path, values: np.ndarray, slope: float = 1, intercept: float = 0) -> None:
    """values: as stored."""
    nibabel = pytest.importorskip("nibabel")
    image = nibabel.Nifti1Image(values, AFFINE)
    image.header.set_slope_inter(slope, intercept)
    image.header["descrip"] = b"a scan"
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)


def write_hdf5(path: Path, **datasets: np.ndarray) -> None:
    """Names with a double underscore stand for groups."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file.create_dataset(name.replace("__", "/"), data=values, compression="gzip").attrs["unit"] = "HU"


def write_tiff(path: Path, values: np.ndarray) -> None:
    """Pages [N, H, W] or [N, H, W, 3]."""
    colour = values.ndim == 4
    pytest.importorskip("tifffile").imwrite(path, values, photometric="rgb" if colour else "minisblack")


def write_dicom(path: Path, values: np.ndarray | None, *, slope: float = 1, intercept: float = -1024,
                bits: int = 16, window: tuple[float, float] | None = (40, 400), series: str = "1.2.3.4",
                number: int = 1) -> None:
    """A CT image [H, W], or frames [N, H, W], as stored; None: a file without pixels."""
    pydicom = pytest.importorskip("pydicom")
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = pydicom.uid.CTImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    dataset.SeriesInstanceUID, dataset.StudyInstanceUID = series, "1.2.3"
    dataset.PatientName, dataset.Modality, dataset.InstanceNumber = "Doe^Jane", "CT", number
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.PixelSpacing, dataset.ImagePositionPatient = [0.5, 0.5], [0, 0, 2.5 * number]
    dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept
    if window:
        dataset.WindowCenter, dataset.WindowWidth = window
    if values is not None:
        dataset.set_pixel_data(values, "MONOCHROME2", bits, generate_instance_uid=False)
    dataset.save_as(path, enforce_file_format=True)
