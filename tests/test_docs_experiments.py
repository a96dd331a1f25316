"""The pages agree with the scripts: experiments, data sets, and the programs that they name."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXPERIMENTS = (ROOT / "docs" / "experiments.md").read_text(encoding="utf-8")
DATASETS = (ROOT / "docs" / "datasets.md").read_text(encoding="utf-8")


def test_the_table_of_experiments_repeats_the_heads_of_the_scripts():
    rows = {name: (expected, hours) for name, expected, hours
            in re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \|$", EXPERIMENTS, re.MULTILINE)}
    scripts = {path.stem: path.read_text() for path in (ROOT / "scripts" / "experiments").glob("*_*.sh")}
    assert rows.keys() >= scripts.keys()
    for name, script in scripts.items():
        head = dict(line[2:].split(": ", 1) for line in script.splitlines()[2:6])
        expected, cost = head["Expected"], head["Cost"]
        assert rows[name][0] == ("—" if expected.startswith("no score") else expected), name
        hours = re.search(r"(\d+) GPU hours", cost)
        assert (hours[1] in rows[name][1]) if hours else rows[name][1] == "not known", name


def test_every_data_set_is_described():
    sources = json.loads((ROOT / "datasets" / "sources.json").read_text())
    for name, entry in sources.items():
        line = next(line for line in DATASETS.splitlines() if f"`{name}`" in line)
        known = any("sha256" in file for file in entry.get("files", []))
        assert ("published" in line) == known
        assert ("not known" in line) == ("files" in entry and not known)


def test_every_program_named_exists():
    for page in (*(ROOT / "docs").glob("*.md"), ROOT / "README.md"):
        text = page.read_text(encoding="utf-8")
        for path in re.findall(r"(?:bash|python|`)\s*((?:scripts|datasets)/[\w/]+\.(?:py|sh))", text):
            assert (ROOT / path).exists(), f"{page.name}: {path}"
