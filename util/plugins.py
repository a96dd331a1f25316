"""Find a model or a data set by its file's name: `--model foo` is FooModel in models/foo_model.py."""

import importlib
import importlib.util
from pathlib import Path

from util.errors import UsageError


def available(package: str, kind: str) -> list[str]:
    """Names of the plug-ins of a kind ("model", "dataset") that lie in a package's folder, sorted."""
    folder = Path(importlib.import_module(package).__file__).parent
    return sorted(p.name.removesuffix(f"_{kind}.py") for p in folder.glob(f"*_{kind}.py")
                  if not p.name.startswith("base_"))


def find_class(package: str, kind: str, name: str, flag: str) -> type:
    """The class of plug-in `name`: in <package>/<name>_<kind>.py, called <Name><Kind>, case and _ ignored.

    Raises UsageError naming `flag` and the plug-ins that exist.
    """
    module_name = f"{package}.{name}_{kind}"
    if not name.isidentifier() or name == "base" or importlib.util.find_spec(module_name) is None:
        raise UsageError(f"{flag} is {name!r}, but there is no {package}/{name}_{kind}.py; "
                         f"choose one of {', '.join(available(package, kind))}")
    module = importlib.import_module(module_name)
    wanted = (name + kind).replace("_", "").lower()
    for attribute, value in vars(module).items():
        if isinstance(value, type) and attribute.replace("_", "").lower() == wanted:
            return value
    raise UsageError(f"{flag} is {name!r}, but {package}/{name}_{kind}.py holds no class like {wanted!r}")
