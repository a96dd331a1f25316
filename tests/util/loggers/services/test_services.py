"""--logger chooses among the services; their packages are asked for before a run begins; the outbox."""

import re
import threading
import time
from argparse import Namespace
from pathlib import Path

import pytest

from options.train_options import TrainOptions
from util.errors import UsageError
from util.loggers import registry
from util.loggers.base import Logger
from util.loggers.services.outbox import QUEUED, Outbox
from util.runtime.progress import Progress

ROOT = Path(__file__).resolve().parents[4]


def parse(*flags: str) -> Namespace:
    return TrainOptions().parse(["--gpu_ids", "-1", *flags])


def test_names_choose(monkeypatch, tmp_path):
    for table in (registry.LOGGERS, registry.SERVICES):
        for name in table:
            monkeypatch.setitem(table, name, lambda opt, folder, name=name: name)
    made = {flag: list(registry.create_loggers(Namespace(logger=flag), tmp_path))
            for flag in ("none", "visdom", "wandb,tensorboard")}
    assert made == {"none": ["gallery"], "visdom": ["gallery", "visdom"],
                    "wandb,tensorboard": ["gallery", "wandb", "tensorboard"]}


def test_visdom_is_the_default_and_none_needs_a_package():
    assert parse().logger == "visdom" and parse("--logger", "none").logger == "none"


@pytest.mark.parametrize("wrong", ["tensorbord", "visdom,", "", "none,visdom"])
def test_other_names_are_refused(wrong):
    with pytest.raises(UsageError, match="--logger is .* is none of tensorboard, visdom, wandb"):
        parse("--logger", wrong)


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_a_missing_package_is_named_with_its_remedy(name, monkeypatch):
    find = registry.importlib.util.find_spec
    monkeypatch.setattr(registry.importlib.util, "find_spec",
                        lambda package: None if package == name else find(package))
    with pytest.raises(UsageError, match=f"--logger {name} .*pip install -r requirements-{name}.txt"):
        parse("--logger", f"visdom,{name}")
    assert parse("--logger", "visdom").logger == "visdom"


def test_each_service_has_its_requirements():
    for name in registry.SERVICES:
        lines = (ROOT / f"requirements-{name}.txt").read_text().splitlines()
        assert any(line.startswith(f"{name}>=") for line in lines)


def test_an_outbox_never_waits_and_loses_only_what_may_be_lost():
    held, got = threading.Event(), []
    outbox = Outbox("test", lambda message: (held.wait(), got.append(message)))
    began = time.perf_counter()
    for number in range(3 * QUEUED):
        outbox.put(number, may_be_lost=number % 3 > 0)
    assert time.perf_counter() - began < 0.5 and got == []
    held.set()
    assert outbox.close(10)
    assert got == sorted(got) and set(range(0, 3 * QUEUED, 3)) <= set(got) and len(got) < 2 * QUEUED


def test_an_outbox_that_was_not_emptied_in_time_ends_after_the_message_under_way():
    held, begun, got = threading.Event(), threading.Event(), []
    outbox = Outbox("test", lambda message: (begun.set(), held.wait(), got.append(message)))
    for number in range(3):
        outbox.put(number)
    assert begun.wait(10) and not outbox.close(0.01)
    held.set()
    assert outbox.close(10) and got == [0]


def test_an_outbox_whose_receiver_fails_takes_no_more():
    outbox = Outbox("test", lambda message: 1 / 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading, "excepthook", lambda arguments: None)
        outbox.put(1)
        assert outbox.close(10)
        outbox.put(2)


def test_the_logger_of_the_documentation_works(tmp_path, monkeypatch):
    """The class out of docs/plugins.md, as one line of the table."""
    page = (ROOT / "docs" / "plugins.md").read_text()
    code, = re.findall(r"`util/loggers/services/\w+\.py`:\n\n```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "score_table_of_the_page.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    from score_table_of_the_page import ScoreTable
    monkeypatch.setitem(registry.SERVICES, "score_table", ScoreTable)
    monkeypatch.setitem(registry.LOGGERS, "gallery", lambda opt, folder: None)
    assert registry.logger_names("score_table") == "score_table"
    log, = registry.create_loggers(Namespace(logger="score_table"), tmp_path).values()
    step = Progress(first_epoch=1, last_epoch=1)
    step.advance(50)
    log.scalars(step, {"loss/G": 1.0, "score/swd": 2.5, "score/fid": 40.0, "count/fake": 3})
    assert isinstance(log, Logger) and (tmp_path / "scores.csv").read_text() == "50,swd,2.5\n50,fid,40.0\n"
