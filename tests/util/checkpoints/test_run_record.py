"""opt.json: what is written is read back, and a record that cannot be read is named."""

import json
import math
import sys

import pytest

from util.checkpoints.run_record import git_commit, read_options, write_run_record
from util.errors import UsageError


def test_options_come_back_and_the_rest_is_for_readers(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train.py", "--name", "\udce4"])     # a byte that is no UTF-8
    options = {"lr": 2e-4, "num": math.inf, "id": None, "no_flip": True, "precision": "auto"}
    write_run_record(tmp_path, options, resolved={"precision": "bf16"}, device="CPU")
    assert read_options(tmp_path) == options
    record = json.loads((tmp_path / "opt.json").read_text(), parse_constant=pytest.fail)    # no bare Infinity
    assert record["resolved"] == {"precision": "bf16"} and record["device"] == "CPU"
    assert record["command"][1:] == sys.argv
    assert [path.name for path in tmp_path.iterdir()] == ["opt.json"]


def test_published_weights_have_no_record(tmp_path):
    assert read_options(tmp_path / "nowhere") == {}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"options": 3}', b"\xe4", b"[" * 100_000])
def test_a_damaged_record_is_named(tmp_path, content):
    (tmp_path / "opt.json").write_bytes(content)
    with pytest.raises(UsageError, match="opt.json cannot be read .*; mend or remove it"):
        read_options(tmp_path)


def test_the_commit_is_forty_digits_or_none():
    commit = git_commit()
    assert commit is None or len(commit.removesuffix("+")) == 40 and int(commit.removesuffix("+"), 16) > 0
