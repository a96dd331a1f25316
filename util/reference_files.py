"""Files written for the reference implementation: told by what they define, and imported with its names.

Such a file says `from .base_model import BaseModel` and means the reference's BaseModel, whose methods are
not those of ours. It is imported as `<package>.reference_api.<file>`, and what it imports from `models` or
`data` is looked for beside it first (a networks.py or patchnce.py that came along with it), and then in that
room.
"""

import ast
import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType

from util.errors import RunError, UsageError
from util.runtime.memory import is_out_of_memory

ROOM = "reference_api"
PACKAGES = ("models", "data")
# What only a model in the reference's form asks of itself, beside self.loss_<name>.
REFERENCE_NAMES = {"loss_names", "visual_names", "model_names", "optimizer_G", "optimizer_D", "optimizer_F",
                   "criterionGAN", "criterionNCE", "criterionIdt", "set_requires_grad", "image_paths",
                   "gpu_ids", "isTrain", "save_dir", "nce_layers", "A_paths", "B_paths", "A_size", "B_size",
                   "dir_A", "dir_B", "current_epoch", "root"}
REFERENCE_METHODS = {"__getitem__", "data_dependent_initialize", "load_networks", "save_networks", "setup",
                     "compute_visuals", "generate_visuals_for_evaluation", "backward_G", "backward_D"}
# What a class in our form defines, or asks of itself.
OUR_METHODS = {"translator", "visuals", "item", "draw_choices", "graph_obstacle"}
OUR_NAMES = {"losses", "networks", "patch_nce", "add_network", "add_optimizer", "update", "add_domain",
             "read", "objective"}
ABSTRACT = {"BaseModel", "BaseDataset"}
# Files beside it that are ours, so that those of these names in the room are meant.
OURS = {"base_model", "base_dataset", "image_folder", "__init__"}


# ---- which files


def is_reference_file(path: Path, class_name: str) -> bool:
    """Whether a plug-in's class is written against the reference's interface.

    class_name: in small letters without underscores. A class on BaseModel or BaseDataset that lacks what ours
    must define is; so is one on another class that asks for the reference's names; else its bases decide.
    """
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return False        # importing it tells why
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name.replace("_", "").lower() == class_name:
            return _is_reference_class(node, tree, path)
    return False


def _is_reference_class(node: ast.ClassDef, tree: ast.Module, path: Path) -> bool:
    defined = {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
    asked = {part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute)
             and isinstance(part.value, ast.Name) and part.value.id == "self"}
    bases = {ast.unparse(base).split(".")[-1] for base in node.bases}
    if defined & OUR_METHODS or bases.isdisjoint(ABSTRACT) and asked & OUR_NAMES:
        return False
    if bases & ABSTRACT or defined & REFERENCE_METHODS or asked & REFERENCE_NAMES:
        return True
    if any(name.startswith("loss_") for name in asked) or _own_set_input(node):
        return True
    return any(_base_is_reference(base, tree, path) for base in bases)


def _own_set_input(node: ast.ClassDef) -> bool:
    """Whether it takes the minibatch by itself, without its parent's set_input."""
    for part in node.body:
        if isinstance(part, ast.FunctionDef) and part.name == "set_input":
            return not any(isinstance(call, ast.Attribute) and call.attr == "set_input"
                           for call in ast.walk(part))
    return False


def _base_is_reference(base: str, tree: ast.Module, path: Path) -> bool:
    """Whether a base class, of this file or of one that it imports from beside it, is a reference class."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name == base:
            return _is_reference_class(node, tree, path)
        if isinstance(node, ast.ImportFrom) and base in {name.asname or name.name for name in node.names}:
            file = path.parent / f"{(node.module or '').split('.')[-1]}.py"
            return file != path and is_reference_file(file, base.replace("_", "").lower())
    return False


# ---- their imports


class _Redirected(ast.NodeTransformer):
    """`models.x` and `data.x` in import statements become `models.reference_api.x`, and so on."""

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        if node.level == 0:
            node.module = _redirected(node.module)
        return node

    def visit_Import(self, node: ast.Import) -> ast.AST | list[ast.AST]:
        changed: list[ast.AST] = [node]
        for name in node.names:
            package = name.name.split(".")[0]
            if package in PACKAGES:
                name.name = _redirected(name.name)
                if not name.asname:     # `import models.networks` binds `models`
                    changed.append(ast.ImportFrom(package, [ast.alias(ROOM, package)], 0))
        return changed


def _redirected(module: str) -> str:
    package, *rest = module.split(".")
    return ".".join([package, ROOM, *rest]) if package in PACKAGES and rest[:1] != [ROOM] else module


class _Loader(SourceFileLoader):
    """Loads a file with its imports redirected; its bytecode is not kept, for it is not that of the file."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        tree = _Redirected().visit(ast.parse(self.get_data(path), path))
        return self.source_to_code(ast.fix_missing_locations(tree), path)


class _Finder(MetaPathFinder):
    """Finds `<package>.reference_api.x` in <package>/x.py, if that is not ours; else it is the room's x."""

    def find_spec(self, fullname: str, path: Sequence[str] | None = None,
                  target: ModuleType | None = None) -> ModuleSpec | None:
        package, *rest = fullname.split(".")
        if package not in PACKAGES or rest[:1] != [ROOM] or len(rest) != 2 or rest[1] in OURS:
            return None         # what is deeper lies in a folder that has been found
        name = rest[1]
        rooms = Path(sys.modules[package].__file__).parent / ROOM
        for folder in (Path(place, name) for place in sys.modules[package].__path__):
            if (file := folder.with_suffix(".py")).exists():
                if _is_plug_in(name) and not is_reference_file(file, name.replace("_", "").lower()):
                    _check_room(rooms, file, package)
                    return None
                return spec_from_file_location(fullname, file, loader=_Loader(fullname, str(file)))
            if (file := folder / "__init__.py").exists() and not (rooms / f"{name}.py").exists():
                return spec_from_file_location(fullname, file, loader=_Loader(fullname, str(file)),
                                               submodule_search_locations=[str(folder)])
        return None


def _is_plug_in(name: str) -> bool:
    return name.endswith(("_model", "_dataset"))


def _check_room(room: Path, file: Path, package: str) -> None:
    """Raise UsageError for a model or data set that there is in our form alone: it is no base for a file."""
    if not (room / file.name).exists():
        raise UsageError(f"a class written for the reference builds on {package}/{file.name}, which is there "
                         "in this program's own form alone; derive it from a class that docs/migration.md "
                         "names")


def import_reference_file(package: str, name: str) -> ModuleType:
    """The module <package>/<name>.py, with the reference's names for what it imports. Raises UsageError."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    with in_one_line(f"{package}/{name}.py"):
        return importlib.import_module(f"{package}.{ROOM}.{name}")


# ---- what cannot be served


@contextmanager
def in_one_line(file: str, *plain: type[Exception]) -> Iterator[None]:
    """Before any work is done, turn whatever goes wrong in a reference file into one UsageError.

    file: from the project's folder on. Its line is named where the error passed through it. plain: errors
    that somebody else turns into a line.
    """
    try:
        yield
    except (UsageError, RunError, *plain):
        raise
    except Exception as error:      # any, for anybody wrote the file
        if is_out_of_memory(error):
            raise
        if isinstance(error, ModuleNotFoundError) and error.name:
            raise UsageError(f"{file} needs {_needed(error.name)}") from error
        line, trace = "", error.__traceback__
        while trace:
            if trace.tb_frame.f_code.co_filename.endswith(file):
                line = f", line {trace.tb_lineno}"
            trace = trace.tb_next
        message = str(error).replace(f".{ROOM}", "")
        raise UsageError(f"{file}{line} asks for what is not here: {type(error).__name__}: {message}; "
                         "docs/migration.md says what is served, CUT_TRACEBACK=1 shows more") from error


def _needed(module: str) -> str:
    """What a module that was not found is, and what to do about it."""
    package, *rest = module.split(".")
    if package in (*PACKAGES, "util", "options"):
        path = "/".join([package, *(part for part in rest if part != ROOM)])
        return f"{path}.py, which is not here: copy it, too"
    return f"the package {package}, which is not installed"
