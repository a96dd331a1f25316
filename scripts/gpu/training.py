"""The part of a GPU report that trains horse -> zebra, kills the run, goes on with it and translates."""

import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image

from scripts.benchmarks.processes import TimeUp, kill_group, last_line, run_bounded
from scripts.gpu.parts import ROOT, Context, Data
from scripts.reports.compare_curves import read_run
from util.errors import RunError
from util.images import grid, save_image

NAME = "gpu_report"
KILL_AT, STOP_AT = 0.45, 0.85   # of the part's time; the rest is for ending and translating
SHOWN = 8                       # translations in the sheet
WENT_ON = re.compile(r"goes on at epoch \d+, image \d+ of it")
SECONDS = re.compile(r"time: ([\d.]+), data: ([\d.]+)\)")


class Run:
    """A run on disk, and the program that trains it."""

    def __init__(self, context: Context):
        plan = context.plan
        self.context, self.folder = context, context.work / NAME
        self.place = ["--dataroot", str(context.dataroot), "--checkpoints_dir", str(context.work),
                      "--name", NAME, "--gpu_ids", "0" if plan.device == "cuda" else "-1"]
        self.log = context.work / "train_log.txt"
        self.process: subprocess.Popen | None = None

    def start(self, *flags: str) -> None:
        with open(self.log, "wb") as stream:
            self.process = subprocess.Popen([sys.executable, "train.py", *self.place, *flags], cwd=ROOT,
                                            stdout=stream, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                            start_new_session=True)

    def wait(self, condition: Callable[[], bool]) -> None:
        """Until the condition holds. RunError where the program ends first, TimeUp after the part's time."""
        while not condition():
            if self.process.poll() is not None:
                raise RunError(f"train.py ended with code {self.process.returncode}: {last_line(self.log)}")
            if time.monotonic() > self.context.end:
                raise TimeUp("the training's time was over before it came so far")
            time.sleep(0.05)

    def shown(self) -> list[int]:
        """Images seen at each line of stats.jsonl."""
        path = self.folder / "stats.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        found = [re.search(r'"total_images": (\d+)', line) for line in lines]
        return [int(match[1]) for match in found if match]

    def saved(self) -> int | None:
        """Images seen at the latest saved state."""
        path = self.folder / "latest_state.pth"
        if not path.exists():
            return None
        return torch.load(path, weights_only=True, map_location="cpu")["progress"]["total_images"]


def train(context: Context, data: Data) -> None:
    """data: `killed`, `resumed`, `ended` with what was seen there; `losses`; `sheet`, an image's path."""
    plan, run, began = context.plan, Run(context), time.monotonic()

    def passed(part: float) -> bool:
        return time.monotonic() > began + part * (context.end - began) or len(run.shown()) >= part * plan.rows

    try:
        run.start(*plan.train_flags.split())
        run.wait(lambda: passed(KILL_AT) and run.shown() and (run.folder / "latest_state.pth").exists())
        os.kill(run.process.pid, signal.SIGKILL)
        run.process.wait()
        kill_group(run.process)     # its workers, which would notice a little later
        data["killed"] = {"images": run.shown()[-1], "saved": run.saved()}

        run.start("--continue_train")
        run.wait(lambda: WENT_ON.search(run.log.read_text(errors="replace")) is not None)
        data["resumed"] = {"line": WENT_ON.search(run.log.read_text(errors="replace"))[0]}
        run.wait(lambda: passed(STOP_AT) and run.shown()[-1:] > [data["killed"]["images"]])
        run.process.send_signal(signal.SIGTERM)
        code = run.process.wait(context.left)
        data["ended"] = {"code": code, "images": run.shown()[-1], "saved": run.saved(), **order(run.shown())}
    except subprocess.TimeoutExpired:
        raise TimeUp("the training did not end in its time when it was asked to") from None
    finally:
        if run.process:
            kill_group(run.process)
        data |= what_is_on_record(run)
    translate(run, context, data)


def order(images: list[int]) -> dict[str, Any]:
    """Whether the lines of a run that was killed and resumed are those of one that was not."""
    steps = [b - a for a, b in zip(images, images[1:], strict=False)]
    return {"lines": len(images), "in_order": all(step > 0 for step in steps),
            "largest_gap": max(steps, default=0), "usual_gap": statistics.mode(steps) if steps else 0}


def what_is_on_record(run: Run) -> Data:
    """The losses, and the median seconds an image: computing, and waiting for data."""
    if not run.shown():
        return {}
    times = SECONDS.findall((run.folder / "loss_log.txt").read_text())
    compute, waiting = (statistics.median(map(float, each)) for each in zip(*times, strict=True))
    finite = {name: [(images, value) for images, value in points if value is not None]
              for name, points in read_run(run.folder).items()}      # in stats.jsonl, null is not finite
    return {"losses": {name: points for name, points in finite.items() if points},
            "compute": compute, "data": waiting}


def translate(run: Run, context: Context, data: Data) -> None:
    """test.py on testA; data["sheet"]: inputs over translations as one PNG, data["translated"]: how many."""
    log = context.work / "test_log.txt"
    command = [sys.executable, "test.py", *run.place, "--num_test", str(SHOWN), "--results_dir",
               str(context.work / "results")]
    if run_bounded(command, log, seconds=context.left, cwd=ROOT):
        raise RunError(f"test.py failed: {last_line(log)}")
    folder, = (context.work / "results" / NAME).glob("test_*/images")
    outputs = sorted((folder / "fake_B").glob("*.png"))
    pixels = [np.asarray(Image.open(path).convert("RGB"))
              for path in [*(folder / "real_A" / path.name for path in outputs), *outputs]]
    sheet = context.work / "sheet.png"
    save_image(sheet, grid(pixels, columns=len(outputs)))
    data |= {"sheet": str(sheet), "translated": len(outputs)}
