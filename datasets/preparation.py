"""Shared by the scripts that prepare data sets: output folders, reading, saving and linking images."""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from PIL.Image import Image

from data.image_folder import BadImage, load_image
from util.errors import RunError, UsageError

Task = TypeVar("Task")


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """An empty folder to fill, which is renamed to `path` when the block ends, and removed after an error.

    So `path` is complete or absent. Raises UsageError where it exists already.
    """
    if path.exists():
        raise UsageError(f"--output {path} is there already; remove it, or choose another")
    partial = path.parent / f".{path.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        os.replace(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def folder_of(flag: str, path: Path) -> Path:
    """`path`, given by a flag. Raises UsageError where it is no folder."""
    if not path.is_dir():
        raise UsageError(f"{flag} is {str(path)!r}, which is no folder")
    return path


def read_colour(path: Path) -> Image:
    """A decoded image as RGB. Raises RunError for a bad one."""
    try:
        return load_image(str(path), 3)
    except BadImage as error:
        raise RunError(f"{error}; fetch it again") from error


def save_jpeg(image: Image, path: Path) -> None:
    """Save with quality 100 and without chroma subsampling, as the published Cityscapes images were."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, quality=100, subsampling=0)


def place(source: Path, target: Path) -> None:
    """Put a file under another name: a hard link where the disk allows it, else a copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        raise RunError(f"two images would be {target.parent.name}/{target.name}, the second being {source}")
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)


def for_all(tasks: Iterable[Task], work: Callable[[Task], None], workers: int | None = None) -> int:
    """Call `work` on every task, in several threads. Returns their number; raises the first error."""
    with ThreadPoolExecutor(workers) as pool:
        return sum(1 for _ in pool.map(work, tasks))
