"""NIfTI, by the package nibabel: the slices of a volume along one of its axes."""

import gzip
import os
from functools import lru_cache
from typing import Any, BinaryIO

import numpy as np

from data.readers.formats import package
from data.readers.place import Place
from data.readers.stack import Stack
from data.readers.volumes.arrays import read_slice

AXIS = 2    # along which slices lie where --slice_axis does not say


def open_stack(place: Place, axis: int | None) -> Stack:
    """A slice is [H, W] in the order of the file's axes that are left. Of an uncompressed file a slice is
    read alone; a compressed one is read whole and kept until the next.
    """
    image = _loaded(place.file)
    shape, proxy = _shape(image), image.dataobj
    if len(shape) not in (2, 3):
        raise ValueError(f"its shape is {image.shape}; a volume here is [x, y, z], or an image [x, y]: write "
                         "each moment into a file of its own")
    dtype = image.get_data_dtype()
    if dtype.kind not in "iuf":
        raise ValueError(f"it holds {dtype}, not whole numbers or floats")
    changed = os.stat(place.file).st_mtime_ns

    def read(number: int | None) -> np.ndarray:
        stored = _stored(place.file, changed).reshape(shape)
        return read_slice(stored, None if len(shape) == 2 else number, _axis(axis))
    return Stack(1 if len(shape) == 2 else shape[_axis(axis)], shape,
                 dtype, read,                 float(proxy.slope), float(proxy.inter))


def save(stream: BinaryIO, values: np.ndarray, place: Place, axis: int | None, results: str) -> None:
    """With the affine, the header and the scale of the file that was translated."""
    image = _loaded(place.file)
    if values.ndim == len(_shape(image)) == 3:
        values = np.moveaxis(values, 0, _axis(axis))
    made = type(image)(values.reshape(image.shape), image.affine, image.header)
    made.header.set_slope_inter(image.dataobj.slope, image.dataobj.inter)
    if place.extension == ".nii":
        made.to_stream(stream)
        return
    with gzip.GzipFile(filename="", fileobj=stream, mode="wb", mtime=0) as compressed:
        made.to_stream(compressed)


def _axis(axis: int | None) -> int:
    return AXIS if axis is None else axis


def _loaded(path: str) -> Any:
    """The file's header, and its numbers when they are asked for."""
    nibabel = package("nibabel", path)
    image = nibabel.load(path)
    if not isinstance(image, nibabel.Nifti1Image):      # one of NIfTI-2 is one, too
        raise ValueError(f"it holds a {type(image).__name__}, no volume")
    return image


def _shape(image: Any) -> tuple[int, ...]:
    """[x, y, z, 1] is [x, y, z]."""
    shape = image.shape
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    return shape


@lru_cache(maxsize=1)
def _stored(path: str, changed: int) -> np.ndarray:
    """The numbers of the last file as they are stored, a map of the file where it is not compressed.

    changed: when the file was, ns.
    """
    return np.asanyarray(_loaded(path).dataobj.get_unscaled())
