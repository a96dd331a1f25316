"""W&B offline; what it would send is read from its file, in LevelDB's log format, by a reader of our own."""

import json
import struct
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from util.loggers.services.wandb import Wandb, open_wandb
from util.runtime.progress import Progress

pytest.importorskip("wandb")
IMAGES = {"one": {"real_A": np.zeros((8, 16, 3), np.uint8), "fake_B": np.full((8, 16, 3), 9, np.uint8)}}


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")


def at(images: int) -> Progress:
    progress = Progress(first_epoch=1, last_epoch=9)
    if images:
        progress.advance(images)
    return progress


def started(folder: Path, images: int = 0, history=()) -> Wandb:
    log = open_wandb(Namespace(name="run", parsed=Namespace(asked={"lr": 0.5})), folder)
    log.start(at(images), list(history))
    return log


def records(path: Path) -> Iterator:
    """Blocks of 32 kB hold chunks: checksum, length, type (1 whole, 2 first, 3 middle, 4 last), bytes."""
    from wandb.proto.wandb_internal_pb2 import Record
    data, place, whole = path.read_bytes(), 7, b""          # behind the file's own header
    while place + 7 <= len(data):
        left = 32768 - place % 32768
        _, length, kind = struct.unpack("<IHB", data[place:place + 7])
        if left < 7 or kind == 0:
            place += left
            continue
        whole = (whole if kind in (3, 4) else b"") + data[place + 7:place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            yield Record.FromString(whole)


def parts(folder: Path) -> list[Path]:
    """The file of every start."""
    return sorted((folder / "wandb").glob("offline-run-*/*.wandb"))


def runs(folder: Path) -> list[str]:
    return [record.run.run_id for part in parts(folder) for record in records(part) if record.HasField("run")]


def rows(folder: Path) -> list[dict]:
    found = [record.history for part in parts(folder) for record in records(part)
             if record.HasField("history")]
    return [{item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in row.item}
            for row in found]


def test_a_resumed_run_is_the_same_run_without_doubled_points(tmp_path, capsys):
    log = started(tmp_path)
    for images in (100, 200, 300):
        log.scalars(at(images), {"loss/G": float(images), "lr": 0.5, "seconds/compute": 0.25})
    log.scalars(at(300), {"score/swd": 7.0})
    log.fixed_images(at(300), IMAGES)
    log.close()
    log = started(tmp_path, 200, [(100, {"loss/G": 100.0}), (200, {"loss/G": 200.0})])
    for images in (300, 400):
        log.scalars(at(images), {"loss/G": float(images)})
    log.close()
    assert len(set(runs(tmp_path))) == 1 and len(parts(tmp_path)) == 2
    assert [(row["_step"], row["loss/G"]) for row in rows(tmp_path)] == [
        (100, 100.0), (200, 200.0), (300, 300.0), (400, 400.0)]
    assert rows(tmp_path)[0]["speed/images_per_second"] == 4 and rows(tmp_path)[2]["score/swd"] == 7
    assert list((tmp_path / "wandb").glob("*/files/media/images/test images_300_*.jpg"))
    assert {path.name for path in tmp_path.iterdir()} == {"wandb"}
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2 and all("kept offline; wandb sync " in line for line in said), said

    started(tmp_path).close()                               # a new run of that name is another one
    assert len(set(runs(tmp_path))) == 2


def test_a_process_that_dies_costs_one_line_at_most_and_no_time(tmp_path, capsys):
    log = started(tmp_path)
    log._process.kill()
    for images in range(100, 3000, 100):
        log.scalars(at(images), {"loss/G": 1.0})
        log.fixed_images(at(images), IMAGES)
    log.close()
    assert capsys.readouterr().out.count("\n") <= 1
