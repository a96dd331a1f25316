"""Find a model or a data set by its file's name: `--model foo` is FooModel in models/foo_model.py."""

import importlib
import importlib.util
from pathlib import Path

from util.errors import UsageError
from util.reference_files import import_reference_file, is_reference_file


def available(package: str, kind: str) -> list[str]:
    """Names of the plug-ins of a kind ("model", "dataset") that lie in a package's folder, sorted."""
    folder = Path(importlib.import_module(package).__file__).parent
    return sorted(p.name.removesuffix(f"_{kind}.py") for p in folder.glob(f"*_{kind}.py")
                  if not p.name.startswith("base_"))


def find_class(package: str, kind: str, name: str, flag: str) -> type:
    """The class of plug-in `name`: in <package>/<name>_<kind>.py, called <Name><Kind>, case and _ ignored.

    A file written for the reference implementation gets the reference's names: see util/reference_files.py.
    Raises UsageError naming `flag` and the plug-ins that exist.
    """
    module_name = f"{package}.{name}_{kind}"
    spec = importlib.util.find_spec(module_name) if name.isidentifier() and name != "base" else None
    if spec is None:
        raise UsageError(f"{flag} is {name!r}, but there is no {package}/{name}_{kind}.py; "
                         f"choose one of {', '.join(available(package, kind))}")
    wanted = (name + kind).replace("_", "").lower()
    if is_reference_file(Path(spec.origin), wanted):
        module = import_reference_file(package, f"{name}_{kind}")
    else:
        module = importlib.import_module(module_name)
    for attribute, value in vars(module).items():
        if isinstance(value, type) and attribute.replace("_", "").lower() == wanted:
            return value
    raise UsageError(f"{flag} is {name!r}, but {package}/{name}_{kind}.py holds no class like {wanted!r}")
