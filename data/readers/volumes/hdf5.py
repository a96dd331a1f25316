"""HDF5, by the package h5py: a data set as an image or as a stack of images."""

import io
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np

from data.readers.formats import package
from data.readers.place import Place
from data.readers.stack import Stack
from data.readers.volumes.arrays import axis_of, put_together, read_slice
from util.errors import UsageError


def open_stack(place: Place, axis: int | None) -> Stack:
    """The file is opened anew for each slice: an open one must not pass from a process to its workers."""
    h5py = package("h5py", place.file)
    with h5py.File(place.file, "r") as file:
        found = _dataset(h5py, file, place)
        name, shape, dtype = found.name, found.shape, found.dtype
    along = axis_of(shape, axis)

    def read(number: int | None) -> np.ndarray:
        with h5py.File(place.file, "r") as file:
            return read_slice(file[name], None if along is None else number, along or 0)[()]
    return Stack(1 if along is None else shape[along], shape, dtype, read)


def save(stream: BinaryIO, values: np.ndarray, place: Place, axis: int | None, results: str) -> None:
    """A file with that data set alone, its attributes kept."""
    h5py = package("h5py", place.file)
    with h5py.File(place.file, "r") as source:
        found = _dataset(h5py, source, place)
        if axis_of(found.shape, axis) is not None:
            values = put_together(values, axis)
        buffer = io.BytesIO()   # the library does not survive a full disk
        with h5py.File(buffer, "w") as made:
            made.create_dataset(found.name, data=values, compression=found.compression,
                                compression_opts=found.compression_opts)
            for key, value in found.attrs.items():
                made[found.name].attrs[key] = value
    stream.write(buffer.getbuffer())


def _dataset(h5py: ModuleType, file: Any, place: Place) -> Any:
    """The data set, of two axes or more, that a place names. Raises UsageError for one that is not there, and
    where none is named of several.
    """
    found: list[str] = []

    def visit(name: str, value: Any) -> None:
        if isinstance(value, h5py.Dataset) and len(value.shape or ()) >= 2:
            found.append(name)
    file.visititems(visit)
    listed = ", ".join(found) or "none"
    if place.dataset:
        if place.dataset.strip("/") not in found:
            raise UsageError(f"{place.file} has no data set {place.dataset!r} of images; it has: {listed}")
        return file[place.dataset]
    if not found:
        raise ValueError("it has no data set of images")
    if len(found) > 1:
        raise UsageError(f"{place.file} has several data sets ({listed}); name one, as in "
                         f"{place.file}:{found[0]}")
    return file[found[0]]
