"""environment.yml (conda) and the requirement files (pip) allow the same versions."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONDA_NAMES = {"pytorch": "torch"}


def ranges(lines: list[str]) -> dict[str, str]:
    """Package -> range of its versions."""
    found = (re.fullmatch(r"([a-z0-9_-]+)([<>=!].*)", line) for line in lines)
    return {CONDA_NAMES.get(match[1], match[1]): match[2] for match in found if match}


def test_conda_and_pip_agree():
    pip = [line for name in ("requirements.txt", "requirements-visdom.txt")
           for line in (ROOT / name).read_text().splitlines()]
    lines = (ROOT / "environment.yml").read_text().splitlines()
    conda = ranges([line.removeprefix("  - ") for line in lines])
    assert conda.pop("python") == ">=3.10,<3.14"
    assert conda == ranges(pip) and "torch" in conda


def test_every_range_ends_before_an_unknown_major_version():
    for name in ("requirements.txt", "requirements-visdom.txt"):
        assert all(",<" in text for text in ranges((ROOT / name).read_text().splitlines()).values())
