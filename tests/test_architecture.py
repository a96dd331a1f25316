"""Who may import whom, how long files are, who may print, and that links in the pages lead somewhere."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("data", "models", "options", "util", "scripts", "datasets")
PATTERNS = ("*.py", *(f"{folder}/**/*.py" for folder in FOLDERS))
FILES = sorted(path.relative_to(ROOT).as_posix() for pattern in PATTERNS for path in ROOT.glob(pattern))
PACKAGES = {Path(name).parts[0].removesuffix(".py") for name in FILES}

# The first prefix of a file's path decides which of our modules it may import.
MAY_IMPORT = {
    "util/": ["util"],
    "models/networks/": ["models.networks"],
    "models/losses/": ["models.losses"],
    "models/": ["models", "util"],
    "data/": ["data", "util"],
    "options/": ["options", "models", "data", "util"],
    "util/metrics/training_evaluation.py": ["models", "data", "util"],
    "datasets/": ["datasets", "data", "util"],
    "scripts/": ["options", "models", "data", "util", "evaluation", "scripts"],
    "": ["options", "models", "data", "util", "evaluation"],       # train.py, test.py
}
ONLY_TORCH = ("models/networks/", "models/losses/")
# util/errors.py ends a program; datasets/download.py is what download_dataset.py shows its progress with.
MAY_PRINT = ("util/errors.py", "datasets/download.py", "train.py", "test.py", "scripts/", "datasets/")


def tree(name: str) -> ast.Module:
    return ast.parse((ROOT / name).read_text(encoding="utf-8"))


def imports(name: str) -> Iterator[str]:
    """Full names of the modules that a file imports, anywhere in it; `from a import b` counts as a."""
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} has a relative import"
            assert not any(alias.name == "*" for alias in node.names), f"{name} imports *"
            yield node.module


def within(module: str, packages: list[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


@pytest.mark.parametrize("name", FILES)
def test_imports_follow_the_table(name):
    allowed = next(modules for prefix, modules in MAY_IMPORT.items() if name.startswith(prefix))
    ours = [module for module in imports(name) if module.split(".")[0] in PACKAGES | {"tests"}]
    assert [module for module in ours if not within(module, allowed)] == []


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith(ONLY_TORCH)])
def test_networks_and_losses_need_torch_alone(name):
    """And know no options: they are given sizes and tensors."""
    others = {module.split(".")[0] for module in imports(name)} - {"torch", "models"}
    assert others <= sys.stdlib_module_names
    names = {node.id for node in ast.walk(tree(name)) if isinstance(node, ast.Name)}
    assert not {"opt", "Namespace"} & names


def test_one_file_alone_may_speak_to_other_processes_of_a_training():
    users = {name for name in FILES if any(within(module, ["torch.distributed"]) for module in imports(name))
             or "torch.distributed" in (ROOT / name).read_text(encoding="utf-8")}
    assert users <= {"util/distributed.py"}


@pytest.mark.parametrize("name", FILES)
def test_files_are_short(name):
    """Empty lines, which make a file easier to read, are not counted."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    assert len([line for line in lines if line.strip()]) <= 220


@pytest.mark.parametrize("name", [name for name in FILES if not name.startswith(MAY_PRINT)])
def test_printing_is_the_programs_business(name):
    """Elsewhere a line goes through util.console.say, which survives a closed terminal and spares the bar."""
    calls = [node.lineno for node in ast.walk(tree(name))
             if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"]
    assert calls == []


@pytest.mark.parametrize("page", [path.relative_to(ROOT).as_posix()
                                  for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]])
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    local = [link.split("#")[0] for link in links if not re.match(r"(https?:|mailto:|#)", link)]
    assert [link for link in local if not (ROOT / page).parent.joinpath(link).exists()] == []


def test_the_rules_see_something():
    """A rule that looks at nothing holds always."""
    assert len(FILES) > 50 and "util/errors.py" in FILES and "models/networks/resnet.py" in FILES
    assert {"train.py", "test.py"} <= set(FILES) and {"data", "models", "options", "util"} <= PACKAGES
    assert "models.networks.norm" in set(imports("models/networks/resnet.py"))
    assert within("models.losses.gan", ["models"])
    assert not within("models.networks_extra", ["models.networks"])
