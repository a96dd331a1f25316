"""Small trainings, and what is to be equal after one was disturbed."""

import json
import re
import signal
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.faults.programs import Program

QUICK = ["--seed", "3", "--print_freq", "1", "--display_id", "0", "--gpu_ids", "-1",
         "--load_size", "36"]
CUT = [*QUICK, "--ngf", "4", "--ndf", "4", "--netF_nc", "8", "--netG", "resnet_4blocks",
       "--crop_size", "32", "--nce_layers", "0,4,8", "--num_patches", "16", "--update_html_freq", "5"]
SINCUT = [*QUICK, "--model", "sincut", "--netG", "smallstylegan2", "--ngf", "2", "--ndf", "2",
          "--netF_nc", "8", "--crop_size", "16", "--batch_size", "2", "--crops_per_epoch", "12"]
DRIT = [*QUICK, "--model", "drit", "--ngf", "2", "--ndf", "2", "--crop_size", "32", "--dis_scale", "2",
        "--batch_size", "2", "--update_html_freq", "5"]
# Four epochs of six steps.
SHORT = [*CUT, "--n_epochs", "2", "--n_epochs_decay", "2", "--save_latest_freq", "4",
         "--save_epoch_freq", "2", "--num_threads", "0"]


class Training:
    """A training of one name in a folder of its own."""

    def __init__(self, folder: Path, data: Path, flags: list[str], name: str = "run", trap: tuple = ()):
        """folder: <checkpoints_dir>; data: <dataroot>; trap: of all its programs, see Program."""
        self.folder, self.name, self.data = folder / name, name, data
        self._checkpoints, self._flags, self._starts, self._trap = folder, flags, 0, trap
        self.log_folder = folder        # of what the programs print

    def start(self, *more: str, trap: tuple = (), resume: bool = False) -> Program:
        """With resume only the place is typed, as the other flags are on record."""
        flags = ["--continue_train"] if resume else self._flags
        self._starts += 1
        where = ["--dataroot", str(self.data), "--checkpoints_dir", str(self._checkpoints),
                 "--name", self.name]
        self.log_folder.mkdir(parents=True, exist_ok=True)
        log = self.log_folder / f"{self.name}_{self._starts}"
        return Program("train.py", [*where, *flags, *more], log, trap or self._trap)

    def run(self, *more: str, trap: tuple = (), resume: bool = False) -> Program:
        program = self.start(*more, trap=trap, resume=resume)
        program.end()
        return program

    def start_saved(self) -> Program:
        """A program that has saved a state, and goes on."""
        program = self.start()
        assert program.until(lambda: self.has_state), program.err
        return program

    def stop_after(self, rows: int, resume: bool = False) -> None:
        """A program that is asked to end once stats.jsonl has so many rows, and does."""
        program = self.start(resume=resume)
        assert program.until(lambda: self.stepped(program, rows)), program.err
        program.signal(signal.SIGTERM)
        assert program.end() == 143, program.err

    @property
    def has_state(self) -> bool:
        return any((self.folder / f"{label}_state.pth").exists() for label in ("latest", "previous"))

    def rows(self) -> int:
        """Lines in stats.jsonl, so steps done, with --print_freq 1."""
        path = self.folder / "stats.jsonl"
        return path.read_bytes().count(b"\n") if path.exists() else 0

    def stepped(self, program: Program, rows: int = 0) -> bool:
        """Whether the program, one of this training's, has done a step, and stats.jsonl has so many rows."""
        return "(epoch: " in program.out and self.rows() >= rows

    def kept(self) -> dict[str, Any]:
        """The place that the latest state holds."""
        return torch.load(self.folder / "latest_state.pth", weights_only=True)["progress"]


def assert_equal(one: Training, other: Training, but: tuple[str, ...] = ()) -> None:
    """Bit for bit: weights, optimizers, random states, counters, losses, gallery; and no rubbish is left.

    but: how the names of images begin that need not be equal.
    """
    first, second = (_content(training.folder) for training in (one, other))
    differ = {name for name in first.keys() ^ second.keys() if not name.startswith(but)}
    assert not differ, differ
    for name in first.keys() & second.keys():
        if not name.startswith(but):
            assert_same(first[name], second[name], name)
    for training in (one, other):
        assert not list(training.folder.rglob(".*")) and not (training.folder / "lock.json").exists()


def _content(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {"stats": (folder / "stats.jsonl").read_text(), "losses": loss_lines(folder)}
    for path in [*folder.glob("*_net_*.pth"), folder / "latest_state.pth"]:
        found[path.name] = torch.load(path, weights_only=True)
    exact = [*folder.glob("web/images/*"), *folder.glob("evaluations.jsonl")]
    return found | {path.name: path.read_bytes() for path in exact}


def loss_lines(folder: Path) -> list[str]:
    """The lines of loss_log.txt without the times, and without its headers."""
    lines = (folder / "loss_log.txt").read_text().splitlines()
    return [re.sub(r"time: [^)]*\)", ")", line) for line in lines if not line.startswith("=")]


def assert_same(one: Any, other: Any, where: str) -> None:
    if isinstance(one, Tensor):
        assert torch.equal(one, other), where
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            assert_same(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other), where
        for number, pair in enumerate(zip(one, other, strict=True)):
            assert_same(*pair, f"{where}.{number}")
    else:
        assert one == other, where


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "stats.jsonl").read_text().splitlines()]
