"""The benchmark's workers: our steps of every model, and the reference's driver on a toy checkout."""

import json
import subprocess
import sys
from pathlib import Path

from scripts.benchmarks import project_worker
from scripts.benchmarks.cases import MODELS

ROOT = Path(__file__).resolve().parents[3]


def test_every_model_steps():
    for name, flags in MODELS.items():
        sincut = name == "SinCUT"
        # Of one patch a crop, SinCUT needs two crops to have a negative.
        settings = {"model_flags": flags.split(), "dataroot": None, "precision": "fp32", "size": 32,
                    "batch_size": 2 if sincut else 1, "num_threads": 0, "device": "cpu", "folder": "none",
                    "max_dataset_size": None, "warmup": 1, "steps": 2, "profile": False, "clock": "wall",
                    "flags": f"--ngf 2 --ndf 2 --netG {'smallstylegan2' if sincut else 'resnet_4blocks'}"}
        settings["flags"] += " --nce_layers 0,4" if name in ("CUT", "FastCUT") else ""
        found = project_worker.steps(settings)
        assert len(found["seconds"]) == 2 and min(found["seconds"]) > 0, name
        assert found["images"] == settings["batch_size"], name


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
    driver = ROOT / "scripts" / "benchmarks" / "reference_worker.py"
    subprocess.run([sys.executable, str(driver), json.dumps(settings)], check=True)
    answer = json.loads((tmp_path / "answer.json").read_text())
    assert len(answer["seconds"]) == 3 and answer["images"] == 1 and answer["peak_MB"] > 0
