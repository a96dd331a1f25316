"""Wrong command lines, folders and checkpoints: one clear line, the right exit code, nothing half-written."""

import shutil
from pathlib import Path

import pytest
import torch

from tests.faults.bad_inputs import RUN, TRAINING, TRANSLATION, Bad, intrude
from tests.faults.programs import Program
from tests.faults.table import tally
from tests.faults.trainings import CUT, QUICK, Training

ONCE = [*CUT, "--n_epochs", "1", "--n_epochs_decay", "0", "--num_threads", "0",
        "--save_latest_freq", "3"]


@pytest.fixture(scope="module")
def over(tmp_path_factory: pytest.TempPathFactory, images: Path) -> Training:
    training = Training(tmp_path_factory.mktemp("over"), images, ONCE)
    assert training.run().end() == 0
    return training


@pytest.mark.parametrize("script, bad", [
    *(pytest.param("train.py", bad, id=f"train.py {name}") for name, bad in TRAINING.items()),
    *(pytest.param("test.py", bad, id=f"test.py {name}") for name, bad in TRANSLATION.items())])
def test_one_line_and_nothing_half_written(
        script: str, bad: Bad, over: Training, images: Path, tmp_path: Path,
        tmp_path_factory: pytest.TempPathFactory) -> None:
    shutil.copytree(over.folder, tmp_path / RUN)
    (tmp_path / "images").symlink_to(images)
    bad.prepare(tmp_path)
    before = contents(tmp_path)
    base = ["--name", "run", "--gpu_ids", "-1"]
    if script == "train.py" and "--continue_train" not in bad.arguments:
        small = ONCE if bad.model == "cut" else [*QUICK, "--num_threads", "0"]
        base = [*small, "--name", "new"]
    base += ["--dataroot", str(images), "--checkpoints_dir", str(tmp_path / "checkpoints")]
    if script == "test.py":
        base += ["--results_dir", str(tmp_path / "results"), "--num_threads", "0"]
    typed = [argument.replace("@", str(tmp_path)) for argument in bad.arguments.split()]
    with tally(f"bad input to {script}: one line, exit code"):
        program = Program(script, [*base, *typed], tmp_path_factory.mktemp("log") / "log")
        assert program.end() == bad.code, program.err
        lines = program.err.splitlines()
        assert lines[-1].startswith(f"{script}: error: ") and bad.says in lines[-1]
        assert all(line.startswith("bad image: ") for line in lines[:-1])
        assert not (tmp_path / "intruded").exists()
        if bad.code == 2:
            assert contents(tmp_path) == before


def contents(folder: Path) -> dict[str, bytes]:
    """Every file by its path, and every folder."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
            for path in folder.rglob("*")}


def test_the_code_in_the_checkpoints_would_run(tmp_path: Path) -> None:
    """A loader that executes code does notice it: that the tests above see nothing of it means something."""
    intrude("code.pth")(tmp_path)
    torch.load(tmp_path / "code.pth", weights_only=False)
    assert (tmp_path / "intruded").is_dir()
