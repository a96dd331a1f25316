"""No line of the program runs what it reads: names, options and files stay data."""

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = [path for path in sorted(ROOT.rglob("*.py"))
           if not {".venv", "tests"} & set(path.relative_to(ROOT).parts[:-1])]
# Calls that run or unpickle what they are given.
FORBIDDEN = {"eval", "exec", "compile", "os.system", "os.popen", "subprocess.getoutput", "marshal.loads",
             "pickle.load", "pickle.loads", "pickle.Unpickler", "yaml.load", "yaml.unsafe_load",
             "torch.jit.load"}


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Every call with what is called, as it is written."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def faults(path: Path) -> list[str]:
    found = []
    for name, call in calls(path):
        settings = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        if name in FORBIDDEN or settings.get("shell", "False") != "False":
            found.append(name)
        if name == "torch.load" and settings.get("weights_only") != "True":
            found.append("torch.load without weights_only=True")
        if settings.get("allow_pickle", "False") != "False":
            found.append(f"{name} with allow_pickle")
        if name.endswith((".extractall", ".extract")) and path.name != "archives.py":
            found.append(f"{name}, which datasets/archives.py does safely")
    return found


def test_runs_nothing_that_it_reads() -> None:
    assert len(SOURCES) > 50
    assert {str(path.relative_to(ROOT)): found for path in SOURCES if (found := faults(path))} == {}


@pytest.mark.parametrize("line", [
    "eval(x)", "torch.load(x)", "torch.load(x, weights_only=False)", "os.system(x)", "pickle.loads(x)",
    "subprocess.run(x, shell=True)", "np.load(x, allow_pickle=True)", "archive.extractall(x)"])
def test_would_notice(line: str, tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text(line)
    assert faults(tmp_path / "x.py")


def test_shell_scripts_quote_what_they_expand() -> None:
    """bash reads them all; an `eval` or an unquoted $@ would let an argument become a command."""
    for script in (ROOT / "scripts").glob("*.sh"):
        text = script.read_text(encoding="utf-8")
        assert "eval " not in text and " $@" not in text and " $*" not in text, script.name
        subprocess.run(["bash", "-n", str(script)], check=True)
