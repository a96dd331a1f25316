"""A training that torchrun starts again goes on with what that launch has saved, and with nothing else."""

import json
import sys
from pathlib import Path

import pytest

from options.restart import parse_training, without_beginning


def test_flags_of_the_beginning_are_left_out() -> None:
    words = ("--lr 0.1 --epoch_count 3 --continue_train --epoch=5 --pretrained_name other --config a.json "
             "--name x")
    assert without_beginning(words.split()) == ["--lr", "0.1", "--name", "x"]
    assert without_beginning(["--continue_train", "auto", "--lr", "0.1"]) == ["--lr", "0.1"]


@pytest.fixture
def launched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The record of a run of --lr 0.5, by launch h2z, and a restarted process of that launch."""
    flags = f"--dataroot none --gpu_ids -1 --checkpoints_dir {tmp_path} --name run --epoch_count 2"
    monkeypatch.setattr(sys, "argv", ["train.py", *flags.split()])
    for name, value in (("MAX_RESTARTS", "3"), ("RESTART_COUNT", "1"), ("RUN_ID", "h2z")):
        monkeypatch.setenv(f"TORCHELASTIC_{name}", value)
    record = tmp_path / "run" / "opt.json"
    record.parent.mkdir()
    record.write_text(json.dumps({"options": {"lr": 0.5}, "launch": "h2z"}))
    return record


def test_goes_on_with_its_own_run(launched: Path) -> None:
    opt = parse_training()
    assert (opt.continue_train, opt.lr, opt.epoch_count) == (True, 0.5, 1)


def test_begins_anew_where_it_has_saved_nothing(launched: Path) -> None:
    """The run that lies there is of another launch."""
    launched.write_text(json.dumps({"options": {"lr": 0.5}, "launch": "another"}))
    opt = parse_training()
    assert (opt.continue_train, opt.lr, opt.epoch_count) == (False, 0.0002, 2)


@pytest.mark.parametrize("name, value", [("RESTART_COUNT", "0"), ("MAX_RESTARTS", "0")])
def test_the_first_start_is_as_typed(name: str, value: str, launched: Path,
                                     monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"TORCHELASTIC_{name}", value)
    assert not parse_training().continue_train


def test_a_damaged_record_is_no_obstacle(launched: Path) -> None:
    launched.write_text("{")
    assert not parse_training().continue_train
