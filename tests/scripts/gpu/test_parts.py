"""Parts of a report: what stops them is a line, what they found stays."""

import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from scripts.benchmarks.processes import run_bounded
from scripts.gpu import memory
from scripts.gpu.made_images import draw, make_images
from scripts.gpu.parts import Context, run_part, run_worker
from scripts.gpu.plan import rehearsal_plan
from scripts.gpu.training import order
from util.errors import RunError


def context(folder: Path, seconds: float = 60) -> Context:
    return Context(rehearsal_plan(1), folder / "part", folder, None, time.monotonic() + seconds)


def test_a_part_that_raises_keeps_what_it_found(tmp_path):
    def part(context, data):
        data["rows"] = [1, 2]
        raise ValueError("no\nkernel")

    data = {}
    run_part("memory", part, context(tmp_path), data)
    assert data["rows"] == [1, 2] and data["problem"] == "no kernel" and data["seconds"] >= 0
    assert "ValueError" in (tmp_path / "part" / "traceback.txt").read_text()


def test_a_part_ends_with_its_time(tmp_path):
    def part(context, data):
        run_bounded([sys.executable, "-c", "import time; time.sleep(600)"], context.work / "log",
                    seconds=context.left)

    data, began = {}, time.monotonic()
    run_part("speed", part, context(tmp_path, seconds=2), data)
    assert "its time was over" in data["problem"] and time.monotonic() - began < 30


def test_an_interruption_is_noted_and_passed_on(tmp_path):
    def part(context, data):
        raise KeyboardInterrupt

    data = {}
    with pytest.raises(KeyboardInterrupt):
        run_part("speed", part, context(tmp_path), data)
    assert data["problem"] == "interrupted"


def test_rows_of_a_worker_that_fails_are_kept(tmp_path):
    """Of two cases the second has a flag that does not exist."""
    place, data = context(tmp_path), {}
    place.work.mkdir()
    small = rehearsal_plan(1).memory[0]
    settings = {"device": "cpu", "flags": [small, "--nonesuch 1"], "sizes": (32, 64), "batches": [1]}
    with pytest.raises(RunError, match="memory.py failed: "):
        run_worker("memory.py", settings, place, data)
    row, = data["rows"]
    assert row["flags"] == small and row["computed"] > 1        # MiB


def test_memory_of_a_gpu(monkeypatch):
    """By a pretended allocator, whose peak rises in the first step: that counts for all steps alone."""
    peaks = iter([300 * 2**20, 200 * 2**20])
    for name in ("empty_cache", "reset_peak_memory_stats"):
        monkeypatch.setattr(torch.cuda, name, lambda: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: next(peaks))
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda: 400 * 2**20)
    monkeypatch.setattr(memory, "GPU", "-1")
    found = memory.measured(rehearsal_plan(1).memory[0], 32, 2)
    assert found == {"later": 200, "all": 300, "reserved": 400}


def test_lines_of_a_resumed_run():
    assert order([100, 200, 300, 400]) == {"lines": 4, "in_order": True, "largest_gap": 100, "usual_gap": 100}
    assert order([100, 200, 400, 500])["largest_gap"] == 200
    assert not order([100, 200, 200, 300])["in_order"]


def test_made_images_have_stripes_in_one_domain_alone(tmp_path):
    folder = make_images(tmp_path / "made", count=3, size=24)
    assert {path.name: len(list(path.iterdir())) for path in folder.iterdir()} == {
        "trainA": 3, "trainB": 3, "testA": 2, "testB": 2}
    brown, striped = (draw(np.random.default_rng(0), 64, striped=one).astype(int) for one in (False, True))
    dark, bright = ((image.max(2) < 60).mean() + (image.min(2) > 200).mean() for image in (brown, striped))
    assert dark == 0 and bright > 0.05
