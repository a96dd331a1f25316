"""The benchmark's arithmetic by hand: which cases it times, and the row that their seconds make."""

from argparse import Namespace

import pytest

from scripts.benchmarks.cases import ROOT, Case, cases, settings, summary


def arguments(**changes) -> Namespace:
    values = dict(command="step", models=["CUT"], precisions=["fp32", "bf16"], size=None, batch_size=None,
                  steps=2, warmup=1, clock="wall", device="cpu", dataroot=None, max_dataset_size=None,
                  num_threads=4, flags=None, profile=False, reference="somewhere", baseline=None, items=None,
                  threads=1, timeout=None)
    return Namespace(**values | changes)


def test_our_cases_alternate_with_the_references():
    names = [case.name for case in cases(arguments(models=["CUT", "FastCUT"]))]
    assert names == ["CUT fp32", "CUT bf16", "CUT reference",
                     "FastCUT fp32", "FastCUT bf16", "FastCUT reference"]
    assert len(cases(arguments(reference=None))) == 2
    several = arguments(models=["GcGAN"], precisions=["bf16"], flags=["", "--channels_last"])
    assert [case.name for case in cases(several)] == ["GcGAN bf16", "GcGAN bf16 --channels_last"]


def test_every_case_alternates_with_the_baselines():
    beside = arguments(models=["GcGAN"], flags=["", "--ngf 8"], reference=None, baseline="/old")
    assert [case.name for case in cases(beside)] == [
        "GcGAN fp32", "GcGAN fp32 baseline", "GcGAN fp32 --ngf 8", "GcGAN fp32 --ngf 8 baseline",
        "GcGAN bf16", "GcGAN bf16 baseline", "GcGAN bf16 --ngf 8", "GcGAN bf16 --ngf 8 baseline"]
    ours, old, *_ = (settings(case, beside) for case in cases(beside))
    assert (ours.pop("checkout"), old.pop("checkout")) == (str(ROOT), "/old") and ours == old


def test_sincut_has_sizes_of_its_own():
    own, given = (settings(Case("ours", "SinCUT", "fp32"), arguments(size=size)) for size in (None, 32))
    assert (own["size"], own["batch_size"], own["items"], given["size"]) == (64, 16, 1600, 32)
    cut = settings(Case("ours", "CUT", "fp32"), arguments())
    assert (cut["size"], cut["batch_size"], cut["items"]) == (256, 1, None)


def test_a_row_by_hand():
    runs = [{"seconds": [2.0, 4.0], "images": 1, "peak_MB": 100.4},
            {"seconds": [3.0], "images": 1, "peak_MB": 90}]
    row = summary(Case("ours", "CUT", "bf16"), runs, arguments(size=128, batch_size=2),
                  {"bf16_GFLOP/s": 1000.0, "fp32_GFLOP/s": 1.0})
    assert (row["seconds"], row["quartiles"], row["samples"], row["peak_MB"]) == (3.0, [2.5, 3.5], 3, 100)
    # A quarter of the pixels, twice the images: half of 1286 GFLOP in 3 s.
    assert row["GFLOP/s"] == pytest.approx(643 / 3, abs=0.1)
    assert row["of_peak"] == pytest.approx(0.214, abs=1e-3)


@pytest.mark.parametrize(("case", "resolved", "part"), [
    ("fp32", "fp32", 1.0), ("tf32", "tf32", 0.5), ("auto", "bf16", 0.25), ("fp16", "fp16", 0.125),
    ("auto", "fp32", 1.0)])
def test_a_rate_is_set_beside_the_peak_of_the_format_that_ran(case, resolved, part):
    """1286 GFLOP in 2 s are 643 a second."""
    peak = {"fp32_GFLOP/s": 643.0, "tf32_GFLOP/s": 1286.0, "bf16_GFLOP/s": 2572.0, "fp16_GFLOP/s": 5144.0}
    runs = [{"seconds": [2.0], "images": 1, "peak_MB": 1, "precision": resolved}]
    assert summary(Case("ours", "CUT", case), runs, arguments(), peak)["of_peak"] == part


def test_no_part_of_a_peak_that_was_not_measured():
    runs = [{"seconds": [2.0], "images": 1, "peak_MB": 1, "precision": "tf32"}]
    assert "of_peak" not in summary(Case("ours", "CUT", "tf32"), runs, arguments(), {"fp32_GFLOP/s": 643.0})


def test_no_rate_where_flags_change_the_networks():
    runs = [{"seconds": [2.0], "images": 1, "peak_MB": 1}]
    known, unknown = (summary(Case("ours", "CUT", "fp32", flags), runs, arguments(), {"fp32_GFLOP/s": 1.0})
                      for flags in ("--channels_last", "--ngf 32"))
    assert known["GFLOP/s"] == 643 and "GFLOP/s" not in unknown
