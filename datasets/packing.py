"""Folders of images packed into shards, and shards verified, by several processes that may be killed."""

import fcntl
import hashlib
import json
import os
import tarfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeVar

from data.image_folder import find_images
from data.readers.formats import IMAGES
from data.shards.index import BLOCK, Index, index_path, read_index, scan, write_index
from util.atomic import atomic_file, write_text
from util.errors import RunError, UsageError

CHUNK = 1 << 20         # bytes read at a time
WAIT_SECONDS = 10.0     # for the processes of a program that was killed to end


Job = TypeVar("Job")


class Packing(NamedTuple):
    """A shard to be made: its path, and (name in it, file, size in bytes, time of change) of each image."""

    shard: Path
    files: list[tuple[str, str, int, int]]

    @property
    def source(self) -> str:
        """A hash of the images' names, sizes and times: it tells whether a shard is made already."""
        return hashlib.sha256(repr([(name, size, time) for name, _, size, time in self.files]).encode(
            "utf-8", "surrogateescape")).hexdigest()


def find_sets(folder: Path, wanted: Sequence[str]) -> dict[str, list[str]]:
    """Set -> paths of its images, for each sub-folder that has some. Raises UsageError for none."""
    if not folder.is_dir():
        raise UsageError(f"{str(folder)!r} is no folder; give one that holds trainA, trainB and so on")
    if any(entry.is_file() and entry.name.lower().endswith(IMAGES) for entry in folder.iterdir()):
        raise UsageError(f"{folder} holds images itself; give the folder that holds trainA, trainB and so on")
    names = wanted or sorted(entry.name for entry in folder.iterdir()
                             if entry.is_dir() and not entry.name.startswith("."))
    missing = [name for name in wanted if not (folder / name).is_dir()]
    if missing:
        raise UsageError(f"--sets names {missing[0]}, but {folder} has no such folder")
    sets = {name: paths for name in names if (paths := find_images(str(folder / name), extensions=IMAGES))}
    if not sets:
        raise UsageError(f"the folders in {folder} hold no images; give one that holds trainA, trainB and "
                         "so on")
    return sets


def plan(name: str, folder: Path, paths: Sequence[str], output: Path, *, most_bytes: int,
         most_images: int) -> list[Packing]:
    """The shards of a set: images in order, as many in each as fit."""
    packings: list[Packing] = []
    used = 0
    for path in paths:
        state = os.stat(path)
        size = 3 * BLOCK + state.st_size        # about: header, padding
        if not packings or used + size > most_bytes or len(packings[-1].files) >= most_images:
            packings.append(Packing(output / f"{name}-{len(packings):06d}.tar", []))
            used = 0
        used += size
        inside = os.path.relpath(path, folder).replace(os.sep, "/")
        packings[-1].files.append((inside, path, state.st_size, state.st_mtime_ns))
    return packings


def is_made(packing: Packing) -> bool:
    """Whether the shard is there, of just these images."""
    known = index_path(packing.shard)
    if not (known.exists() and packing.shard.exists()):
        return False
    try:
        index = read_index(known)
    except UsageError:
        return False
    return index.source == packing.source and index.bytes == packing.shard.stat().st_size


def pack(packing: Packing) -> None:
    """Write a shard, then its index; both appear whole or not at all. Raises RunError for a changed image."""
    digest, place = hashlib.sha256(), 0
    offsets, crcs = [], []
    with atomic_file(packing.shard, durable=True) as stream:
        for data, is_image in _contents(packing.files):
            if is_image:
                offsets.append(place)
                crcs.append(zlib.crc32(data))
            for part in (data, bytes(-len(data) % BLOCK)):
                stream.write(part)
                digest.update(part)
                place += len(part)
    names, _, sizes, _ = zip(*packing.files, strict=True)
    write_index(index_path(packing.shard), Index(place, digest.hexdigest(), packing.source, offsets,
                                                 list(sizes), crcs, list(names)))


def _contents(files: Sequence[tuple[str, str, int, int]]) -> Iterator[tuple[bytes, bool]]:
    """The parts of a tar file: headers and images (True), in turn, and its end. The same for equal images."""
    for name, path, size, _ in files:
        header = tarfile.TarInfo(name)
        header.size = size      # owner 0, time 0, mode 644
        yield header.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"), False
        data = Path(path).read_bytes()
        if len(data) != size:
            raise RunError(f"{path} changed while it was packed; run this again")
        yield data, True
    yield bytes(2 * BLOCK), False


def write_manifest(name: str, packings: Sequence[Packing]) -> tuple[int, int]:
    """Write <output>/<name>.json, which says that the set is whole. Returns its images and bytes."""
    rows = []
    for packing in packings:
        index = read_index(index_path(packing.shard))
        rows.append({"name": packing.shard.name, "images": len(index.names), "bytes": index.bytes,
                     "sha256": index.sha256})
    images, size = (sum(row[key] for row in rows) for key in ("images", "bytes"))
    content = {"format": 1, "images": images, "bytes": size, "shards": rows}
    write_text(packings[0].shard.parent / f"{name}.json", json.dumps(content, indent=1) + "\n")
    return images, size


def verify(shard: Path) -> None:
    """Raise RunError where a shard is not what its index and the list of its set say."""
    try:
        index, found = read_index(index_path(shard)), scan(str(shard))
    except UsageError as error:
        raise RunError(str(error)) from error
    with open(shard, "rb") as stream:
        if _digest(stream) != index.sha256:
            raise RunError(f"the shard {shard} has another checksum (SHA-256) than its index: copy it again, "
                           "or remove it and make it again")
        crcs = [zlib.crc32(os.pread(stream.fileno(), size, offset))
                for offset, size in zip(found.offsets, found.sizes, strict=True)]
    if found._replace(crcs=crcs)[3:] != index[3:]:
        raise RunError(f"the index {index_path(shard)} does not fit its shard; remove both and make them "
                       "again")


def _digest(stream: BinaryIO) -> str:
    digest = hashlib.sha256()
    while chunk := stream.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def in_processes(jobs: Sequence[Job], work: Callable[[Job], None], workers: int) -> Iterator[tuple[Job, str]]:
    """Call `work` on every job, in processes. Yields each job as it ends, with the line of its error, or "".

    When this process is gone, however it ended, the others end behind their job of then.
    """
    context, waiting, processes = get_context("fork"), {}, []
    for worker in range(min(workers, len(jobs))):
        ours, theirs = context.Pipe(duplex=False)
        mine = range(worker, len(jobs), workers)
        processes.append(context.Process(target=_work, args=(jobs, mine, work, theirs, os.getpid())))
        processes[-1].start()
        theirs.close()
        waiting[ours] = set(mine)
    try:
        while waiting:
            for connection in wait(list(waiting)):
                try:
                    number, error = connection.recv()
                except EOFError:
                    if waiting.pop(connection):
                        raise RunError("a process that packs was killed, as happens when memory is short; "
                                       "run this again with fewer --workers") from None
                    continue
                waiting[connection].discard(number)
                yield jobs[number], error
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _work(jobs: Sequence[Job], mine: Sequence[int], work: Callable[[Job], None], results: Connection,
          parent: int) -> None:
    for number in mine:
        if os.getppid() != parent:
            return
        error = ""
        try:
            work(jobs[number])
        except (UsageError, RunError, OSError) as problem:
            error = str(problem)
        try:
            results.send((number, error))
        except BrokenPipeError:
            return


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Nobody else packs into a folder meanwhile. Raises UsageError where somebody does.

    The lock is inherited, so that it ends with the last process of a program that was killed.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    until = time.monotonic() + WAIT_SECONDS
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise UsageError(f"another make_shards.py is writing into {folder}; wait for its end, or "
                                     "choose another folder") from None
                time.sleep(0.1)
        yield
    finally:
        os.close(descriptor)
