"""The benchmark's arithmetic by hand, and its driver of a reference on a toy checkout."""

import importlib.util
import json
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

from scripts.timing import ours
from scripts.timing.plot import draw
from scripts.timing.report import ratios, shares

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
                  num_threads=4, flags=None, profile=False, reference="somewhere", threads=1)
    return Namespace(**values | changes)


def test_our_cases_alternate_with_the_references(benchmark):
    names = [case.name for case in benchmark.cases(arguments(models=["CUT", "FastCUT"]))]
    assert names == ["CUT fp32", "CUT bf16", "CUT reference",
                     "FastCUT fp32", "FastCUT bf16", "FastCUT reference"]
    assert len(benchmark.cases(arguments(reference=None))) == 2
    several = arguments(models=["GcGAN"], precisions=["bf16"], flags=["", "--channels_last"])
    assert [case.name for case in benchmark.cases(several)] == ["GcGAN bf16", "GcGAN bf16 --channels_last"]


def test_a_row_by_hand(benchmark):
    runs = [{"seconds": [2.0, 4.0], "images": 1, "peak_MB": 100.4},
            {"seconds": [3.0], "images": 1, "peak_MB": 90}]
    row = benchmark.summary(benchmark.Case("ours", "CUT", "bf16"), runs, arguments(size=128, batch_size=2),
                            {"bf16_GFLOP/s": 1000.0, "fp32_GFLOP/s": 1.0})
    assert (row["seconds"], row["quartiles"], row["samples"], row["peak_MB"]) == (3.0, [2.5, 3.5], 3, 100)
    # A quarter of the pixels, twice the images: half of 1286 GFLOP in 3 s.
    assert row["GFLOP/s"] == pytest.approx(643 / 3, abs=0.1)
    assert row["of_peak"] == pytest.approx(0.214, abs=1e-3)


def test_ratios_by_hand():
    table = [{"subject": "ours", "model": "CUT", "seconds": 2.0, "peak_MB": 50},
             {"subject": "reference", "model": "CUT", "seconds": 5.0, "peak_MB": 100},
             {"subject": "ours", "model": "FastCUT", "seconds": 1.0, "peak_MB": 50}]
    assert ratios(table[0], table) == {"faster": 2.5, "memory": 0.5}
    assert ratios(table[1], table) is None and ratios(table[2], table) is None


def test_shares_by_hand():
    operations = [{"operation": "conv", "calls": 2, "seconds": 3.0},
                  {"operation": "add", "calls": 9, "seconds": 1.0}]
    lines = shares({"case": "CUT fp32", "operations": operations}, shown=1)
    assert lines[1].endswith("4.000 s") and lines[2].split() == ["75.0%", "3.000", "s", "2", "x", "conv"]
    assert len(lines) == 3


def test_no_rate_where_flags_change_the_networks(benchmark):
    runs = [{"seconds": [2.0], "images": 1, "peak_MB": 1}]
    known, unknown = (benchmark.summary(benchmark.Case("ours", "CUT", "fp32", flags), runs, arguments(),
                                        {"fp32_GFLOP/s": 1.0}) for flags in ("--channels_last", "--ngf 32"))
    assert known["GFLOP/s"] == 643 and "GFLOP/s" not in unknown


def test_every_model_steps(benchmark):
    for name, flags in benchmark.MODELS.items():
        told = {"model_flags": flags.split(), "dataroot": None, "precision": "fp32", "size": 32,
                "batch_size": 1, "num_threads": 0, "device": "cpu", "folder": "none",
                "max_dataset_size": None, "warmup": 1,
                "steps": 2, "profile": False, "clock": "wall",
                "flags": "--ngf 2 --ndf 2 --netG "
                         + ("smallstylegan2" if name == "SinCUT" else "resnet_4blocks")}
        told["flags"] += " --nce_layers 0,4" if name in ("CUT", "FastCUT") else ""
        seconds, images = ours.steps(told)
        assert len(seconds) == 2 and min(seconds) > 0 and images == 1, name


@pytest.mark.parametrize("what", ["step", "epoch", "translate", "data"])
def test_what_it_times(what, tmp_path):
    """Really, with tiny networks: the report, the image and the record agree."""
    for folder in ("trainA", "trainB", "testA", "testB"):
        (tmp_path / folder).mkdir()
        for number in range(3):
            Image.new("RGB", (40, 40), (80 * number, 9, 9)).save(tmp_path / folder / f"{number}.png")
    small = "--ngf 2 --ndf 2 --netF_nc 4 --netG resnet_4blocks --nce_layers 0,4 --load_size 36"
    command = [sys.executable, str(ROOT / "scripts" / "benchmark.py"), what, "--dataroot", str(tmp_path),
               "--size", "32", "--rounds", "1", "--steps", "2", "--warmup", "0", "--threads", "1",
               "--num_threads", "0", "--max_dataset_size", "2", f"--flags={small}",
               *(["--profile"] if what == "step" else []), "--json", str(tmp_path / "found.json"),
               "--plot", str(tmp_path / "found.svg")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    row, = json.loads((tmp_path / "found.json").read_text())["results"]
    images = {"step": 1, "epoch": 2, "translate": 2, "data": 2}[what]
    assert row["images_per_second"] == pytest.approx(images / row["seconds"], rel=0.01)
    assert row["samples"] == {"step": 2, "epoch": 1, "translate": 1, "data": 2}[what] and row["peak_MB"] > 100
    assert f"CUT fp32 {small}{row['seconds']:10.3f}" in done.stdout
    assert ("operations of one step" in done.stdout) == (what == "step")
    assert what != "step" or any("convolution" in one["operation"] for one in row["operations"])
    assert f"CUT fp32 {small}" in (tmp_path / "found.svg").read_text()


def test_bars_are_as_long_as_their_values(tmp_path):
    table = [{"case": "CUT <fp32>", "subject": "ours", "model": "CUT", "seconds": 2.0, "peak_MB": 50},
             {"case": "CUT reference", "subject": "reference", "model": "CUT", "seconds": 5.0, "peak_MB": 99}]
    tree = ElementTree.fromstring(draw(table, "step"))
    widths = [float(e.get("width")) for e in tree.iter("{http://www.w3.org/2000/svg}rect")]
    assert widths == [176, 440, 222.2, 440]       # 760 wide, 320 of it for words
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
    told = {"checkout": str(tmp_path / "checkout"), "what": "step", "size": 8,
            "model_flags": ["--model", "cut", "--CUT_mode", "FastCUT"], "batch_size": 1,
            "steps": 3, "warmup": 1, "threads": 1, "device": "cpu", "clock": "wall",
            "dataroot": None, "max_dataset_size": None, "num_threads": 0, "folder": str(tmp_path),
            "answer": str(tmp_path / "answer.json")}
    driver = ROOT / "scripts" / "timing" / "reference.py"
    subprocess.run([sys.executable, str(driver), json.dumps(told)], check=True)
    answer = json.loads((tmp_path / "answer.json").read_text())
    assert len(answer["seconds"]) == 3 and answer["images"] == 1 and answer["peak_MB"] > 0
