"""The Dockerfile and the Apptainer definition: what they copy and install, and that they do the same.

Their steps themselves take minutes and a network: fresh_root.py runs them.
"""

import re
from pathlib import Path

import pytest

from tests.scripts.containers.fresh_root import (
    Image,
    Step,
    context,
    definition,
    dockerfile,
    is_ignored,
    steps_of,
)

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "scripts" / "containers"
RECIPES = {name: steps_of(FOLDER / name) for name in ("Dockerfile", "cut.def")}
PROGRAM_FOLDERS = ("options", "data", "models", "util", "scripts", "datasets")


def commands(name: str) -> list[list[str]]:
    """The commands of a recipe, as words, without what differs for good reasons."""
    text = "\n".join(step.words[0] for step in RECIPES[name] if step.kind == "run")
    text = re.sub(r"\\\n\s*|--mount=\S+ |--no-cache-dir |/opt/venv/bin/(?=pip)", "", text)
    lines = [line.split() for line in re.split(r"\n|&&", text)]
    return [line for line in lines if line and line[0] not in ("set", "cd", "useradd", "mkdir", "chown")]


def copied(name: str, tmp_path: Path) -> set[str]:
    """Files of an image below /opt/cut, after the steps that copy."""
    image = Image(tmp_path / name, tmp_path / "cache")
    for step in RECIPES[name]:
        if step.kind in ("copy", "workdir"):
            image.do(step)
    place = tmp_path / name / "opt" / "cut"
    return {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}


def test_both_run_the_same_commands():
    assert commands("Dockerfile") == commands("cut.def")
    assert [line[:2] for line in commands("cut.def")[:2]] == [["apt-get", "update"], ["apt-get", "install"]]


def test_both_hold_the_programs_and_no_data(tmp_path):
    docker, apptainer = (copied(name, tmp_path) for name in RECIPES)
    needed = {path.relative_to(ROOT).as_posix() for folder in PROGRAM_FOLDERS
              for pattern in ("*.py", "*.json") for path in (ROOT / folder).glob(pattern)}
    needed |= {path.relative_to(ROOT).as_posix() for folder in ("models", "util", "data", "scripts")
               for path in (ROOT / folder).rglob("*.py")}
    needed |= {"train.py", "test.py", "requirements.txt", "requirements-visdom.txt"}
    assert needed <= docker and needed <= apptainer
    assert not any(name.startswith("checkpoints/") or name.endswith((".pyc", ".pth")) for name in docker)
    assert not any(name.count("/") > 1 for name in docker | apptainer if name.startswith("datasets/"))


def test_packages_are_those_of_the_requirements():
    installs = [line for line in commands("Dockerfile") if "pip" in line]
    assert [line[-2:] for line in installs] == [["-r", "requirements.txt"], ["-r", "requirements-visdom.txt"]]
    # visdom's build finds its setuptools by the pip of Debian, which reads the first, and by a newer one.
    constraint = "scripts/build-constraints.txt"
    assert {f"PIP_CONSTRAINT={constraint}", f"PIP_BUILD_CONSTRAINT={constraint}"} <= set(installs[1])
    assert "--use-pep517" in installs[1]


def test_packages_stand_before_the_code_and_their_wheels_in_a_cache():
    lines = [" ".join(step.words) for step in RECIPES["Dockerfile"]]
    pip = [number for number, line in enumerate(lines) if "pip install" in line]
    assert all("--mount=type=cache,target=/root/.cache/pip" in lines[number] for number in pip)
    assert max(pip) < next(number for number, line in enumerate(lines) if "train.py" in line)


def test_the_user_has_no_rights():
    users = [step.words[0] for step in RECIPES["Dockerfile"] if step.kind == "user"]
    assert users == ["cut"] and any("useradd --create-home --uid 1000 cut" in step.words[0]
                                    for step in RECIPES["Dockerfile"] if step.kind == "run")


@pytest.mark.parametrize(("name", "ignored"), [
    (".git/config", True), (".venv/bin/python", True), ("models/__pycache__/a.pyc", True),
    ("__pycache__/train.pyc", True), ("checkpoints/run/latest_net_G.pth", True),
    ("util/checkpoints/weights.py", False), ("datasets/emoji/trainA/1.png", True),
    ("datasets/sources.json", False), (".github", False)])
def test_what_is_ignored(name, ignored):
    rules = Image(Path(), Path()).ignored
    assert any(is_ignored(name, rule) for rule in rules) == ignored


def test_steps_are_read_as_an_engine_does():
    assert dockerfile("# note\nFROM a\nRUN b \\\n    && c  # d\nCOPY e f/ ./\nENV G=h\n") == [
        Step("from", ("a",)), Step("run", ("b && c  # d",)), Step("copy", ("e", "f/", "./")),
        Step("env", ("G=h",))]
    text = "From: a\n\n%files\n    b /c/\n\n%post\n    d\n    e\n\n%environment\n    export F=g\n"
    assert definition(text) == [Step("from", ("a",)), Step("copy", ("b", "/c/")),
                                Step("run", ("set -e\n    d\n    e\n\n",)), Step("env", ("F=g",))]
    assert Path("train.py") in set(context("*.py", []))
