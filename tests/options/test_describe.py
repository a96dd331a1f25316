"""What a run records of its options, and what test.py and a resumed run read back of it."""

import json
import sys
from pathlib import Path

import pytest
import torch

from options.describe import describe, save_options
from options.test_options import TestOptions
from options.train_options import TrainOptions
from util.checkpoints.run_record import git_commit, read_options
from util.errors import UsageError

SMALL = "--netG resnet_6blocks --ngf 8 --crop_size 64 --load_size 72 --gpu_ids -1".split()


@pytest.fixture
def trained(tmp_path: Path, monkeypatch):
    """Records a run with these flags as train.py does."""
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
    assert lines.keys() >= opt.parsed.defaults.keys()
    assert lines["device"].startswith("device: CPU")
    assert not {"parsed", "isTrain"} & lines.keys()


def test_the_text_is_what_was_printed(trained, tmp_path):
    opt = trained("--no_flip")
    assert (tmp_path / "run" / "train_opt.txt").read_text() == describe(opt) + "\n"


def test_the_record_holds_options_command_and_versions(trained, tmp_path):
    opt = trained("--lambda_NCE", "2")
    record = json.loads((tmp_path / "run" / "opt.json").read_text())
    assert record["options"]["lambda_NCE"] == 2 and record["options"]["ngf"] == 8
    assert record["options"].keys() == opt.parsed.defaults.keys()
    assert record["command"][1:] == sys.argv and record["command"][0].startswith("python")
    assert record["versions"]["torch"] == torch.__version__
    assert record["git_commit"] == git_commit()
    assert record["device"].startswith("CPU")


def test_options_come_back_as_they_were(trained, tmp_path):
    opt = trained()
    found = read_options(tmp_path / "run")
    chosen = {"precision": "auto", "channels_last": None, "compile": None}      # not what they became here
    assert found == {name: getattr(opt, name) for name in opt.parsed.defaults} | chosen
    assert found["max_dataset_size"] == float("inf") and found["display_id"] is None
    json.loads((tmp_path / "run" / "opt.json").read_text(), parse_constant=pytest.fail)    # no bare Infinity


# ---- read back by test.py

def test_translation_takes_the_architecture_from_the_record(trained, translate):
    trained("--normG", "batch", "--no_antialias", "--direction", "BtoA", "--CUT_mode", "FastCUT",
            "--max_dataset_size", "7", "--phase", "train2", "--batch_size", "5")
    opt = translate()
    assert (opt.netG, opt.ngf, opt.normG, opt.no_antialias) == ("resnet_6blocks", 8, "batch", True)
    assert (opt.direction, opt.CUT_mode, opt.crop_size, opt.load_size) == ("BtoA", "FastCUT", 64, 64)
    # Not the architecture's: these are the translation's own.
    assert (opt.max_dataset_size, opt.phase, opt.batch_size) == (float("inf"), "test", 1)
    assert not opt.isTrain and opt.parsed.typed == {"name", "checkpoints_dir", "gpu_ids"}


def test_what_is_typed_wins(trained, translate):
    trained("--normG", "batch")
    opt = translate(*"--netG resnet_9blocks --direction BtoA --crop_size 32 --load_size 48".split())
    assert (opt.netG, opt.ngf, opt.normG, opt.direction) == ("resnet_9blocks", 8, "batch", "BtoA")
    assert (opt.crop_size, opt.load_size) == (32, 48)


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


# ---- read back by a resumed run

@pytest.fixture
def resume(tmp_path: Path):
    def parse(*flags: str):
        return TrainOptions().parse(["--continue_train", "--name", "run", "--checkpoints_dir", str(tmp_path),
                                     *flags])
    return parse


@pytest.fixture
def a_gpu_appears(monkeypatch):
    """Lets torch tell of one GPU that has bfloat16 in hardware."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))


def rewrite(path: Path, **options: object) -> None:
    """Change options in an opt.json."""
    record = json.loads(path.read_text())
    record["options"] |= options
    path.write_text(json.dumps(record))


def test_what_is_not_typed_is_as_it_was(trained, resume):
    trained("--lr", "0.5", "--seed", "7", "--no_html")
    opt = resume("--gpu_ids", "-1", "--lr", "0.25")
    assert (opt.lr, opt.seed, opt.no_html, opt.ngf) == (0.25, 7, True, 8)
    assert opt.parsed.changed == "changed on resuming: --lr 0.5 to 0.25"
    assert opt.parsed.typed == {"continue_train", "name", "checkpoints_dir", "gpu_ids", "lr"}


def test_where_a_run_is_and_begins_is_not_taken_over(trained, resume):
    trained("--epoch_count", "3", "--force")
    opt = resume()
    assert (opt.gpu_ids, opt.epoch_count, opt.force) == ("auto", 1, False)      # it was recorded with -1
    assert opt.parsed.changed == ""


@pytest.mark.parametrize("flags, change", [
    ("--ngf 16", "--ngf 8 to 16"), ("--netD pixel", "--netD basic to pixel"), ("--normG none", "--normG"),
    ("--no_antialias", "--no_antialias False to True"), ("--no_dropout no", "--no_dropout True to False"),
    ("--direction BtoA", "--direction AtoB to BtoA"), ("--nce_layers 0", "--nce_layers 0,4,8,12,16 to 0"),
    ("--CUT_mode fastcut", "--CUT_mode CUT to FastCUT"), ("--netF sample", "--netF mlp_sample to sample"),
    ("--netF_nc 9", "--netF_nc 256 to 9"), ("--model gcgan", "--model cut to gcgan")])
def test_a_resumed_run_keeps_its_networks(trained, resume, flags, change):
    trained()
    with pytest.raises(UsageError, match="keeps the networks and the recipe, but this changes") as error:
        resume("--gpu_ids", "-1", *flags.split())
    assert change in str(error.value)


def test_a_resumed_run_keeps_its_number_of_generators(trained, resume):
    trained("--model", "gcgan")
    with pytest.raises(UsageError, match="this changes --separate_generators False to True: leave that out"):
        resume("--separate_generators")
    assert resume("--lambda_gc", "3").parsed.changed == "changed on resuming: --lambda_gc 20.0 to 3.0"


@pytest.mark.parametrize("flags", ["--init_type normal", "--init_gain 0.5", "--crop_size 72", "--lr 1"])
def test_what_the_networks_do_not_depend_on_may_change(trained, resume, flags):
    trained()
    name, value = flags.split()
    assert str(getattr(resume(name, value), name[2:])) in (value, f"{value}.0")


@pytest.mark.parametrize("name, value, wish", [
    ("lr", 0, "above 0"), ("batch_size", 1.5, "at least 1"), ("batch_size", True, "at least 1"),
    ("n_epochs", "many", "at least 0"), ("beta1", float("nan"), "at least 0 and below 1")])
def test_a_recorded_value_obeys_its_flags_bounds(trained, resume, tmp_path, name, value, wish):
    trained()
    rewrite(tmp_path / "run" / "opt.json", **{name: value})
    with pytest.raises(UsageError, match=f"opt.json holds {value!r} for --{name}, which must be {wish}"):
        resume("--gpu_ids", "-1")


# ---- what is chosen automatically

def test_an_automatic_choice_is_recorded_as_such_and_shown_with_its_outcome(trained, tmp_path):
    opt = trained()
    assert (opt.precision, opt.channels_last) == ("fp32", False)
    record = json.loads((tmp_path / "run" / "opt.json").read_text())
    assert (record["options"]["precision"], record["options"]["channels_last"]) == ("auto", None)
    assert record["resolved"] == {"precision": "fp32", "channels_last": False, "compile": False}
    lines = [line.strip() for line in (tmp_path / "run" / "train_opt.txt").read_text().splitlines()]
    assert "precision: auto -> fp32" in lines and "channels_last: auto -> False" in lines


def test_a_run_of_a_cpu_goes_on_in_bf16_on_a_gpu(trained, resume, a_gpu_appears):
    trained()
    opt = resume("--gpu_ids", "auto")
    assert (opt.device.type, opt.precision, opt.channels_last) == ("cuda", "bf16", False)
    assert opt.parsed.changed == ""


def test_a_typed_precision_stays_on_any_device(trained, resume, a_gpu_appears):
    trained("--precision", "fp32", "--channels_last")
    opt = resume("--gpu_ids", "auto")
    assert (opt.device.type, opt.precision, opt.channels_last) == ("cuda", "fp32", True)


@pytest.mark.parametrize("typed, asked, on_a_cpu, on_a_gpu", [
    ((), (None, False), (False, False), (False, False)),
    (("--compile", "auto", "--cuda_graph", "auto"), (None, None), (False, False), (False, True)),
    (("--compile", "--cuda_graph"), (True, True), (True, True), (True, True)),
    (("--compile", "false", "--cuda_graph", "False"), (False, False), (False, False), (False, False))])
def test_compile_and_graph_are_recorded_as_asked(trained, resume, tmp_path, a_gpu_appears, typed, asked,
                                                 on_a_cpu, on_a_gpu):
    """No default is a graph until a GPU has run one; auto is one, on a GPU alone, and is recorded as null."""
    opt = trained(*typed)
    assert (opt.compile, opt.cuda_graph) == on_a_cpu
    options = json.loads((tmp_path / "run" / "opt.json").read_text())["options"]
    assert (options["compile"], options["cuda_graph"]) == asked
    for device, wanted in (("-1", on_a_cpu), ("auto", on_a_gpu)):
        opt = resume("--gpu_ids", device)
        assert (opt.compile, opt.cuda_graph, opt.parsed.changed) == (*wanted, "")


def test_the_order_of_feature_maps_follows_the_precision(trained, resume):
    assert trained("--precision", "bf16").channels_last     # on a CPU
    assert resume("--gpu_ids", "-1").channels_last
    assert not resume("--gpu_ids", "-1", "--channels_last", "false").channels_last


def test_a_record_that_holds_outcomes_is_still_read(trained, resume, tmp_path, a_gpu_appears):
    """Earlier versions wrote fp32 where auto had been meant: nobody can tell, so it is what was asked."""
    trained()
    rewrite(tmp_path / "run" / "opt.json", precision="fp32", channels_last=False)
    opt = resume("--gpu_ids", "auto")
    assert (opt.precision, opt.channels_last, opt.parsed.changed) == ("fp32", False, "")


# ---- plug-ins

class PlugIn:
    """A model's flags, one of them plain, one with a fact about it."""

    @staticmethod
    def modify_commandline_options(parser, is_train):
        parser.add_argument("--lambda_L1", type=float, default=100.0, help="weight of a loss")
        parser.add_argument("--depth", type=int, default=2, architecture=True, help="layers of a network")
        return parser


@pytest.fixture
def plug_in(monkeypatch):
    monkeypatch.setattr("options.base_options.find_model", lambda name: PlugIn)


def test_flags_of_a_plug_in_are_read_back_for_translation(plug_in, trained, translate):
    trained("--lambda_L1", "3", "--depth", "5")
    opt = translate()
    assert (opt.lambda_L1, opt.depth) == (3.0, 5)


def test_a_plug_in_tells_which_flags_decide_the_architecture(plug_in, trained, resume):
    trained("--lambda_L1", "3", "--depth", "5")
    opt = resume("--gpu_ids", "-1", "--lambda_L1", "4")
    assert (opt.lambda_L1, opt.depth) == (4.0, 5)
    with pytest.raises(UsageError, match="this changes --depth 5 to 6: leave that out"):
        resume("--gpu_ids", "-1", "--depth", "6")


def test_a_plug_ins_numbers_are_checked_too(plug_in, trained, monkeypatch):
    with pytest.raises(UsageError, match="--lambda_L1 is nan; it must be a number"):
        trained("--lambda_L1", "nan")
    monkeypatch.setattr(PlugIn, "modify_commandline_options",
                        staticmethod(lambda parser, is_train: parser.set_defaults(lr=-1.0)))
    with pytest.raises(UsageError, match="--lr is -1.0; it must be above 0 and finite"):
        trained()
