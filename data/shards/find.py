"""The shards of a set: those that a manifest, a folder or a pattern names, each with its index."""

import glob
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data.shards.index import Index, index_path, read_index, scan
from data.shards.packed import PackedImages
from data.shards.shard import Shard
from data.shards.store import ShardStore, is_remote
from util.errors import UsageError

Found = tuple[Shard, Index]
RANGE = re.compile(r"\{(\d+\.\.\d+|[^{}]*,[^{}]*)\}")
TAR_NAME = re.compile(r"([^/\s'\"=]+\.tar)\b")      # the last one in a URL is the shard's


class Source(NamedTuple):
    """Where shards are. root: the folder of shards on this machine, and of the indices of others. remote:
    where others are kept once they are here; None: others are refused.
    """

    root: str
    remote: ShardStore | None


def expand(pattern: str) -> list[str]:
    """The places that a pattern names: {000..099} stands for numbers, {a,b} for words; * as in a shell."""
    found = RANGE.search(pattern)
    if found:
        return [place for word in _words(found[1]) for place in
                expand(pattern[:found.start()] + word + pattern[found.end():])]
    return sorted(glob.glob(pattern)) if "*" in pattern and not is_remote(pattern) else [pattern]


def _words(text: str) -> list[str]:
    ends = re.fullmatch(r"(\d+)\.\.(\d+)", text)
    if not ends:
        return text.split(",")
    width = len(ends[1]) if ends[1].startswith("0") else 0
    return [f"{number:0{width}d}" for number in range(int(ends[1]), int(ends[2]) + 1)]


def has_set(root: str, name: str) -> bool:
    """Whether a folder holds shards of a set, such as testA."""
    return bool(_in_folder(root, name))


def _in_folder(root: str, name: str) -> list[str]:
    """Paths of a set's shards: of <root>/<name>.json, else <root>/<name>-*.tar, else <root>/<name>/*.tar."""
    manifest = os.path.join(root, f"{name}.json")
    if os.path.isfile(manifest):
        return [os.path.join(root, shard) for shard in read_manifest(manifest)]
    here = os.path.join(glob.escape(root), glob.escape(name))
    found = sorted(glob.glob(f"{here}-*.tar"))
    if any(index_path(path).exists() for path in found):
        raise UsageError(f"the shards {name} in {root} are not finished: there is no {name}.json; run "
                         "datasets/make_shards.py again, or name some of them by a pattern")
    return found or sorted(glob.glob(os.path.join(here, "*.tar")))


def read_manifest(path: str | Path) -> list[str]:
    """The names of a set's shards. Raises UsageError."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        names = [str(shard["name"]) for shard in content["shards"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"the list of shards {path} cannot be read ({error}); make the shards again: "
                         "datasets/make_shards.py") from error
    if not names or any(os.path.basename(name) != name for name in names):
        raise UsageError(f"the list of shards {path} names none, or some outside of its folder; make the "
                         "shards again: datasets/make_shards.py")
    return names


def find_images(source: Source, name: str, pattern: str, extensions: Sequence[str],
                limit: float) -> PackedImages:
    """The first `limit` images of a set. Raises UsageError for shards that are missing, damaged or doubled.

    name: of the set, such as trainA. pattern: names its shards; "": they are found below the source's root.
    """
    places = ([place if is_remote(place) else os.path.join(source.root, place) for place in
               expand(pattern if is_remote(pattern) else os.path.join(source.root, pattern))]
              if pattern else _in_folder(source.root, name))
    if not places:
        where = f"{pattern!r} matches no file" if pattern else f"{source.root!r} holds no {name}-*.tar"
        raise UsageError(f"there are no shards of {name}: {where}; see --dataroot, --phase and "
                         "--shards_A, --shards_B")
    _refuse_doubled(place if is_remote(place) else os.path.realpath(place) for place in places)
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda place: _shard(source, place), places))
    _refuse_twins(found)
    images = list(_images(found, tuple(extensions), limit))
    if not images:
        raise UsageError(f"the shards of {name} hold no images ({' '.join(extensions)}), from "
                         f"{places[0]} on")
    _refuse_equal_names(images)
    shards, indices = zip(*images, strict=True)
    return PackedImages(os.path.join(source.root, name), shards, indices)


def _images(found: Sequence[Found], extensions: tuple[str, ...], limit: float) -> Iterator[Found]:
    """The shards with their images alone, as find_images of data/image_folder.py picks them."""
    for shard, index in found:
        rows = [row for row in zip(index.offsets, index.sizes, index.crcs, index.names, strict=True)
                if row[3].lower().endswith(extensions) and not row[3].startswith(".") and "/." not in row[3]]
        rows = rows[:int(min(limit, len(rows)))]
        limit -= len(rows)
        if rows:
            yield shard, Index(index.bytes, index.sha256, index.source, *map(list, zip(*rows, strict=True)))


def _refuse_doubled(places: Iterable[str]) -> None:
    for place, count in Counter(places).items():
        if count > 1:
            raise UsageError(f"the shard {place} is listed {count} times; list it once")


def _refuse_twins(found: Sequence[Found]) -> None:
    seen: dict[str, Shard] = {}
    for shard, index in found:
        if index.sha256 and seen.setdefault(index.sha256, shard) != shard:
            raise UsageError(f"the shards {seen[index.sha256].place} and {shard.place} hold the same bytes; "
                             "list one of them")


def _refuse_equal_names(images: Sequence[Found]) -> None:
    hashes = np.concatenate([np.fromiter(map(hash, index.names), np.int64) for _, index in images])
    if len(np.unique(hashes)) == len(hashes):
        return
    seen: dict[str, Shard] = {}
    for shard, index in images:
        for name in index.names:
            if name in seen:
                raise UsageError(f"the image {name} is in the shard {seen[name].place} and again in "
                                 f"{shard.place}; list each shard once, and give each image its own name")
            seen[name] = shard


def _shard(source: Source, place: str) -> tuple[Shard, Index]:
    """A shard with its index. Raises UsageError where it is not whole, or refused."""
    if is_remote(place):
        return _remote_shard(source, place)
    if not os.path.isfile(place):
        raise UsageError(f"the shard {place} is missing; see --dataroot and --shards_A")
    known = index_path(place)
    if not known.exists():
        index = scan(place)
        return Shard(place, os.path.basename(place), index.bytes, "", None), index
    index, size = read_index(known), os.path.getsize(place)
    if size != index.bytes:
        raise UsageError(f"the shard {place} has {size} bytes, but its index says {index.bytes}: it is cut "
                         "off, or another; copy it again")
    return Shard(place, os.path.basename(place), size, index.sha256, None), index


def _remote_shard(source: Source, url: str) -> tuple[Shard, Index]:
    if source.remote is None:
        raise UsageError(f"the shard {url} is not on this machine; --shards_remote allows to fetch it (a "
                         "pipe: runs a command)")
    names = TAR_NAME.findall(url)
    if not names:
        raise UsageError(f"the shard {url} names no .tar file, by which its index is found")
    known = index_path(Path(source.root) / names[-1])
    if not known.exists():
        raise UsageError(f"the shard {url} has no index {known}: copy the .idx files that "
                         "datasets/make_shards.py wrote into --dataroot")
    index = read_index(known)
    if not index.sha256:
        raise UsageError(f"the index {known} holds no checksum; make the shards again: "
                         "datasets/make_shards.py")
    return Shard(url, names[-1], index.bytes, index.sha256, source.remote), index

