"""Whether a device's numbers speak against `auto`: by hand."""

from pathlib import Path

import pytest

from scripts.gpu.choices import IN_VAIN, judge


def row(precision: str = "auto", changed: str = "", seconds: float = 0.010, spread: float = 0.0005, **more):
    return {"what": "step", "model": "CUT", "subject": "ours", "batch_size": 1, "precision": precision,
            "changed": changed, "seconds": seconds, "quartiles": [seconds - spread, seconds + spread],
            "said": [], **more}


AUTO = {"precision": "bf16", "channels_last": False}


@pytest.mark.parametrize(("other", "verdict"), [
    (row(changed="--channels_last", seconds=0.008), "contradicted"),
    (row(changed="--channels_last", seconds=0.012), "holds"),
    (row(changed="--channels_last", seconds=0.0097), "holds"),                  # by 3 %
    (row(changed="--channels_last", seconds=0.009, spread=0.002), "holds"),     # quartiles overlap
    (row(changed="--channels_last", seconds=0.008, batch_size=4), "not measured"),
    (row(changed="--channels_last", seconds=0.008, model="FastCUT"), "not measured"),
    (row(changed="--channels_last", seconds=0.008, said=["--compile: G runs uncompiled"]), "not measured"),
    (row(changed="--channels_last", seconds=0.008, said=["--compile: the first took 9 s"]), "contradicted")])
def test_a_flag(other, verdict):
    found, = judge(AUTO, [row(), other], [], ["bf16"])
    assert (found.flag, found.chosen, found.other) == ("--channels_last", "false", "true")
    assert found.verdict == verdict


def test_the_lines_of_flags_that_come_to_nothing_are_those_of_the_models():
    models = Path(__file__).resolve().parents[3] / "models"
    assert IN_VAIN[0] in (models / "execution" / "compiled.py").read_text()
    said = "".join(path.read_text() for path in (models / "execution").glob("*.py"))
    assert IN_VAIN[1] in said or "--cuda_graph" not in said


def test_a_flag_that_auto_turned_on_is_timed_without_it():
    found, = judge({"precision": "bf16", "channels_last": True},
                   [row(), row(changed="--channels_last false", seconds=0.005)], [], ["bf16"])
    assert (found.other, found.verdict) == ("false", "contradicted")
    assert "10.00 ms a step, with false 5.00 ms: 2.00 times as fast" == found.why


def test_precisions_are_compared_each_by_itself():
    rows = [row(), row("fp16", seconds=0.008), row("fp32", seconds=0.03)]
    found = judge({"precision": "bf16"}, rows, [], ["fp32", "tf32", "bf16", "fp16"])
    assert [(one.other, one.verdict) for one in found] == [
        ("fp32", "holds"), ("tf32", "not measured"), ("fp16", "contradicted")]


def test_a_format_that_is_wrong_is_contradicted_at_any_speed():
    steps = [{"model": "CUT", "precision": "bf16", "agrees": False},
             {"model": "SinCUT", "precision": "fp16", "agrees": False}]
    found, = judge({"precision": "bf16"}, [row()], steps, ["bf16"])
    assert found.verdict == "contradicted" and "CUT differs" in found.why and "SinCUT" not in found.why


def test_a_graph_that_auto_chose_is_timed_against_none():
    """Where no step could be a graph, the choice is contradicted; other flags are compared all the same."""
    auto = {"precision": "bf16", "channels_last": False, "cuda_graph": True}
    fails = {"said": ["--cuda_graph: the steps run without a graph from here on, capturing one failed (no)"]}
    rows = [row(), row(changed="--cuda_graph false", seconds=0.02), row(changed="--channels_last")]
    found = {one.flag: one for one in judge(auto, rows, [], ["bf16"])}
    assert (found["--cuda_graph"].chosen, found["--cuda_graph"].verdict) == ("true", "holds")
    rows = [row(**fails), row(changed="--cuda_graph false", seconds=0.02),
            row(changed="--channels_last", seconds=0.005, **fails)]
    found = {one.flag: one for one in judge(auto, rows, [], ["bf16"])}
    assert (found["--cuda_graph"].verdict, found["--cuda_graph"].why) == ("contradicted", fails["said"][0])
    assert found["--channels_last"].verdict == "contradicted"
