"""Files that hold volumes, by extension: their slices, and how translated ones are put together again."""

from collections.abc import Callable
from typing import BinaryIO, NamedTuple

import numpy as np

from data.readers.place import Place
from data.readers.stack import Stack
from data.readers.volumes import arrays, dicom, hdf5, nifti, tiff


class VolumeFormat(NamedTuple):
    """open: a place whose number does not count, and --slice_axis -> its numbers; None: the file is one image
    that FORMATS reads. Raises UsageError, and errors of every kind for a file that cannot be read.
    save: an open file, stored numbers [H, W] or [H, W, C], of a volume [N, H, W] or [N, H, W, C], the place
    that they were translated from, --slice_axis, and a word that is the same for all files of these results.
    channels: that it can store. fixed_size: whether its header says where a slice lies, at its own size.
    """

    open: Callable[[Place, int | None], Stack | None]
    save: Callable[[BinaryIO, np.ndarray, Place, int | None, str], None]
    channels: tuple[int, ...] = (1, 3)
    fixed_size: bool = False


NIFTI = VolumeFormat(nifti.open_stack, nifti.save, channels=(1,), fixed_size=True)
DICOM = VolumeFormat(dicom.open_stack, dicom.save, channels=(1,), fixed_size=True)
HDF5 = VolumeFormat(hdf5.open_stack, hdf5.save)
TIFF = VolumeFormat(tiff.open_stack, tiff.save)

# One more: two functions in a file of its own, and a line here.
VOLUMES: dict[str, VolumeFormat] = {
    ".nii": NIFTI,
    ".nii.gz": NIFTI,
    ".dcm": DICOM,
    ".dicom": DICOM,
    ".h5": HDF5,
    ".hdf5": HDF5,
    ".tif": TIFF,
    ".tiff": TIFF,
    ".npy": VolumeFormat(arrays.open_npy, arrays.save_npy),
    ".npz": VolumeFormat(arrays.open_npz, arrays.save_npz),
}
