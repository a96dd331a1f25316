"""A cache of images as raw pixels, so that each file is decoded and resized once (--cache)."""

import atexit
import hashlib
import multiprocessing
import os
import shutil
import struct
import tempfile
from argparse import Namespace
from pathlib import Path

from PIL import Image

from data.image_folder import MODES
from data.shards.packed import file_of
from util.atomic import atomic_file

CACHES = ("none", "ram", "disk")
MEMORY = Path("/dev/shm")    # files here are memory, on Linux
HEADER = struct.Struct("<III")    # width, height, channels


class NoCache:
    """--cache none: every image is decoded each time."""

    def get(self, path: str, how: tuple) -> None:
        return None

    def put(self, path: str, how: tuple, image: Image.Image) -> None:
        pass


class ImageCache:
    """A folder of raw images that worker processes share, of at most `limit` bytes.

    An image that no longer fits is not kept, and none is dropped for it: every epoch asks for every image. A
    changed file (by time or size) counts as another image. `path` and `how` together name an image: the file,
    and everything else that decides its pixels.
    """

    def __init__(self, folder: Path, limit: float):
        self.folder, self.limit = folder, limit
        folder.mkdir(parents=True, exist_ok=True)
        self._used = multiprocessing.Value("q", sum(path.stat().st_size for path in folder.glob("*.raw")))

    def get(self, path: str, how: tuple) -> Image.Image | None:
        """The image as it was put here; None for one that is not here."""
        try:
            data = self._place(path, how).read_bytes()
        except OSError:     # not kept yet, or no file at all, which reading it will say
            return None
        width, height, channels = HEADER.unpack_from(data)
        pixels = memoryview(data)[HEADER.size:]
        return Image.frombuffer(MODES[channels], (width, height), pixels, "raw", MODES[channels], 0, 1)

    def put(self, path: str, how: tuple, image: Image.Image) -> None:
        """Keep the image, an "L" or "RGB" one, if there is room."""
        size = HEADER.size + image.width * image.height * len(image.getbands())
        with self._used.get_lock():
            if self._used.value + size > self.limit:
                return
            self._used.value += size
        try:
            with atomic_file(self._place(path, how)) as stream:
                stream.write(HEADER.pack(image.width, image.height, len(image.getbands())))
                stream.write(image.tobytes())
        except OSError:    # the disk is full before the limit: go on without keeping more
            with self._used.get_lock():
                self._used.value = int(self.limit)

    def _place(self, path: str, how: tuple) -> Path:
        state = os.stat(file_of(path))
        key = repr((os.path.abspath(path), state.st_mtime_ns, state.st_size, how))
        return self.folder / f"{hashlib.sha256(os.fsencode(key)).hexdigest()[:32]}.raw"


def create_cache(opt: Namespace) -> NoCache | ImageCache:
    """The cache that --cache names, in training. Memory is given back when the process ends."""
    if not opt.isTrain or opt.cache == "none":
        return NoCache()
    limit = opt.cache_limit * 1e9
    if opt.cache == "disk":
        return ImageCache(Path(opt.cache_dir or os.path.join(opt.checkpoints_dir, "cache")), limit)
    parent = MEMORY if MEMORY.is_dir() else Path(tempfile.gettempdir())
    remove_orphans(parent)
    folder = parent / f"cut-images-{os.getpid()}-{os.urandom(4).hex()}"
    atexit.register(_remove, folder, os.getpid())
    return ImageCache(folder, limit)


def remove_orphans(parent: Path) -> None:
    """Give back the memory of processes that were killed before they gave it back."""
    for folder in parent.glob("cut-images-*"):
        try:
            os.kill(int(folder.name.split("-")[2]), 0)
        except (ProcessLookupError, ValueError):
            shutil.rmtree(folder, ignore_errors=True)
        except PermissionError:
            continue    # it is another user's process, and alive


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:    # a worker inherits what is registered, but must not remove it
        shutil.rmtree(folder, ignore_errors=True)
