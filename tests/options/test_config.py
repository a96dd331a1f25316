"""--config: the options of a file, or of a run's record, in the place of defaults."""

import json
import sys
from pathlib import Path

import pytest

from options.describe import save_options
from options.train_options import TrainOptions
from util.errors import UsageError


@pytest.fixture
def written(tmp_path: Path):
    def write(content: object) -> str:
        path = tmp_path / "run.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)
    return write


def train(*flags: str):
    return TrainOptions().parse([*flags, "--gpu_ids", "-1"])


@pytest.fixture
def record(tmp_path: Path, monkeypatch):
    """Records a run with these flags as train.py does, and gives the path of its opt.json."""
    def run(*flags: str) -> Path:
        argv = [*flags, "--name", "first", "--checkpoints_dir", str(tmp_path), "--gpu_ids", "-1"]
        monkeypatch.setattr(sys, "argv", ["train.py", *argv])
        save_options(TrainOptions().parse(), tmp_path / "first")
        return tmp_path / "first" / "opt.json"
    return run


def test_values_stand_in_for_defaults_and_typed_flags_win(written):
    path = written({"ngf": 16, "lr": 0.001, "no_flip": True, "nce_layers": "0,4", "max_dataset_size": "inf"})
    for flags in (("--config", path, "--lr", "0.5"), ("--lr", "0.5", "--config", path)):
        opt = train(*flags)
        assert (opt.ngf, opt.lr, opt.no_flip, opt.nce_layers) == (16, 0.5, True, "0,4")
        assert opt.max_dataset_size == float("inf") and opt.ndf == 64
        assert opt.parsed.typed == {"config", "lr", "gpu_ids"}


def test_what_decides_on_other_defaults_does_so_from_a_file_too(written):
    """A mode, a model, a data set and a recipe; a value beside them beats theirs."""
    opt = train("--config", written({"CUT_mode": "fastcut", "n_epochs": 7}))
    assert (opt.CUT_mode, opt.lambda_NCE, opt.nce_idt, opt.n_epochs, opt.n_epochs_decay) == (
        "FastCUT", 10, False, 7, 50)
    opt = train("--config", written({"model": "sincut", "crop_size": 32, "mix_zooms": True}))
    assert (opt.netD, opt.crop_size, opt.ngf, opt.mix_zooms) == ("stylegan2", 32, 10, True)
    opt = train("--config", written({"dataset_mode": "aligned", "paired_ratio": 0.5}))
    assert opt.paired_ratio == 0.5
    opt = train("--config", written({"recipe": "monce", "lambda_NCE": 3.0}))
    assert (opt.nce_weighting, opt.lambda_NCE, opt.nce_ot_eps) == ("ot", 3.0, 0.1)
    assert train("--config", written({"recipe": "monce"}), "--recipe", "hdce_src").nce_loss == "dce"
    assert train("--config", written({"netG": "stylegan2"})).nce_layers == "0,2,4"


@pytest.mark.parametrize("flags", [
    "--CUT_mode FastCUT --lr 0.001 --netG resnet_6blocks", "--recipe hdce_src --lambda_NCE 2",
    "--model gcgan --geometry vf --no_flip", "--model sincut --crop_size 32 --lambda_R1 3",
    "--dataset_mode aligned --auxiliary l1=10,tv=1 --augment rotate90,scale=0.9:1.1"])
def test_a_run_is_repeated_from_its_record_alone(record, flags, tmp_path):
    path = record("--dataroot", "pictures", "--seed", "9", *flags.split())
    first = json.loads(path.read_text())["options"]
    again = train("--config", str(path), "--name", "second")
    differing = {name for name, value in first.items() if again.parsed.asked[name] not in (
        value, float("inf") if value == "inf" else value)}
    assert differing == {"name", "config", "checkpoints_dir"}
    assert again.seed == 9 and again.dataroot == "pictures"
    assert train("--config", str(tmp_path / "first")).seed == 9       # the run's folder will do


def test_a_runs_own_options_are_not_taken_over(record):
    path = record("--epoch_count", "3", "--force")
    opt = TrainOptions().parse(["--config", str(path)])
    assert (opt.name, opt.epoch_count, opt.force, opt.gpu_ids) == ("experiment_name", 1, False, "auto")


def test_a_resolved_choice_is_not_taken_over(record):
    path = record()
    found = json.loads(path.read_text())
    assert found["resolved"]["precision"] == "fp32"
    opt = train("--config", str(path))
    assert (opt.parsed.asked["precision"], opt.parsed.asked["channels_last"]) == ("auto", None)


def test_a_record_may_hold_names_of_another_model(record):
    path = record("--model", "cut", "--lambda_NCE", "3")
    opt = train("--config", str(path), "--model", "cycle_gan")
    assert opt.model == "cycle_gan" and not hasattr(opt, "lambda_NCE")


@pytest.mark.parametrize("content, says", [
    ("{", "run.json cannot be read"), ("[]3", "cannot be read"), ("3", "cannot be read"),
    ({"ngff": 3}, "run.json: there is no flag --ngff; did you mean --ngf?"),
    ({"ngf": "wide"}, "holds 'wide' for --ngf, which must be at least 1"),
    ({"netG": "nothing"}, "holds 'nothing' for --netG"), ({"CUT_mode": "cutt"}, "--CUT_mode is 'cutt'"),
    ({"CUT_mode": 3}, "holds 3 for --CUT_mode"), ({"auxiliary": "l9"}, "'l9' is none of"),
    ({"nce_layers": [0, 4]}, "holds [0, 4] for --nce_layers")])
def test_a_file_that_cannot_be(written, content, says):
    with pytest.raises(UsageError) as error:
        train("--config", written(content))
    assert says in str(error.value) and "\n" not in str(error.value)


def test_a_file_that_is_not_there():
    with pytest.raises(UsageError, match="--config nowhere.json cannot be read"):
        train("--config", "nowhere.json")


def test_a_resumed_run_has_its_own_options(written):
    with pytest.raises(UsageError, match="has no effect with --continue_train"):
        train("--config", written({}), "--continue_train")
