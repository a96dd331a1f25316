"""TensorBoard's event files in <run>/tensorboard: `tensorboard --logdir <run>` shows them.

Written record by record, as TensorBoard's own writers would hold a run up when the disk is full.
"""

import io
import os
import socket
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

from PIL import Image

from util.checkpoints.run_record import git_commit
from util.loggers.base import History, Logger, NamedImages, Values, curves, fixed_grid
from util.loggers.line_file import GrowingFile
from util.runtime.progress import Progress

EVENTS = "events.out.tfevents"      # how the names of event files begin
JPEG_QUALITY = 90                   # a tenth of the size as PNG: a long run shows its test images 500 times


class TensorBoard(Logger):
    """Curves, the fixed test images, the options and the commit. A step of TensorBoard is an image seen.

    A new run deletes the event files of an earlier one of its name. A resumed run lets TensorBoard forget
    what came after the place where it goes on, so that no point is there twice.
    """

    def __init__(self, opt: Namespace, folder: Path):
        self._options = dict(opt.parsed.asked)
        self._folder = folder / "tensorboard"
        moment = f"{time.time_ns():020d}"           # files are read in the order of their names
        self._file = GrowingFile(self._folder / f"{EVENTS}.{moment}.{socket.gethostname()}.{os.getpid()}")

    def start(self, step: Progress, history: History) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        earlier = list(self._folder.glob(f"{EVENTS}.*"))
        self._add(file_version="brain.Event:2")
        if not step.total_images:
            for path in earlier:
                path.unlink()
        elif earlier:
            self._add(step=step.total_images + 1, session_log={"status": "START"})      # forget from here on
        for images, values in history if not earlier else ():
            self._add_curves(images, values)
        rows = [f"| {name} | {value} |" for name, value in sorted(self._options.items())]
        text = "\n".join(["| option | value |", "| --- | --- |", *rows, f"| commit | {git_commit()} |"])
        self._add(step=step.total_images, summary={"value": [{
            "tag": "options", "metadata": {"plugin_data": {"plugin_name": "text"}},
            "tensor": {"dtype": "DT_STRING", "string_val": [text.encode("utf-8", "backslashreplace")]}}]})

    def scalars(self, step: Progress, values: Values) -> None:
        self._add_curves(step.total_images, values)

    def fixed_images(self, step: Progress, images: NamedImages) -> None:
        pixels, stream = fixed_grid(images), io.BytesIO()
        Image.fromarray(pixels).save(stream, format="JPEG", quality=JPEG_QUALITY)
        height, width, channels = pixels.shape
        image = {"height": height, "width": width, "colorspace": channels,
                 "encoded_image_string": stream.getvalue()}
        event = _record(step=step.total_images, summary={"value": [{"tag": "test images", "image": image}]})
        self._file.append_or_raise(event)

    def _add_curves(self, images: int, values: Values) -> None:
        shown = [{"tag": name, "simple_value": value} for name, value in curves(values).items()]
        if shown:
            self._add(step=images, summary={"value": shown})

    def _add(self, **fields: Any) -> None:
        self._file.append_bytes(_record(**fields))


def _record(**fields: Any) -> bytes:
    """An event of now as it stands in a file: its length, its bytes, a checksum behind each of them."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import RecordWriter
    stream = io.BytesIO()
    RecordWriter(stream).write(Event(wall_time=time.time(), **fields).SerializeToString())
    return stream.getvalue()
