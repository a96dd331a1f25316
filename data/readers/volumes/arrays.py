"""NumPy's files as volumes."""

import os
from functools import lru_cache
from typing import BinaryIO

import numpy as np

from data.readers.formats import read_npz
from data.readers.place import Place
from data.readers.stack import Stack


def axis_of(shape: tuple[int, ...], axis: int | None) -> int | None:
    """The axis along which an array is sliced; None: it is one image, or nothing that could be sliced.

    axis: --slice_axis. Without it, an array is a stack along its first axis unless its last one are colours.
    """
    colour = shape[-1:] in ((1,), (3,))
    if len(shape) == 4 and colour:
        return axis or 0
    return axis or 0 if len(shape) == 3 and (axis is not None or not colour) else None


def read_slice(values: np.ndarray, number: int | None, axis: int) -> np.ndarray:
    """A slice of an array along an axis; None: all of it."""
    return values if number is None else values[(slice(None),) * axis + (number,)]


def put_together(values: np.ndarray, axis: int | None) -> np.ndarray:
    """Slices [N, H, W] or [N, H, W, C] with the slices along the axis that they came from."""
    return np.moveaxis(values, 0, axis or 0)


def open_npy(place: Place, axis: int | None) -> Stack | None:
    """A volume stays on the disk; what is read of it is a slice."""
    try:
        values = np.load(place.file, mmap_mode="r", allow_pickle=False)
    except ValueError:      # what read_npy says better, such as that it holds objects
        return None
    along = axis_of(values.shape, axis)
    if along is None:
        return None
    return Stack(values.shape[along], values.shape, values.dtype,
                 lambda number: read_slice(values, number, along))


def save_npy(stream: BinaryIO, values: np.ndarray, place: Place, axis: int | None, results: str) -> None:
    np.save(stream, put_together(values, axis), allow_pickle=False)


def open_npz(place: Place, axis: int | None) -> Stack | None:
    """The array is read whole, and kept until the next."""
    changed = os.stat(place.file).st_mtime_ns
    values = _loaded(place.file, changed)
    along = axis_of(values.shape, axis)
    if along is None:
        return None
    return Stack(values.shape[along], values.shape, values.dtype,
                 lambda number: read_slice(_loaded(place.file, changed), number, along))


@lru_cache(maxsize=1)
def _loaded(path: str, changed: int) -> np.ndarray:
    """The array of the last file, kept for its other slices. changed: when the file was, ns."""
    return read_npz(path)


def save_npz(stream: BinaryIO, values: np.ndarray, place: Place, axis: int | None, results: str) -> None:
    np.savez_compressed(stream, put_together(values, axis))
