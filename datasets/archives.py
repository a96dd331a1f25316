"""Unpack an untrusted archive: plain files only, inside one folder, of bounded size."""

import gzip
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from util.errors import RunError

CHUNK = 1 << 20    # bytes copied at a time
DAMAGE = (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, lzma.LZMAError, zlib.error, EOFError,
          NotImplementedError)
NOISE = ("__MACOSX", ".DS_Store")    # files that macOS adds to archives


class Member(NamedTuple):
    """A file in an archive. refused: why it must not be unpacked, else ""; if refused, stream is None."""

    name: str
    stream: IO[bytes] | None
    refused: str = ""


def extract(archive: Path, folder: Path, *, max_bytes: int = 200 * 10**9, max_files: int = 2_000_000) -> int:
    """Unpack a .zip or .tar (also compressed) into a new folder. Returns the number of files.

    Only regular files are written, each once, below the folder, with default permissions. max_bytes: limit of
    their unpacked size together. Raises RunError, naming the member, for paths that lead out of the folder,
    links, devices, encrypted files, names that occur twice, and for an archive that is damaged or too large.
    Files that were unpacked before the error stay in the folder.
    """
    left, files = max_bytes, 0
    try:
        for member in _members(archive):
            path = _inside(member.name)
            if member.refused or path is None:
                reason = member.refused or "its path leads out of the folder"
                raise RunError(f"{archive}: {member.name!r} is refused: {reason}")
            if any(part in NOISE or part.startswith("._") for part in path.parts):
                continue
            files += 1
            left -= _write(member, folder / path, left)
            if left < 0 or files > max_files:
                raise RunError(f"{archive} is refused: unpacked, it exceeds {max_bytes:,} bytes or "
                               f"{max_files:,} files")
    except FileExistsError as error:
        raise RunError(f"{archive}: {error.filename!r} occurs twice, or was there before") from error
    except DAMAGE as error:
        raise RunError(f"{archive} is damaged ({error}); remove it and download it again") from error
    return files


def _members(archive: Path) -> Iterator[Member]:
    """The files of an archive, one after another; folders are left out."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as whole:
            for info in whole.infolist():
                if not info.is_dir():
                    yield from _zip_member(whole, info)
    elif tarfile.is_tarfile(archive):
        with tarfile.open(archive) as whole:
            for info in whole:
                if info.isfile():
                    yield Member(info.name, whole.extractfile(info))
                elif not info.isdir():
                    yield Member(info.name, None, "it is a link or a device")
            while whole.fileobj.read(CHUNK):    # a compressed file's checksum stands at its very end
                pass
    else:
        raise RunError(f"{archive} is neither a whole zip nor a tar file; remove it and download it again")


def _zip_member(whole: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[Member]:
    kind = stat.S_IFMT(info.external_attr >> 16)    # 0 where the archive was not made on Unix
    if kind not in (0, stat.S_IFREG):
        yield Member(info.filename, None, "it is a link or a device")
    elif info.flag_bits & 1:
        yield Member(info.filename, None, "it is encrypted")
    else:
        with whole.open(info) as stream:
            yield Member(info.filename, stream)


def _inside(name: str) -> PurePosixPath | None:
    """A member's path below the folder; None where it could lead out of it, on any system."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or not path.parts or "\0" in name or ":" in path.parts[0] or ".." in path.parts:
        return None
    return path


def _write(member: Member, path: Path, limit: int) -> int:
    """Copy a member to a new file, at most a chunk more than `limit` bytes. Returns the bytes copied."""
    path.parent.mkdir(parents=True, exist_ok=True)
    copied = 0
    with open(path, "xb") as target:
        while copied <= limit and (chunk := member.stream.read(CHUNK)):
            target.write(chunk)
            copied += len(chunk)
    return copied
