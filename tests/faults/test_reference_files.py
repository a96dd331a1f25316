"""Models and data sets in the reference's form, as real processes: stopped, killed, refused."""

from pathlib import Path

import pytest

from tests.faults.programs import Program
from tests.faults.table import tally
from tests.faults.test_bad_input import contents
from tests.faults.trainings import CUT, Training, assert_equal
from tests.reference_files import HERE

TRAP = ("drop_in", str(HERE))
EPOCHS = ["--n_epochs", "2", "--n_epochs_decay", "1", "--save_epoch_freq", "2", "--save_latest_freq", "4"]
NCE = ("--netF_nc", "8", "--nce_layers", "0,4,8", "--num_patches", "16")
PLAIN = [flag for flag in CUT if flag not in NCE]
FILES = {
    "a subclass of CUT with a head": [*CUT, *EPOCHS, "--model", "headed", "--dataset_mode", "masked"],
    "a model with pools and a slow G": [*PLAIN, *EPOCHS, "--model", "plain", "--dataset_mode", "paired",
                                        "--pool_size", "2"],
}


@pytest.mark.parametrize("workers", ["0", "2"])
@pytest.mark.parametrize("name", FILES)
def test_stopped_killed_and_resumed_it_equals_the_undisturbed_one(
        name: str, workers: str, images: Path, tmp_path: Path) -> None:
    whole = Training(tmp_path / "whole", images, [*FILES[name], "--num_threads", "0"], trap=TRAP)
    program = whole.run()
    assert program.end() == 0, program.err
    training = Training(tmp_path / "cut", images, [*FILES[name], "--num_threads", workers], trap=TRAP)
    with tally(f"stopped, killed and resumed: {name}"):
        training.stop_after(3)
        program = training.start(resume=True)
        assert program.until(lambda: training.stepped(program, 9)), program.err
        program.kill()
        assert training.run(resume=True).end() == 0
        assert_equal(training, whole)


@pytest.mark.parametrize("script, flags, says", [
    ("train.py", ["--model", "broken"], "models/broken_model.py, line 6 asks for what is not here: Attri"),
    ("train.py", ["--model", "headed"], "the model asks the data for 'mask', but a minibatch holds"),
    ("train.py", ["--model", "asking"], "asks for the option lambda_nothing, which no flag of ours"),
    ("train.py", ["--dataset_mode", "keyless"], "data/keyless_dataset.py gives items without 'A_paths'"),
    ("test.py", ["--model", "broken"], "models/broken_model.py, line 6 asks for what is not here")])
def test_what_cannot_be_served_is_one_line_and_nothing_written(
        script: str, flags: list[str], says: str, images: Path, tmp_path: Path) -> None:
    files = tmp_path / "files"
    for room, name, text in (("models", "broken_model.py", BROKEN), ("models", "asking_model.py", ASKING),
                             ("data", "keyless_dataset.py", KEYLESS)):
        (files / room).mkdir(parents=True, exist_ok=True)
        (files / room / name).write_text(text)
    for helper in ("headed_model.py", "headed_parts.py"):
        (files / "models" / helper).write_text((HERE / "models" / helper).read_text())
    before = contents(files)
    arguments = [*flags, "--dataroot", str(images), "--checkpoints_dir", str(tmp_path / "checkpoints"),
                 "--gpu_ids", "-1", "--num_threads", "0", "--crop_size", "32", "--load_size", "36"]
    with tally("files that cannot be served: one line, exit code"):
        program = Program(script, arguments, tmp_path / "log", ("drop_in", str(files)))
        assert program.end() == 2, program.err
        line, = program.err.splitlines()
        assert line.startswith(f"{script}: error: ") and says in line
        assert not (tmp_path / "checkpoints").exists() and contents(files).keys() >= before.keys()


BROKEN = '''
from .base_model import BaseModel
from . import networks
class BrokenModel(BaseModel):
    def __init__(self, opt):
        self.netG = networks.ResnetMaker(opt)
    def set_input(self, input): pass
    def forward(self): pass
    def optimize_parameters(self): pass
'''
ASKING = '''
from .cut_model import CUTModel
class AskingModel(CUTModel):
    def compute_G_loss(self):
        self.loss_extra = self.fake_B.mean() * self.opt.lambda_nothing
        return super().compute_G_loss() + self.loss_extra
'''
KEYLESS = '''
import torch
from data.base_dataset import BaseDataset
class KeylessDataset(BaseDataset):
    def __len__(self):
        return 4
    def __getitem__(self, index):
        return {"A": torch.zeros(3, 32, 32), "B": torch.zeros(3, 32, 32)}
'''
