"""Rows of a feature map in a temporary file."""

import errno
import tempfile
from typing import IO

import numpy as np
import torch
from torch import Tensor

from models.precision import is_channels_last, to_channels_last
from util.errors import RunError


class RowFile:
    """A map [B, C, rows, W] that grows downwards, in a file that the system removes with this object.

    The file is read and written, not mapped into memory, so that it does not count as memory of the process;
    what the system has room for, it caches. It lies in the folder for temporary files: the environment
    variable TMPDIR names another.
    """

    def __init__(self) -> None:
        self._stream: IO[bytes] | None = None
        self._like = torch.empty(0)             # has the rows' dtype and device
        self._shape: tuple[int, ...] = ()       # of a row, in the order of the file
        self._channels_last, self._row_bytes = False, 0

    def append(self, x: Tensor) -> None:
        """Add rows [B, C, h, W] at the bottom. Raises RunError where there is no room."""
        self._channels_last = is_channels_last(x)
        order = (2, 0, 3, 1) if self._channels_last else (2, 0, 1, 3)
        rows = x.detach().permute(order).cpu().contiguous()
        self._like, self._shape, self._row_bytes = x.new_empty(0), tuple(rows.shape[1:]), rows[0].nbytes
        try:
            if self._stream is None:
                self._stream = tempfile.TemporaryFile(prefix="tiling_")   # closed with self
            self._stream.seek(0, 2)
            self._stream.write(rows.view(-1).view(torch.uint8).numpy())
            self._stream.flush()
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            raise RunError(f"no room in {tempfile.gettempdir()} for the maps of a large image: name a folder "
                           "with more room in the environment variable TMPDIR, or use --tile_statistics "
                           "quick") from error

    def read(self, top: int, bottom: int) -> Tensor:
        """The rows from `top` up to `bottom`, in the dtype, order and device that they came in."""
        data = np.empty((bottom - top) * self._row_bytes, np.uint8)
        self._stream.seek(top * self._row_bytes)
        self._stream.readinto(data)
        x = torch.from_numpy(data).view(self._like.dtype).view(bottom - top, *self._shape)
        x = x.permute(1, 3, 0, 2) if self._channels_last else x.permute(1, 2, 0, 3)
        x = x.to(self._like.device)
        return to_channels_last(x) if self._channels_last else x.contiguous()
