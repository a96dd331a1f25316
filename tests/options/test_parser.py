"""Reading a command line: any argv, help, flags that nobody knows, GPUs, names."""

import json
import re
import sys
from pathlib import Path

import pytest
import torch

from options import devices
from options.devices import resolve_device
from options.test_options import TestOptions
from options.train_options import TrainOptions
from util.errors import UsageError
from util.flags import switch

REFERENCE = json.loads((Path(__file__).parents[1] / "golden" / "options.json").read_text())["flags"]


def train(*flags: str):
    return TrainOptions().parse([*flags, "--gpu_ids", "-1"])


def test_reads_the_list_it_is_given_and_no_other(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train.py", "--lr", "0.5", "--CUT_mode", "FastCUT", "--gpu_ids", "-1"])
    assert train().lr == 0.0002 and train().lambda_NCE == 1
    typed = TrainOptions().parse()
    assert (typed.lr, typed.lambda_NCE) == (0.5, 10)


def test_knows_what_was_typed_and_what_the_defaults_were():
    opt = train("--CUT_mode", "fastcut", "--lambda_NCE=10", "--no_flip")
    assert opt.parsed.typed == {"CUT_mode", "lambda_NCE", "no_flip", "gpu_ids"}
    defaults = opt.parsed.defaults
    assert (defaults["lambda_NCE"], defaults["no_flip"], defaults["n_epochs"]) == (10, False, 150)
    assert opt.parsed.changed == ""
    assert opt.isTrain and not TestOptions().parse(["--gpu_ids=-1"]).isTrain


# ---- help

@pytest.mark.parametrize("options, phase, titles", [
    (TrainOptions, "train", ["training", "saving and resuming", "records"]),
    (TestOptions, "test", ["translation"])])
def test_help_names_every_flag_under_a_title(capsys, options, phase, titles):
    with pytest.raises(SystemExit) as ended:
        options().parse(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    found = re.findall(r"^(\w[\w ]*):$", text, re.MULTILINE)
    assert {"run", "networks", "images", *titles, "model"} <= set(found)
    described = dict(re.findall(r"^  (?:-h, )?(--\w+)((?:.|\n   +)*)$", text, re.MULTILINE))
    flags = [f"--{name}" for name, row in REFERENCE.items()
             if phase in row and (not isinstance(row[phase], dict) or "cut" in row[phase])]
    assert [flag for flag in flags if flag not in described] == []
    for flag, rest in described.items():
        assert re.search(r"[a-z]{3,}.* [a-z]+", rest.replace("\n", " ")), f"{flag} has no help"


def test_help_tells_defaults(capsys):
    for argv, default in (([], "200"), (["--CUT_mode", "FastCUT"], "150"), (["--model", "sincut"], "8")):
        with pytest.raises(SystemExit):
            TrainOptions().parse([*argv, "-h"])
        text = capsys.readouterr().out
        assert re.search(rf"--n_epochs N_EPOCHS .*\(default:\s+{default}\)", text)
    assert "--lambda_R1" in text        # sincut's own flag


# ---- what nobody knows

@pytest.mark.parametrize("flag, near", [("--bach_size", "--batch_size"), ("--batch", "--batch_size"),
                                        ("--n_epoch=3", "--n_epochs"), ("--lambda_nce", "--lambda_NCE")])
def test_an_unknown_flag_is_told_its_neighbour(flag, near):
    with pytest.raises(UsageError) as error:
        train(flag, "2")
    assert str(error.value) == f"there is no flag {flag.split('=')[0]}; did you mean {near}?"


def test_a_flag_like_no_other_points_to_help():
    with pytest.raises(UsageError, match=r"there is no flag --xyzzy \(--help lists all flags\)"):
        train("--xyzzy")


def test_a_word_without_a_flag():
    with pytest.raises(UsageError, match="'photos' belongs to no flag; quote a value that holds spaces"):
        train("--name", "my", "photos")


@pytest.mark.parametrize("value", ["-50:50", "-.5:1", "-1000:-1"])
def test_a_range_may_begin_with_a_minus(value):
    assert TrainOptions().parse(["--dataroot", "x", "--value_range", value]).value_range == value


@pytest.mark.parametrize("flags, message", [
    ("--lr abc", "--lr is 'abc'; it must be a number"), ("--lr", "--lr: expected one argument"),
    ("--max_dataset_size few", "--max_dataset_size is 'few'; it must be a whole number or inf")])
def test_a_value_of_the_wrong_kind(flags, message):
    with pytest.raises(UsageError) as error:
        TrainOptions().parse(flags.split())
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("flags, message", [
    ("--model nothing", r"--model is 'nothing', .* no models/nothing_model\.py; choose one of .*cut"),
    ("--dataset_mode nothing", r"there is no data/nothing_dataset\.py; choose one of .*single.*unaligned"),
    ("--model base", "choose one of")])
def test_an_unknown_plug_in_lists_those_that_exist(flags, message):
    with pytest.raises(UsageError, match=message) as error:
        train(*flags.split())
    assert "base" not in str(error.value).split("choose one of")[1]


# ---- devices

def test_devices(monkeypatch):
    """The choice between GPUs that are there, which a machine without any can only be told about."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    current = []
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    for text, device in (("auto", "cuda:0"), ("0", "cuda:0"), ("1", "cuda:1"), ("-1", "cpu"), ("", "cpu")):
        assert resolve_device(text) == torch.device(device)
    assert current == [torch.device("cuda:0"), torch.device("cuda:0"), torch.device("cuda:1")]
    with pytest.raises(UsageError, match="--gpu_ids is 2, but PyTorch sees 2 GPUs here; use auto, or -1"):
        resolve_device("2")
    with pytest.raises(UsageError, match="--gpu_ids is 'first'; give auto"):
        resolve_device("first")


@pytest.mark.parametrize("name", ["mps", "xpu"])
def test_other_devices_are_taken_where_torch_finds_them(name, monkeypatch):
    monkeypatch.setitem(devices.OTHER_DEVICES, name, lambda: False)
    with pytest.raises(UsageError, match=f"--gpu_ids is {name}, but PyTorch finds no such device here"):
        resolve_device(name)
    monkeypatch.setitem(devices.OTHER_DEVICES, name, lambda: True)
    assert resolve_device(name) == torch.device(name)
    assert devices.resolve_precision("auto", torch.device(name)) == "fp32"
    assert devices.resolve_channels_last(None, "fp32", torch.device(name)) is False


def test_every_device_and_flag_has_its_choice_of_auto_with_its_grounds():
    """No graph is chosen but on CUDA, which alone has them."""
    grounds = {devices.MEASURED, devices.COMPUTED, devices.UNTRIED, devices.NOT_THERE}
    for device, choices in devices.AUTO.items():
        assert set(choices) == {"precision", "channels_last", "compile", "cuda_graph"}
        assert {choice.grounds for choice in choices.values()} <= grounds
        assert choices["cuda_graph"].value is (device == "cuda")
        assert (choices["precision"].grounds == devices.MEASURED) == (device == "cpu")


def test_a_switch_is_on_off_or_auto():
    words = {"auto": None, "AUTO": None, "true": True, "no": False}
    assert {word: switch(word) for word in words} == words
    parse = TrainOptions().parse
    for flag in ("compile", "channels_last", "cuda_graph"):
        place = ["--gpu_ids", "-1"]
        assert getattr(parse([f"--{flag}", *place]), flag) is True          # bare
        assert parse([f"--{flag}", "auto", *place]).parsed.asked[flag] is None
        with pytest.raises(UsageError, match=f"--{flag}: 'maybe' is neither true nor false, nor auto"):
            parse([f"--{flag}", "maybe", *place])


def test_without_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == resolve_device("-1") == torch.device("cpu")
    with pytest.raises(UsageError, match="--gpu_ids is 0, but PyTorch sees 0 GPUs here"):
        resolve_device("0")


# ---- names

def test_suffix_is_filled_in_and_put_behind_the_name():
    assert train("--name", "run", "--suffix", "{netG}_{crop_size}").name == "run_resnet_9blocks_256"
    assert train("--name", "run", "--suffix", "{lambda_NCE:g}").name == "run_1"


def test_suffix_may_hold_flags_of_the_model_in_translation_and_on_resuming(tmp_path):
    flags = ["--name=run", "--suffix={lambda_NCE:g}", "--checkpoints_dir", str(tmp_path), "--gpu_ids=-1"]
    assert TestOptions().parse(flags).name == "run_1"
    assert TrainOptions().parse([*flags, "--continue_train"]).name == "run_1"


@pytest.mark.parametrize("suffix", ["{colour}", "{", "{0}"])
def test_a_suffix_that_cannot_be_filled_in(suffix):
    with pytest.raises(UsageError, match="--suffix is .* options stand in it like {netG}"):
        train("--suffix", suffix)
