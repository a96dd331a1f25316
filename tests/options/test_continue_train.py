"""--continue_train auto: one command that begins a run and goes on with it."""

import json
from pathlib import Path

import pytest

from options.train_options import TrainOptions
from util.errors import UsageError


@pytest.fixture
def train(tmp_path: Path):
    def parse(*flags: str):
        return TrainOptions().parse([*flags, "--name", "run", "--checkpoints_dir", str(tmp_path),
                                     "--gpu_ids", "-1"])
    return parse


@pytest.fixture
def kept(tmp_path: Path):
    """Puts what a run leaves into its folder: a record of its options, and states of these labels."""
    def keep(*labels: str, **options: object) -> None:
        (tmp_path / "run").mkdir(exist_ok=True)
        (tmp_path / "run" / "opt.json").write_text(json.dumps({"options": options}))
        for label in labels:
            (tmp_path / "run" / f"{label}_state.pth").touch()
    return keep


def test_words_of_the_flag(train, kept):
    kept("latest")
    assert [train(*flags).continue_train for flags in (
        (), ("--continue_train",), ("--continue_train", "--no_flip"), ("--continue_train", "true"),
        ("--continue_train=false",), ("--continue_train", "auto"))] == [False, True, True, True, False, True]
    with pytest.raises(UsageError, match="--continue_train: 'maybe' is neither true nor false, nor auto"):
        train("--continue_train", "maybe")


def test_auto_begins_where_there_is_no_state(train, kept):
    assert train("--continue_train", "auto").continue_train is False
    kept(lr=0.5)            # a record, but nothing was saved: the first job ended before its first save
    opt = train("--continue_train", "auto")
    assert opt.continue_train is False and opt.lr == 0.0002
    assert opt.parsed.asked["continue_train"] is False


@pytest.mark.parametrize("label", ["latest", "previous"])
def test_auto_goes_on_where_there_is_one(train, kept, label):
    kept(label, lr=0.5, netG="resnet_4blocks", crop_size=64)
    opt = train("--continue_train", "auto", "--crop_size", "64")
    assert opt.continue_train is True and opt.lr == 0.5 and opt.netG == "resnet_4blocks"
    with pytest.raises(UsageError, match="changes --netG resnet_4blocks to resnet_6blocks"):
        train("--continue_train", "auto", "--netG", "resnet_6blocks")


def test_auto_starts_from_other_weights_once(train, kept):
    """A chain of jobs with --pretrained_name must not begin anew with each job."""
    flags = ("--continue_train", "auto", "--pretrained_name", "other")
    opt = train(*flags)
    assert (opt.continue_train, opt.pretrained_name) == (True, "other")
    kept("latest", lr=0.5)
    opt = train(*flags)
    assert (opt.continue_train, opt.pretrained_name, opt.lr) == (True, None, 0.5)


def test_auto_takes_a_config_once(train, kept, tmp_path):
    (tmp_path / "c.json").write_text('{"lr": 0.1, "lambda_NCE": 3.0}')
    flags = ("--continue_train", "auto", "--config", str(tmp_path / "c.json"))
    assert train(*flags).lr == 0.1 and train(*flags).lambda_NCE == 3
    kept("latest", lr=0.5, lambda_NCE=7.0)
    assert train(*flags).lr == 0.5 and train(*flags).lambda_NCE == 7
