"""Models and data sets in the reference's form, written for these tests, and a way to drop them in."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent


@contextmanager
def dropped_in(folder: Path = HERE) -> Iterator[None]:
    """Within it the files of <folder>/models and <folder>/data stand beside those of the project."""
    packages = [importlib.import_module(name) for name in ("models", "data")]
    before = [list(package.__path__) for package in packages]
    for package in packages:
        package.__path__.append(str(folder / package.__name__))
    try:
        yield
    finally:
        for package, path in zip(packages, before, strict=True):
            package.__path__[:] = path
            forget(package.__name__, folder)


def forget(package: str, folder: Path) -> None:
    """Drop the imported modules that lie in a folder."""
    for name, module in list(sys.modules.items()):
        file = vars(module).get("__file__")
        if name.startswith(f"{package}.") and file and Path(file).is_relative_to(folder):
            del sys.modules[name]
