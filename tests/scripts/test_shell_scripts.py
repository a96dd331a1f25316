"""The shell scripts, run for real in a copy of the repository whose requirements need no network."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted([*ROOT.glob("scripts/*.sh"), *ROOT.glob("scripts/environment/*.sh"), ROOT / ".ci" / "run"])


def run(script: Path, *flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script from another folder than its own, without input."""
    return subprocess.run(["bash", script, *flags], cwd="/", text=True, capture_output=True,
                          stdin=subprocess.DEVNULL, env=os.environ | environment)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the scripts need, in a path with a space: nothing to install, and a visdom that cannot be had."""
    folder = tmp_path_factory.mktemp("a b")
    for name in ("scripts/environment/setup_venv.sh", "scripts/run_tests.sh", "scripts/quickstart.sh",
                 "scripts/build-constraints.txt", "datasets/make_emoji_dataset.py", "util/errors.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    (folder / "requirements.txt").touch()
    (folder / "datasets" / "requirements-emoji.txt").touch()
    (folder / "requirements-visdom.txt").write_text("./no_such_folder\n")
    return folder


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_well_formed(script):
    assert subprocess.run(["bash", "-n", script]).returncode == 0


def test_a_wrong_argument_is_named(copy):
    done = run(copy / "scripts/quickstart.sh", "--quick")
    assert done.returncode == 2 and "unknown argument '--quick'" in done.stderr
    assert not (copy / ".venv").exists()


def test_an_unsuitable_python_is_named(copy):
    done = run(copy / "scripts/run_tests.sh", PYTHON="/no/such/python")
    assert done.returncode == 1 and "no Python 3.10 or newer (looked for: /no/such/python)" in done.stderr


def test_environment_is_made_once_without_visdom_and_a_failing_stage_is_named(copy):
    first = run(copy / "scripts/quickstart.sh", PYTHON=sys.executable)
    assert "making it with Python" in first.stdout and "visdom could not be installed" in first.stdout
    # Nothing was installed, so the demo data cannot be drawn.
    assert first.returncode != 0 and 'stopped in stage "demo data"' in first.stderr
    second = run(copy / "scripts/run_tests.sh", "--version")
    assert ".venv: up to date" in second.stdout and "making" not in second.stdout
    (copy / "requirements.txt").write_text("# changed\n")
    assert "installing" in run(copy / "scripts/run_tests.sh").stdout
