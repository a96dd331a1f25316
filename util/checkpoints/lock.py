"""A lock that lets one run at a time write into a folder."""

import fcntl
import json
import os
import socket
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import TextIO

from util.errors import RunError, UsageError

FILE = "lock.json"
BEAT_SECONDS = 30.0     # how often the owner touches the file
SILENT_SECONDS = 300.0  # an owner whom no file lock proves alive counts as dead after so long


class FolderLock:
    """While entered, <folder>/lock.json names this process, and any other run there is refused.

    On one machine the system's file lock decides: it ends with its process, however that ends, and worker
    processes do not inherit it. Between machines, and on disks without file locks, the file's age decides:
    its owner touches it every BEAT_SECONDS.
    """

    def __init__(self, folder: Path, force: bool = False):
        """force: take the folder even so; the other run finds out before it next saves."""
        self.path, self.force = folder / FILE, force

    def __enter__(self) -> "FolderLock":
        """Raises UsageError where another run owns the folder, or no file can be made in it."""
        try:
            self._take()
        except OSError as error:
            raise UsageError(f"no run can be kept in {self.path.parent}: {error.strerror}; choose "
                             "another --name or --checkpoints_dir, or make room there") from error
        self._stop = threading.Event()
        threading.Thread(target=self._beat, name="lock", daemon=True).start()
        return self

    def _take(self) -> None:
        folder = self.path.parent
        self._made = [f for f in (folder, *folder.parents) if not f.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        self._owner = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": time.ctime()})
        self._stream = self._opened()
        _rewrite(self._stream, self._owner)

    def _opened(self) -> TextIO:
        """The file, open and locked, and still the one of that name."""
        while True:
            stream = open(self.path, "a+", encoding="utf-8")
            owner = _living_owner(stream)
            if owner and not self.force:
                stream.close()
                raise UsageError(f"another run is going on in {self.path.parent}: {owner}; wait for its end, "
                                 "choose another --name, or take its place with --force")
            if not owner and self._is_ours(stream):
                return stream
            if owner:
                _rewrite(stream, self._owner)       # the other still reads it, by which it knows
                self.path.unlink(missing_ok=True)   # the next round makes a file of our own
            stream.close()

    def _is_ours(self, stream: TextIO) -> bool:
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(stream.fileno()))
        except FileNotFoundError:
            return False

    def _beat(self) -> None:
        while not self._stop.wait(BEAT_SECONDS):
            try:
                os.utime(self._stream.fileno())
            except OSError:
                pass                                # a disk that is away may come back; saving will tell

    def check(self) -> None:
        """Raises RunError when another run has taken the folder; one that was deleted is made anew."""
        self._stream.seek(0)
        if self._stream.read() != self._owner:
            raise RunError(f"another run took {self.path.parent} with --force; this one ends and writes "
                           "nothing more there")
        if not self._is_ours(self._stream):
            self._stream.close()
            self._take()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._stop.set()
        try:
            if self._is_ours(self._stream):
                self.path.unlink()
            for folder in self._made if error else ():
                folder.rmdir()                      # where nothing was kept, no empty folder stays
        except OSError:
            pass                                    # the disk is away or read-only; our lock ends with us
        self._stream.close()


def _rewrite(stream: TextIO, text: str) -> None:
    stream.truncate(0)
    stream.write(text)
    stream.flush()


def _living_owner(stream: TextIO) -> str:
    """Locks the file. Returns '', or in words the living process that owns it already."""
    try:
        fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        locks = True
    except (BlockingIOError, PermissionError):
        return _owner(stream)[0]
    except OSError:                                 # this disk has no file locks
        locks = False
    words, host = _owner(stream)
    age = time.time() - os.fstat(stream.fileno()).st_mtime
    elsewhere = host not in ("", socket.gethostname())
    return words if host and age < SILENT_SECONDS and (elsewhere or not locks) else ""


def _owner(stream: TextIO) -> tuple[str, str]:
    """Who the file names, in words, and on which machine; the machine is '' where it names nobody."""
    stream.seek(0)
    try:
        owner = json.load(stream)
        return f"process {owner['pid']} on {owner['host']} since {owner['since']}", owner["host"]
    except (ValueError, KeyError, TypeError):       # empty as yet, or cut off by a full disk
        return "an unknown process", ""
