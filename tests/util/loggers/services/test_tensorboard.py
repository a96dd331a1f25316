"""What the run writes is read back with TensorBoard's own reader."""

import io
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from util.loggers.run_log import RunLog
from util.loggers.services.tensorboard import TensorBoard
from util.runtime.progress import Progress

pytest.importorskip("tensorboard")
OPT = Namespace(parsed=Namespace(asked={"lr": 0.0002, "name": "a|<b>"}))
IMAGES = {name: {"real_A": np.full((8, 16, 3), grey, np.uint8), "fake_B": np.full((8, 16, 1), 200, np.uint8)}
          for name, grey in (("one", 0), ("two", 100))}


def at(images: int) -> Progress:
    progress = Progress(first_epoch=1, last_epoch=9)
    if images:
        progress.advance(images)
    return progress


def read(folder: Path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    found = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0, "images": 0})
    return found.Reload()


def points(folder: Path, tag: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in read(folder).Scalars(tag)]


def started(folder: Path, images: int = 0, history=()) -> TensorBoard:
    log = TensorBoard(OPT, folder)
    log.start(at(images), list(history))
    return log


def test_curves_images_and_options_are_there(tmp_path):
    log = started(tmp_path)
    log.scalars(at(100), {"loss/G": 1.5, "lr": 0.5, "seconds/compute": 0.15, "seconds/data": 0.05,
                          "memory/gpu": 3.0})
    log.scalars(at(150), {"score/swd": 30.0, "count/fake": 5.0})
    log.fixed_images(at(150), IMAGES)
    found = read(tmp_path)
    assert set(found.Tags()["scalars"]) == {
        "loss/G", "lr", "speed/images_per_second", "memory/gpu", "score/swd"}
    assert points(tmp_path, "loss/G") == [(100, 1.5)] and points(tmp_path, "score/swd") == [(150, 30.0)]
    assert points(tmp_path, "speed/images_per_second") == [(100, 5.0)]             # 0.2 s each
    shown, = found.Images("test images")
    pixels = np.asarray(Image.open(io.BytesIO(shown.encoded_image_string))).astype(int)
    assert (shown.step, shown.width, shown.height) == (150, 16 + 4 + 16, 8 + 4 + 8)
    assert pixels.shape == (20, 36, 3)
    for rows, columns, grey in ((0, 0, 0), (0, 20, 200), (12, 0, 100), (12, 20, 200)):
        assert abs(pixels[rows + 2:rows + 6, columns + 4:columns + 12] - grey).max() < 12       # JPEG
    text = found.Tensors("options")[0].tensor_proto.string_val[0].decode()
    assert "| lr | 0.0002 |" in text and "| commit | " in text


def test_a_resumed_run_forgets_what_came_after_its_place_and_doubles_nothing(tmp_path):
    first = started(tmp_path)
    for images in (100, 200, 300):
        first.scalars(at(images), {"loss/G": float(images)})
    again = started(tmp_path, 200, [(100, {"loss/G": 100.0}), (200, {"loss/G": 200.0})])
    assert points(tmp_path, "loss/G") == [(100, 100.0), (200, 200.0)]
    for images in (300, 400):
        again.scalars(at(images), {"loss/G": float(images + 1)})
    assert points(tmp_path, "loss/G") == [(100, 100.0), (200, 200.0), (300, 301.0), (400, 401.0)]


def test_a_resumed_run_that_had_no_tensorboard_begins_with_its_history(tmp_path):
    log = started(tmp_path, 200, [(100, {"loss/G": 1.0}), (200, {"loss/G": 2.0})])
    log.scalars(at(300), {"loss/G": 3.0})
    assert points(tmp_path, "loss/G") == [(100, 1.0), (200, 2.0), (300, 3.0)]


def test_a_new_run_takes_the_place_of_an_old_one(tmp_path):
    started(tmp_path).scalars(at(500), {"loss/old": 1.0})
    started(tmp_path).scalars(at(100), {"loss/G": 2.0})
    assert read(tmp_path).Tags()["scalars"] == ["loss/G"]


def test_what_a_full_disk_refuses_is_written_later(tmp_path, monkeypatch, capsys):
    """Curves wait, an image is named as lost, and no half record stays."""
    log = TensorBoard(OPT, tmp_path)
    with RunLog(tmp_path / "run", at(0), images_in_total=9, loggers={"tensorboard": log}) as run:
        run.scalars(at(100), {"loss/G": 1.0, "seconds/compute": 1.0, "seconds/data": 0.0})

        class Full(io.FileIO):
            def write(self, data: bytes) -> int:
                return super().write(data[:len(data) // 2])

        monkeypatch.setattr("util.loggers.line_file.open", lambda path, mode, buffering: Full(path, "ab"),
                            raising=False)
        log.scalars(at(200), {"loss/G": 2.0})
        run.fixed_images(at(200), lambda: IMAGES)
        monkeypatch.undo()
        log.scalars(at(300), {"loss/G": 3.0})
    assert points(tmp_path, "loss/G") == [(100, 1.0), (200, 2.0), (300, 3.0)]
    assert "images" not in read(tmp_path).Tags() or not read(tmp_path).Tags()["images"]
    said = [line for line in capsys.readouterr().out.splitlines() if "(epoch" not in line]
    assert len(said) == 2 and "cannot be written" in said[0]
    assert said[1] == "test images at image 200 are not in the tensorboard: No space left on device"
