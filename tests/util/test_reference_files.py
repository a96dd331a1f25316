"""Which files count as written for the reference, what their imports lead to, and the lines they end in."""

import sys
from pathlib import Path

import pytest

from data import find_dataset
from models import find_model
from models.reference_api import networks
from models.reference_api.adapter import ReferenceModel
from tests.reference_files import HERE, dropped_in
from util.errors import UsageError
from util.reference_files import is_reference_file

ROOT = Path(__file__).parents[2]
SMOOTH = """
from models.cut_model import CUTModel
class XModel(CUTModel):
    def compute_G_loss(self):
        self.losses["TV"] = self.fake_B.abs().mean()
        return super().compute_G_loss() + self.losses["TV"]
"""
TERM = """
from .cut_model import CUTModel
class XModel(CUTModel):
    def compute_G_loss(self):
        self.loss_tv = self.fake_B.abs().mean()
        return super().compute_G_loss() + self.loss_tv
"""
OWN_INPUT = """
from models.cut_model import CUTModel
class X_Model(CUTModel):
    def set_input(self, input):
        self.real_A = input["A"]
"""
MORE_INPUT = OWN_INPUT.replace('self.real_A = input["A"]', "super().set_input(input)")
CHILD = "from .plain_model import PlainModel\nclass XModel(PlainModel):\n    pass"
FLAGS = "from models.cut_model import CUTModel\nclass XModel(CUTModel):\n    pass"
IMPORTS = '''
import models.networks
import models.networks as other
import models.networks.{package}
from models import networks
from models.networks import define_G
from models.base_model import BaseModel
from data import create_dataset
from data.base_dataset import get_transform
import util.util as util
from .headed_parts import Head
class XModel(BaseModel):
    seen = (models.networks, other, networks)
    def set_input(self, input): pass
    def forward(self): pass
    def optimize_parameters(self): pass
'''


@pytest.mark.parametrize("path", sorted([*ROOT.glob("models/*_model.py"), *ROOT.glob("data/*_dataset.py")]))
def test_none_of_ours_counts_as_one(path):
    assert not is_reference_file(path, path.stem.replace("_", ""))


@pytest.mark.parametrize("path", sorted(HERE.glob("*/*_[md]*.py")))
def test_those_in_the_references_form_do(path):
    assert is_reference_file(path, path.stem.replace("_", "")) or path.stem == "headed_parts"


@pytest.mark.parametrize("text, expected", [
    (SMOOTH, False), (TERM, True), (OWN_INPUT, True), (MORE_INPUT, False), (CHILD, True), (FLAGS, False),
    ("class XModel(", False), ("class YModel: pass", False)])
def test_what_a_class_defines_decides(text, expected, tmp_path):
    (tmp_path / "x_model.py").write_text(text)
    (tmp_path / "plain_model.py").write_text((HERE / "models/plain_model.py").read_text())
    (tmp_path / "cut_model.py").write_text((ROOT / "models/cut_model.py").read_text())
    assert is_reference_file(tmp_path / "x_model.py", "xmodel") == expected


@pytest.fixture
def drop(tmp_path):
    """A function that puts a file beside ours and finds its class."""
    for room in ("models", "data"):
        (tmp_path / room).mkdir()
    with dropped_in(), dropped_in(tmp_path):
        def dropped(text: str, name: str = "models/x_model.py"):
            (tmp_path / name).write_text(text)
            return find_model("x") if name.startswith("models") else find_dataset("x")
        yield dropped


def test_every_way_to_import_leads_to_the_references_names(drop):
    found = drop(IMPORTS.replace("import models.networks.{package}\n", ""))
    assert issubclass(found, ReferenceModel)
    assert [module is networks for module in found.written.seen] == [True] * 3


def test_a_patchnce_that_came_along_wins(drop, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "models.reference_api.patchnce", raising=False)
    (tmp_path / "models/patchnce.py").write_text("class PatchNCELoss2: pass")
    text = (HERE / "models/plain_model.py").read_text().replace("PlainModel", "XModel")
    found = drop("from .patchnce import PatchNCELoss2\n" + text)
    module = sys.modules[found.written.__module__]
    assert module.PatchNCELoss2.__module__ == "models.reference_api.patchnce"


@pytest.mark.parametrize("text, words", [
    ("import no_such_package\n", "x_model.py needs the package no_such_package, which is not installed"),
    ("from .patchnce import PatchNCELoss9\n", "x_model.py, line 1 asks for what is not here: ImportError"),
    ("from .networks import ResnetMaker\n", "cannot import name 'ResnetMaker' from 'models.networks'"),
    ("from .sincut_model import SinCUTModel\n", "builds on models/sincut_model.py, which is there in this"),
    ("from .no_helper import x\n", "x_model.py needs models/no_helper.py, which is not here: copy it, too"),
    ("from util.visualizer import x\n", "x_model.py needs util/visualizer.py, which is not here"),
    ("1 / 0\n", "line 1 asks for what is not here: ZeroDivisionError")])
def test_what_cannot_be_served_is_one_line(text, words, drop):
    body = "from .base_model import BaseModel\nclass XModel(BaseModel):\n    def forward(self): pass\n"
    with pytest.raises(UsageError, match=words):
        drop(text + body)


def test_a_data_set_on_torchs_class_is_served(drop):
    text = ("from torch.utils.data import Dataset\nclass XDataset(Dataset):\n"
            "    def __getitem__(self, index): pass\n    def __len__(self): return 1\n")
    assert find_dataset("unaligned").__name__ == "UnalignedDataset"
    assert drop(text, "data/x_dataset.py").written.__name__ == "XDataset"
