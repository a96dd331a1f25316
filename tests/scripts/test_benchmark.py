"""The benchmark's arithmetic by hand, and its driver of a reference on a toy checkout."""

import importlib.util
import json
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from scripts.timing.plot import draw

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("benchmark", ROOT / "scripts" / "benchmark.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["benchmark"] = module    # NamedTuple looks its module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["benchmark"]


def arguments(**changes) -> Namespace:
    values = dict(what="step", models=["CUT"], precisions=["fp32", "bf16"], size=None, batch_size=None,
                  steps=2, warmup=1, clock="wall", device="cpu", dataroot=None, max_dataset_size=None,
                  num_threads=4, flags="", reference="somewhere", threads=1)
    return Namespace(**values | changes)


def test_our_cases_alternate_with_the_references(benchmark):
    names = [case.name for case in benchmark.cases(arguments(models=["CUT", "FastCUT"]))]
    assert names == ["CUT fp32", "CUT bf16", "CUT reference",
                     "FastCUT fp32", "FastCUT bf16", "FastCUT reference"]
    assert len(benchmark.cases(arguments(reference=None))) == 2


def test_a_row_by_hand(benchmark):
    runs = [{"seconds": [2.0, 4.0], "images": 1, "peak_MB": 100.4},
            {"seconds": [3.0], "images": 1, "peak_MB": 90}]
    row = benchmark.summary(benchmark.Case("ours", "CUT", "bf16"), runs, arguments(size=128, batch_size=2),
                            {"bf16_GFLOP/s": 1000.0, "fp32_GFLOP/s": 1.0})
    assert (row["seconds"], row["quartiles"], row["samples"], row["peak_MB"]) == (3.0, [2.5, 3.5], 3, 100)
    # A quarter of the pixels, twice the pictures: half of 1286 GFLOP in 3 s.
    assert row["GFLOP/s"] == pytest.approx(643 / 3, abs=0.1)
    assert row["of_peak"] == pytest.approx(0.214, abs=1e-3)


def test_ratios_by_hand(benchmark):
    table = [{"subject": "ours", "model": "CUT", "seconds": 2.0, "peak_MB": 50},
             {"subject": "reference", "model": "CUT", "seconds": 5.0, "peak_MB": 100},
             {"subject": "ours", "model": "FastCUT", "seconds": 1.0, "peak_MB": 50}]
    assert benchmark.ratios(table[0], table) == {"faster": 2.5, "memory": 0.5}
    assert benchmark.ratios(table[1], table) is None and benchmark.ratios(table[2], table) is None


def test_bars_are_as_long_as_their_values(tmp_path):
    table = [{"case": "CUT <fp32>", "subject": "ours", "model": "CUT", "seconds": 2.0, "peak_MB": 50},
             {"case": "CUT reference", "subject": "reference", "model": "CUT", "seconds": 5.0, "peak_MB": 99}]
    tree = ElementTree.fromstring(draw(table, "step"))
    widths = [float(e.get("width")) for e in tree.iter("{http://www.w3.org/2000/svg}rect")]
    assert widths == [176, 440, 222.2, 440]       # 720 wide, 280 of it for words
    texts = [e.text for e in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert "2.00 s (0.40)" in texts and "99 MB" in texts and "CUT <fp32>" in texts


TOY = {"models/__init__.py": """
class Model:
    def data_dependent_initialize(self, batch): assert batch["A"].shape == (1, 3, 8, 8)
    def setup(self, opt): pass
    def set_input(self, batch): self.batch = batch
    def optimize_parameters(self): pass
    def get_current_losses(self): return {}
def create_model(opt): return Model()
""", "options/__init__.py": "", "options/train_options.py": """
import sys
class TrainOptions:
    def parse(self):
        assert sys.argv[1:5] == ["--model", "cut", "--CUT_mode", "FastCUT"]
"""}


def test_the_driver_of_a_reference(tmp_path):
    for name, text in TOY.items():
        path = tmp_path / "checkout" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    told = {"checkout": str(tmp_path / "checkout"), "what": "step", "model": "FastCUT", "size": 8,
            "batch_size": 1, "steps": 3, "warmup": 1, "threads": 1, "device": "cpu", "clock": "wall",
            "dataroot": None, "max_dataset_size": None, "num_threads": 0, "folder": str(tmp_path),
            "answer": str(tmp_path / "answer.json")}
    driver = ROOT / "scripts" / "timing" / "reference.py"
    subprocess.run([sys.executable, str(driver), json.dumps(told)], check=True)
    answer = json.loads((tmp_path / "answer.json").read_text())
    assert len(answer["seconds"]) == 3 and answer["images"] == 1 and answer["peak_MB"] > 0
