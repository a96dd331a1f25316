"""benchmark.py scaling: its cases, and the efficiency that it computes."""

import json
from pathlib import Path

import pytest

from scripts import benchmark
from scripts.benchmarks import scaling
from util.errors import UsageError


def test_rows_from_seconds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
                           capsys: pytest.CaptureFixture) -> None:
    """Two ranks whose steps take 1.25 times as long as one process's use four fifths of each."""
    times = {"1 process": [1.0, 1.0, 3.0], "2 ranks": [1.25] * 3, "2 processes apart": [1.0] * 3}
    monkeypatch.setattr(scaling, "measure", lambda case, args: times[case.name])
    args = benchmark.parse(["scaling", "--rounds", "2", "--json", str(tmp_path / "found.json")])
    scaling.scaling(args)
    rows = json.loads((tmp_path / "found.json").read_text())["rows"]
    assert [(row["case"], row["of_one"], row["steps"]) for row in rows] == [
        ("1 process", 1.0, 6), ("2 ranks", 0.8, 6), ("2 processes apart", 1.0, 6)]
    assert "2 ranks" in capsys.readouterr().out


def test_no_ranks_are_refused() -> None:
    with pytest.raises(UsageError, match="--ranks is 0"):
        benchmark.check(benchmark.parse(["scaling", "--ranks", "0", "2"]))
