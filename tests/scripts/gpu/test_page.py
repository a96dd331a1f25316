"""The page of a GPU, from a record made by hand: no GPU is needed to see what it would say."""

from argparse import Namespace
from xml.etree import ElementTree

import pytest

from scripts.gpu.page import is_rehearsal, write_page
from scripts.gpu.plan import gpu_plan

AUTO = Namespace(precision="bf16", channels_last=False, compile=False, cuda_graph=False)


def row(case: str, seconds: float, **more) -> dict:
    return {"case": case, "what": "step", "model": "CUT", "subject": "ours", "precision": "auto", "flags": "",
            "changed": "", "said": [], "resolved": "bf16", "seconds": seconds, "batch_size": 1, "size": 256,
            "samples": 5, "quartiles": [seconds, seconds], "images_per_second": 1 / seconds, "peak_MB": 1234,
            "ratio": None, **more}


def record(**parts) -> dict:
    return {"command": "python scripts/gpu_report.py", "date": "2026-01-02",
            "facts": {"device": "NVIDIA H100"}, "parts": parts}


@pytest.fixture
def write(tmp_path):
    def written(**parts) -> str:
        page = tmp_path / "docs" / "gpu.md"
        write_page(page, record(**parts), gpu_plan(10, AUTO, ("fp32", "bf16"), True), AUTO)
        assert not is_rehearsal(page)
        return page.read_text()
    return written


def test_speed_is_said_first_and_a_contradiction_named(write, tmp_path):
    """8.1 ms a step are 1334 * 400 * 0.0081 / 3600 = 1.2 hours."""
    reference = row("CUT reference, batch 1", 0.0405, subject="reference", precision="fp32", resolved="tf32")
    text = write(speed={"rows": [
        row("CUT auto, batch 1", 0.0162, of_peak=0.11, ratio={"faster": 2.5, "memory": 1.0}), reference,
        row("CUT auto --cuda_graph, batch 1", 0.0081, changed="--cuda_graph")],
        "failed": {"CUT auto, batch 16": "out of memory"}, "not_reached": ["epoch CUT auto, batch 4"],
        "peak": {"bf16_GFLOP/s": 700000.0}, "seconds": 3})
    assert "# On a GPU: NVIDIA H100" in text
    assert "**CUT auto --cuda_graph, batch 1: 8.10 ms a step**" in text and "take 1.2 hours" in text
    assert ("**`auto` is contradicted**: `--cuda_graph false`, but 16.20 ms a step, with true 8.10 ms: "
            "2.00 times as fast") in text
    assert "| CUT auto, batch 1 | bf16 | 16.20 ms | 16.20 ms to 16.20 ms | 61.7 | 1,234 | 11% | 2.5 |" in text
    assert "- CUT auto, batch 16 failed: out of memory" in text and "bf16 700,000 GFLOP/s" in text
    assert "quartiles | images/s" in text
    assert "Not reached in the time" in text and "epoch CUT auto, batch 4" in text
    bars = "".join(ElementTree.parse(tmp_path / "docs" / "gpu_speed.svg").getroot().itertext())
    assert "8.1 ms (0.20)" in bars      # of the reference's 40.5


def test_a_part_that_failed_is_a_line(write):
    text = write(tests={"outcomes": {"a::b": "PASSED", "a::c": "FAILED", "a::d": "SKIPPED"}, "seconds": 9},
                 memory={"problem": "memory.py failed: no such kernel", "rows": [], "seconds": 2})
    assert "| tests marked `cuda` | 1 failed, 1 passed, 1 skipped | 9 s |" in text
    assert "- `a::c`: failed" in text
    assert "| memory | 0 compared; **memory.py failed: no such kernel** | 2 s |" in text
    assert "| speed | not run |  |" in text


def test_memory_counted_and_computed(write):
    text = write(memory={"rows": [
        {"flags": "--precision bf16", "batch": 1, "computed": 929.0, "later": 950.4, "all": 1300.0,
         "reserved": 1500.0},
        {"flags": "--precision bf16", "batch": 4, "computed": 3077.0, "note": "out of memory"}]})
    assert "| `--precision bf16` | 1 | 929 | 950 | 1,300 | 1,500 |" in text
    assert "| `--precision bf16` | 4 | 3,077 | out of memory | out of memory | out of memory |" in text


def test_a_training_whose_end_was_wrong(write):
    text = write(training={"images_of": "On the images of horse2zebra.",
                           "killed": {"images": 900, "saved": 800},
                           "ended": {"code": 1, "images": 1500, "saved": 800, "lines": 15, "in_order": False,
                                     "largest_gap": 100, "usual_gap": 100}})
    assert "exit code 1 (**143 was expected**)" in text and "**not in order**" in text


def test_a_section_that_cannot_be_written_costs_no_other(write):
    text = write(memory={"rows": [{"flags": "x"}]}, tests={"outcomes": {"a::c": "FAILED"}})
    assert "**A section could not be written** (KeyError" in text and "- `a::c`: failed" in text
