"""What made the images in a folder of results, and which are done: test.py --skip_existing goes by it."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from util.atomic import remove_temporaries, write_text
from util.errors import UsageError

FOLDER, MADE_BY = "record", "made_by.json"     # <results>/record/made_by.json
# Options that change no pixel, or are told otherwise: a source by its file, a checkpoint by its weights.
NO_MATTER = {"dataroot", "name", "easy_label", "gpu_ids", "checkpoints_dir", "suffix", "verbose", "epoch",
             "num_threads", "max_dataset_size", "display_winsize", "phase", "results_dir", "num_test",
             "skip_existing", "ranks", "distributed_timeout"}
Stamp = list            # of a file: absolute path, size in bytes, time of change in ns
Place = tuple[int, int]  # of a line: number of its file, offset in bytes


class Done(NamedTuple):
    """An image that is done.

    name: of its results, below their folder. source: the stamp of its file; None: not known.
    files: what was written, by its path below the results' folder, with its size in bytes.
    row: of the page, label, path, width and height of each image. scores: of that row, by name.
    """

    name: str
    source: Stamp | None
    files: dict[str, int]
    row: list[tuple[str, str, int, int]]
    scores: dict[str, float]


class Record:
    """The record in a folder of results: record/made_by.json, and record/done_<share>.jsonl with a line for
    each image that is done. It keeps nothing in memory.

    share: the number of this process among those that fill the folder together; each writes a file of its
    own, and reads those of all.
    """

    def __init__(self, folder: Path, share: int = 0):
        self.folder = folder
        self._own = folder / FOLDER / f"done_{share}.jsonl"
        self._stream = None

    def begin(self, made_by: Mapping[str, Any], *, keep: bool) -> str:
        """Keep the lines there are, if they were made by the same, or else begin anew.

        What a killed process left half-written is removed: nobody may be writing into the folder. Returns why
        lines that should be kept are not, in words; "" if they are, or if there were none. Raises UsageError
        for a folder that cannot be made.
        """
        remove_temporaries(self.folder)
        before = self._made_by()
        if keep and before == made_by:
            return ""
        had = self._files()
        for path in had:
            path.unlink()
        try:
            (self.folder / FOLDER).mkdir(parents=True, exist_ok=True)
        except (NotADirectoryError, FileExistsError, PermissionError) as error:
            raise UsageError(f"no translations can be written to {self.folder}: {error.strerror}; choose "
                             "another --results_dir") from error
        write_text(self.folder / FOLDER / MADE_BY, json.dumps(made_by, indent=1, sort_keys=True) + "\n")
        return _difference(before, made_by) if keep and had else ""

    def done(self, names: Sequence[str], sources: Sequence[str]) -> list[bool]:
        """Whether the image of each name is done: made of its source as it is now, its files as written."""
        found = [False] * len(names)    # `a.jpg` and `a.png` may share a name, and differ in their files
        number = {(name, os.path.abspath(source)): i
                  for i, (name, source) in enumerate(zip(names, sources, strict=True))}
        writer: dict[str, int] = {}     # of each file, the image of the last line that names it
        for _, done in self._lines():
            image = number.get((done.name, done.source[0])) if done.source else None
            for file in done.files:     # of several lines of one file the last holds
                if (before := writer.pop(file, None)) is not None:
                    found[before] = False
                if image is not None:
                    writer[file] = image
            if image is not None:
                found[image] = stamp_of(sources[image]) == done.source and self._whole(done.files)
        return found

    def add(self, done: Done) -> None:
        """Write the line of an image whose files are whole."""
        if self._stream is None:
            self._stream = open(self._own, "a+b", buffering=0)
            if self._stream.seek(0, os.SEEK_END):
                self._stream.seek(-1, os.SEEK_END)
                if self._stream.read(1) != b"\n":
                    self._stream.write(b"\n")   # behind half a line, which a kill or a full disk left
        self._stream.write(json.dumps(done, separators=(",", ":")).encode() + b"\n")

    def places(self, names: Sequence[str]) -> list[Place]:
        """Where the lines of those that are done are, of all shares, in the order of the names."""
        number, found = {name: i for i, name in enumerate(names)}, {}
        for place, done in self._lines():
            if done.name in number:
                found[number[done.name]] = place
        return [found[i] for i in sorted(found)]

    def at(self, places: Iterable[Place]) -> Iterator[Done]:
        """The lines at these places."""
        with ExitStack() as stack:
            streams = [stack.enter_context(open(path, "rb")) for path in self._files()]
            for file, offset in places:
                streams[file].seek(offset)
                yield Done(*json.loads(streams[file].readline()))

    def _made_by(self) -> Any:
        try:
            return json.loads((self.folder / FOLDER / MADE_BY).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def _files(self) -> list[Path]:
        return sorted((self.folder / FOLDER).glob("done_*.jsonl"))

    def _lines(self) -> Iterator[tuple[Place, Done]]:
        """Place and content of each line; half a line is passed over."""
        for file, path in enumerate(self._files()):
            offset = 0
            with open(path, "rb") as stream:
                for line in stream:
                    try:
                        yield (file, offset), Done(*json.loads(line))
                    except (ValueError, TypeError):
                        pass
                    offset += len(line)

    def _whole(self, files: Mapping[str, int]) -> bool:
        try:
            return all(os.stat(self.folder / path).st_size == size for path, size in files.items())
        except OSError:
            return False


def stamp_of(path: str) -> Stamp | None:
    """By what a file is known again, None for what is no file."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return [os.path.abspath(path), found.st_size, found.st_mtime_ns]


def made_by(networks: Mapping[str, nn.Module], options: Mapping[str, Any]) -> dict[str, Any]:
    """What decides an image's translation beside the image: the networks' weights, and options.

    A file that an option names counts with its size and time.
    """
    digest = hashlib.sha256()
    for name, net in sorted(networks.items()):
        for key, tensor in net.state_dict().items():
            content = tensor.detach().cpu().contiguous().flatten()
            digest.update(f"{name} {key} {content.dtype} {list(tensor.shape)} ".encode())
            digest.update(content.view(torch.uint8).numpy())
    told = {name: _told(value) for name, value in options.items() if name not in NO_MATTER}
    return {"weights": digest.hexdigest(), "options": told}


def _told(value: Any) -> str:
    stamp = stamp_of(value) if isinstance(value, str) and os.path.isfile(value) else None
    return " ".join(map(str, stamp or [value]))


def _difference(before: Any, now: Mapping[str, Any]) -> str:
    if not isinstance(before, dict) or not isinstance(before.get("options"), dict):
        return "its record of what made it cannot be read"
    if before.get("weights") != now["weights"]:
        return "other weights made it"
    old, new = before["options"], now["options"]
    changed = [f"--{name} was {old.get(name)} and is {new.get(name)}"
               for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    return ", ".join(changed[:3])
