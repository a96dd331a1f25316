"""The benchmark's workers: our steps of every model, and the reference's driver on a toy checkout."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.autograd import DeviceType

from scripts.benchmarks.cases import BATCHES, MODELS
from scripts.benchmarks.workers import peak_worker, project_worker, reference_worker

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("name", MODELS)
def test_every_model_steps(name):
    sincut = name == "SinCUT"
    # Of one patch a crop, SinCUT needs two crops to have a negative. 64: the least that MUNIT takes.
    settings = {"model_flags": MODELS[name].split(), "dataroot": None, "precision": "fp32", "size": 64,
                "batch_size": 2 if sincut else BATCHES.get(name, 1), "num_threads": 0, "device": "cpu",
                "folder": "none", "max_dataset_size": None, "warmup": 1, "steps": 2, "profile": False,
                "clock": "wall",
                "flags": f"--ngf 2 --ndf 2 --netG {'smallstylegan2' if sincut else 'resnet_4blocks'}"}
    settings["flags"] += " --nce_layers 0,4" if name in ("CUT", "FastCUT") else ""
    found = project_worker.steps(settings)
    assert len(found["seconds"]) == 2 and min(found["seconds"]) > 0
    assert found["images"] == settings["batch_size"]


class Recorder:
    """A pretended GPU and model: what was done, in a row of letters."""

    def __init__(self, monkeypatch):
        self.done = ""
        monkeypatch.setattr(torch.cuda, "synchronize", lambda: self.note("|"))
        monkeypatch.setattr(torch.Tensor, "pin_memory", lambda images: self.note("p") or images)

    def note(self, letter: str) -> None:
        self.done += letter

    def train_step(self, batch: dict) -> dict:
        self.note("s")
        return {"G": torch.zeros(())}

    def set_input(self, batch: dict) -> None:
        self.note("s")

    def optimize_parameters(self) -> None:
        pass

    def get_current_losses(self) -> dict:
        self.note("l")
        return {}


GPU = {"device": "cuda", "clock": "wall", "warmup": 20, "steps": 2, "batch_size": 1, "size": 4}


def test_a_gpus_steps_run_ahead_between_two_synchronisations(monkeypatch):
    """Minibatches are pinned ahead: no step waits for the host, and none is copied from pageable memory."""
    gpu = Recorder(monkeypatch)
    seconds = project_worker.throughput(gpu, GPU)
    assert gpu.done == "p" * 8 + f"|{20 * 's'}|" + 2 * f"|{10 * 's'}|"
    assert len(seconds) == 2 and min(seconds) > 0


def test_the_references_steps_too(monkeypatch):
    gpu = Recorder(monkeypatch)
    assert len(reference_worker.throughput(gpu, GPU)) == 2
    assert gpu.done == f"|{20 * 's'}l|" + 2 * f"|{10 * 's'}l|"


def test_a_gpus_seconds_are_those_of_one_step(monkeypatch):
    """Ten steps of a second each, by a clock that they move."""
    gpu, clock = Recorder(monkeypatch), SimpleNamespace(now=0.0)
    monkeypatch.setattr(project_worker.time, "perf_counter", lambda: clock.now)

    def step(batch: dict) -> dict:
        clock.now += 1
        return {"G": torch.zeros(())}

    gpu.train_step = step
    assert project_worker.throughput(gpu, GPU) == [1.0, 1.0]


def row(key: str, seconds: float, device: DeviceType, named: bool = False) -> SimpleNamespace:
    return SimpleNamespace(key=key, count=1, self_device_time_total=seconds * 1e6, self_cpu_time_total=0,
                           device_type=device, is_user_annotation=named)


def test_a_kernels_time_counts_once():
    """The profiler lists the operation that started it, the kernel, and a named range around it."""
    twice = [row("aten::mm", 2, DeviceType.CPU), row("sgemm", 2, DeviceType.CUDA),
             row("aten::add", 1, DeviceType.CPU), row("elementwise", 1, DeviceType.CUDA),
             row("Optimizer.step", 3, DeviceType.CUDA, named=True)]
    found = project_worker.longest_first(twice, "cuda")
    assert [(one["operation"], one["seconds"]) for one in found] == [("aten::mm", 2), ("aten::add", 1)]


def test_kernels_of_a_replayed_graph_are_seen():
    replay = [row("cudaGraphLaunch", 0, DeviceType.CPU), row("sgemm", 2, DeviceType.CUDA)]
    assert [one["operation"] for one in project_worker.longest_first(replay, "cuda")] == ["sgemm"]


def test_a_gpus_fp32_peak_is_measured_without_tf32():
    assert [name for name, (_, tf32) in peak_worker.FORMATS["cuda"].items() if tf32] == ["tf32"]
    assert peak_worker.FORMATS["cuda"]["fp32"][0] == peak_worker.FORMATS["cuda"]["tf32"][0] == torch.float32


def test_the_peak_sets_the_switch_of_each_format(monkeypatch, tmp_path):
    """On the CPU, under the name of a GPU: every product of a format runs with that format's switch."""
    seen = []
    monkeypatch.setattr(peak_worker, "WIDTH", {"cuda": 8})
    monkeypatch.setattr(peak_worker, "COPY_BYTES", 8)
    monkeypatch.setattr(peak_worker, "fastest", lambda function, settings: seen.append(
        torch.backends.cudnn.allow_tf32) or 1.0)
    for name in ("randn", "empty"):
        plain = getattr(torch, name)
        monkeypatch.setattr(torch, name, lambda *sizes, plain=plain, **more: plain(
            *sizes, **more | {"device": "cpu"}))
    monkeypatch.setattr(sys, "argv", ["peak", json.dumps(
        {"threads": 1, "device": "cuda", "clock": "wall", "answer": str(tmp_path / "answer.json")})])
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    peak_worker.main()
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
    assert seen == [False, False, True, True, False, False, False, False, False]
    assert json.loads((tmp_path / "answer.json").read_text()).keys() == {
        "fp32_GFLOP/s", "tf32_GFLOP/s", "bf16_GFLOP/s", "fp16_GFLOP/s", "copy_GB/s"}


def test_the_peak_is_of_calls_in_a_row_after_a_warm_up(monkeypatch):
    gpu = Recorder(monkeypatch)
    peak_worker.fastest(lambda: gpu.note("c"), {"device": "cuda", "clock": "wall"}, repeats=2)
    assert gpu.done == 3 * f"{20 * 'c'}|"
    gpu.done = ""
    peak_worker.fastest(lambda: gpu.note("c"), {"device": "cpu", "clock": "wall"}, repeats=2)
    assert gpu.done == "cc"


def test_a_gpus_memory_of_a_translation_is_test_pys_own(tmp_path):
    """The code that runs test.py, on a CPU's torch: the script sees its command line, the file is written."""
    script = tmp_path / "test.py"
    script.write_text("import sys, torch\n"
                      "torch.cuda.max_memory_allocated = lambda: 3 * 2**20\n"
                      "assert __name__ == '__main__' and sys.argv[1:] == ['--name', 'x']\n")
    peak = tmp_path / "peak"
    subprocess.run([sys.executable, "-c", project_worker.TEST, peak, script, "--name", "x"], check=True)
    assert float(peak.read_text()) == 3


@pytest.mark.cuda
def test_steps_on_a_gpu():
    settings = GPU | {"model_flags": ["--model", "cut"], "dataroot": None, "precision": "auto", "size": 32,
                      "num_threads": 0, "folder": "none", "max_dataset_size": None, "profile": True,
                      "flags": "--ngf 2 --ndf 2 --netG resnet_4blocks --nce_layers 0,4"}
    found = project_worker.steps(settings)
    assert len(found["seconds"]) == 2 and found["precision"] != "auto"
    assert any("conv" in one["operation"] and one["seconds"] > 0 for one in found["operations"])


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
    settings = {"checkout": str(tmp_path / "checkout"), "command": "step", "size": 8,
                "model_flags": ["--model", "cut", "--CUT_mode", "FastCUT"], "batch_size": 1,
                "steps": 3, "warmup": 1, "threads": 1, "device": "cpu", "clock": "wall",
                "dataroot": None, "max_dataset_size": None, "num_threads": 0, "folder": str(tmp_path),
                "answer": str(tmp_path / "answer.json")}
    driver = ROOT / "scripts" / "benchmarks" / "workers" / "reference_worker.py"
    subprocess.run([sys.executable, str(driver), json.dumps(settings)], check=True)
    answer = json.loads((tmp_path / "answer.json").read_text())
    assert len(answer["seconds"]) == 3 and answer["images"] == 1 and answer["peak_MB"] > 0
