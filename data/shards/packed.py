"""Images inside shards, each a path that knows where its bytes lie."""

import zlib
from collections.abc import Sequence
from io import BytesIO

import numpy as np

from data.shards.index import Index
from data.shards.shard import Shard


class PackedFile(str):
    """The path that an image has in its unpacked folder. No file is there: `read` gives its bytes."""

    def __new__(cls, path: str, shard: Shard, offset: int, size: int, crc: int) -> "PackedFile":
        """crc: CRC-32 of the bytes; -1: unknown."""
        file = super().__new__(cls, path)
        file.shard, file.offset, file.size, file.crc = shard, offset, size, crc
        return file

    def __reduce__(self) -> tuple:      # other processes get a plain path
        return str, (str(self),)

    def read(self) -> bytes:
        """Raises OSError for bytes that are missing or not those that were packed; DataError where the
        shard cannot be fetched.
        """
        data = self.shard.read(self.offset, self.size)
        if len(data) < self.size:
            raise OSError(f"the shard {self.shard.name} is cut off")
        if self.crc not in (-1, zlib.crc32(data)):
            raise OSError(f"its bytes in {self.shard.name} are not those that were packed (CRC-32)")
        return data


def file_of(path: str) -> str:
    """The file that holds an image: its own, or its shard."""
    return path.shard.place if isinstance(path, PackedFile) else path


class PackedBytes(BytesIO):
    """The bytes of a packed file as a stream that error messages call by the file's path."""

    def __init__(self, file: PackedFile):
        super().__init__(file.read())
        self._path = str(file)

    def __repr__(self) -> str:
        return repr(self._path)


class PackedImages(Sequence[str]):
    """The images of a set of shards as paths below a folder, in the order of shards and members.

    Places and names are kept in a few arrays, about 60 bytes an image, which worker processes share.
    counts: images of each shard.
    """

    def __init__(self, folder: str, shards: Sequence[Shard], indices: Sequence[Index]):
        self.folder, self.shards = folder, list(shards)
        self.counts = np.array([len(index.names) for index in indices], np.int64)
        self._shard = np.repeat(np.arange(len(self.shards), dtype=np.int32), self.counts)
        self._offsets, self._sizes, self._crcs = (
            np.concatenate([np.array(column, np.int64) for column in columns])
            for columns in zip(*((index.offsets, index.sizes, index.crcs) for index in indices), strict=True))
        names = [name.encode("utf-8", "surrogateescape") for index in indices for name in index.names]
        self._ends = np.cumsum([len(name) for name in names], dtype=np.int64)
        self._starts = np.concatenate([[0], self._ends[:-1]])
        self._names = b"".join(names)

    def __len__(self) -> int:
        return len(self._shard)

    def __getitem__(self, number: int | slice) -> "PackedFile | PackedImages":
        if isinstance(number, slice):
            return self.chosen(range(len(self))[number])
        if not -len(self) <= number < len(self):
            raise IndexError(f"image {number} of {len(self)}")
        return PackedFile(f"{self.folder}/{self.name(number)}", self.shards[self._shard[number]],
                          int(self._offsets[number]), int(self._sizes[number]), int(self._crcs[number]))

    def name(self, number: int) -> str:
        """An image's path below the folder."""
        name = self._names[self._starts[number]:self._ends[number]]
        return name.decode("utf-8", "surrogateescape")

    def chosen(self, numbers: Sequence[int]) -> "PackedImages":
        """Other images of the same shards, or the same in another order; `counts` is of no use then."""
        other = object.__new__(PackedImages)
        vars(other).update(vars(self))
        for name in ("_shard", "_offsets", "_sizes", "_crcs", "_starts", "_ends"):
            setattr(other, name, vars(self)[name][np.asarray(numbers, np.int64)])
        return other

    def shards_of(self, numbers: Sequence[int]) -> list[Shard]:
        """The shards in which images lie, each once, in the order in which they are first needed."""
        places = self._shard[numbers]
        _, first = np.unique(places, return_index=True)
        return [self.shards[place] for place in places[np.sort(first)]]
