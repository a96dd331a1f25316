"""What a run keeps of its options, and that test.py reads the networks' shape back from it."""

import json
import sys
from pathlib import Path

import pytest
import torch

from options.record import describe, git_commit, read_options, save_options
from options.test_options import TestOptions
from options.train_options import TrainOptions
from util.errors import UsageError

SMALL = "--netG resnet_6blocks --ngf 8 --crop_size 64 --load_size 72 --gpu_ids -1".split()


@pytest.fixture
def trained(tmp_path: Path, monkeypatch):
    """Records a training of these flags as train.py does."""
    def record(*flags: str, name: str = "run"):
        argv = [*SMALL, *flags, "--name", name, "--checkpoints_dir", str(tmp_path)]
        monkeypatch.setattr(sys, "argv", ["train.py", *argv])
        opt = TrainOptions().parse()
        save_options(opt, tmp_path / name)
        return opt
    return record


@pytest.fixture
def translate(tmp_path: Path):
    def parse(*flags: str, name: str = "run"):
        argv = ["--name", name, "--checkpoints_dir", str(tmp_path), "--gpu_ids", "-1", *flags]
        return TestOptions().parse(argv)
    return parse


def test_what_differs_from_the_default_is_marked():
    opt = TrainOptions().parse([*SMALL, "--CUT_mode", "FastCUT", "--no_flip"])
    lines = {line.split(":")[0].strip(): line for line in describe(opt).splitlines()}
    assert lines["ngf"].split() == ["ngf:", "8", "[default:", "64]"]
    assert lines["no_flip"].split() == ["no_flip:", "True", "[default:", "False]"]
    assert lines["ndf"].split() == ["ndf:", "64"]
    assert lines["n_epochs"].split() == ["n_epochs:", "150"]        # FastCUT's own default
    assert lines.keys() >= {name for name in opt.defaults}
    assert lines["device"].startswith("device: CPU")
    assert not {"typed", "defaults", "isTrain"} & lines.keys()


def test_the_text_is_what_was_printed(trained, tmp_path):
    opt = trained("--no_flip")
    assert (tmp_path / "run" / "train_opt.txt").read_text() == describe(opt) + "\n"


def test_the_record_holds_options_command_and_versions(trained, tmp_path):
    opt = trained("--lambda_NCE", "2")
    record = json.loads((tmp_path / "run" / "opt.json").read_text())
    assert record["options"]["lambda_NCE"] == 2 and record["options"]["ngf"] == 8
    assert record["options"].keys() == opt.defaults.keys()
    assert record["command"][1:] == sys.argv and record["command"][0].startswith("python")
    assert record["versions"]["torch"] == torch.__version__
    assert record["git_commit"] == git_commit()
    assert record["device"].startswith("CPU")


def test_options_come_back_as_they_were(trained, tmp_path):
    opt = trained()
    found = read_options(tmp_path / "run")
    assert found == {name: getattr(opt, name) for name in opt.defaults}
    assert found["max_dataset_size"] == float("inf") and found["display_id"] is None
    json.loads((tmp_path / "run" / "opt.json").read_text(), parse_constant=pytest.fail)    # no bare Infinity


def test_the_commit_is_forty_digits_or_none():
    commit = git_commit()
    assert commit is None or len(commit.removesuffix("+")) == 40 and int(commit.removesuffix("+"), 16) > 0


# ---- read back by test.py

def test_translation_takes_the_architecture_from_the_record(trained, translate):
    trained("--normG", "batch", "--no_antialias", "--direction", "BtoA", "--CUT_mode", "FastCUT",
            "--max_dataset_size", "7", "--phase", "train2", "--batch_size", "5")
    opt = translate()
    assert (opt.netG, opt.ngf, opt.normG, opt.no_antialias) == ("resnet_6blocks", 8, "batch", True)
    assert (opt.direction, opt.CUT_mode, opt.crop_size, opt.load_size) == ("BtoA", "FastCUT", 64, 64)
    # Not the architecture's: these are the translation's own.
    assert (opt.max_dataset_size, opt.phase, opt.batch_size) == (float("inf"), "test", 1)
    assert not opt.isTrain and opt.typed == {"name", "checkpoints_dir", "gpu_ids"}


def test_what_is_typed_wins(trained, translate):
    trained("--normG", "batch")
    opt = translate(*"--netG resnet_9blocks --direction BtoA --crop_size 32 --load_size 48".split())
    assert (opt.netG, opt.ngf, opt.normG, opt.direction) == ("resnet_9blocks", 8, "batch", "BtoA")
    assert (opt.crop_size, opt.load_size) == (32, 48)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_was_chosen_by_itself_goes_on(trained, tmp_path, precision):
    """--channels_last has no default of its own: it comes of the precision and the device."""
    opt = trained("--precision", precision)
    assert opt.channels_last == (precision == "bf16")
    resume = ["--continue_train", "--name", "run", "--checkpoints_dir", str(tmp_path), "--gpu_ids", "-1"]
    again = TrainOptions().parse(resume)
    assert (again.precision, again.channels_last) == (precision, opt.channels_last)
    assert not TrainOptions().parse([*resume, "--channels_last", "false"]).channels_last


def test_the_model_is_read_from_the_record_too(trained, translate):
    trained("--model", "cycle_gan")
    opt = translate()
    assert opt.model == "cycle_gan" and not hasattr(opt, "lambda_NCE")
    assert translate("--model", "cut").model == "cut"


def test_the_record_is_found_by_the_whole_name(trained, translate, tmp_path):
    opt = trained("--suffix", "{netG}")
    assert opt.name == "run_resnet_6blocks"
    save_options(opt, tmp_path / opt.name)
    assert translate(name=opt.name).ngf == 8
    assert translate("--suffix", "{netG}", "--netG", "resnet_6blocks").ngf == 8


def test_without_a_record_flags_and_defaults_decide(translate):
    opt = translate("--ngf", "16", name="published")
    assert (opt.netG, opt.ngf, opt.crop_size, opt.load_size) == ("resnet_9blocks", 16, 256, 256)


def test_a_record_of_another_program_version_is_no_obstacle(trained, translate, tmp_path):
    trained()
    path = tmp_path / "run" / "opt.json"
    record = json.loads(path.read_text())
    record["options"]["flag_of_the_future"] = 3
    del record["options"]["normG"]
    path.write_text(json.dumps(record))
    opt = translate()
    assert opt.normG == "instance" and opt.ngf == 8 and not hasattr(opt, "flag_of_the_future")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"options": 3}', "\udce4"])
def test_a_damaged_record_is_named(translate, tmp_path, content):
    path = tmp_path / "run" / "opt.json"
    path.parent.mkdir()
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError) as error:
        translate()
    assert f"{path} cannot be read" in str(error.value) and "\n" not in str(error.value)


def test_translation_writes_its_own_text_and_leaves_the_record(trained, translate, tmp_path):
    trained()
    before = (tmp_path / "run" / "opt.json").read_bytes()
    opt = translate("--ngf", "9")
    save_options(opt, tmp_path / "run")
    assert (tmp_path / "run" / "opt.json").read_bytes() == before
    assert (tmp_path / "run" / "test_opt.txt").read_text() == describe(opt) + "\n"
    assert {p.name for p in (tmp_path / "run").iterdir()} == {"opt.json", "train_opt.txt", "test_opt.txt"}
