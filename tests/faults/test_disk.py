"""A disk that is full, damaged, read-only or gone: the last good checkpoint stays, and the run says so."""

import os
import re
import resource
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.faults.programs import Program
from tests.faults.table import tally
from tests.faults.trainings import SHORT, Training, assert_equal

UNLIMITED = resource.RLIM_INFINITY


def limit_files(program: Program, size: int) -> None:
    resource.prlimit(program.pid, resource.RLIMIT_FSIZE, (size, UNLIMITED))


def leftovers(training: Training) -> list[str]:
    return [path.name for path in training.folder.rglob(".*")]


# ---- full

def test_no_room_from_the_start(images: Path, tmp_path: Path) -> None:
    training = Training(tmp_path, images, SHORT)
    with tally("disk full from the start"):
        program = training.run(trap=("limit_file_size", 100_000))
        assert program.end() == 1
        assert "checkpoint latest is not saved: File too large" in program.out
        assert len(program.err.splitlines()) == 1 and "is not saved (File too large)" in program.err
        assert not training.has_state and not leftovers(training)
        assert training.rows() == 24


def test_no_room_for_a_while(images: Path, tmp_path: Path, undisturbed: Training) -> None:
    training = Training(tmp_path, images, SHORT)
    with tally("disk full for a while"):
        program = training.start_saved()
        limit_files(program, 100_000)
        assert program.until(lambda: "is not saved" in program.out)
        assert training.kept()["total_images"] >= 4
        limit_files(program, UNLIMITED)
        assert program.end() == 0, program.err
        assert_equal(training, undisturbed)


def test_no_room_when_it_is_told_to_end(images: Path, tmp_path: Path, undisturbed: Training) -> None:
    training = Training(tmp_path, images, SHORT)
    with tally("disk full at SIGTERM"):
        program = training.start_saved()
        limit_files(program, 100_000)
        program.signal(15)
        assert program.end() == 1 and "kept is epoch 1, image 4 of it" in program.err
        assert training.run(resume=True).end() == 0
        assert_equal(training, undisturbed)


def test_file_system_fills_up(images: Path, small_disk: Path, undisturbed: Training) -> None:
    """Nothing at all can be written, not a line nor an image; then there is room again.

    Lines and checkpoints wait; an epoch whose images found no room is named.
    """
    training = Training(small_disk, images, SHORT)
    with tally("file system full for a while"):
        program = training.start_saved()
        filler = small_disk / "filler"
        with open(filler, "wb", buffering=0) as stream, pytest.raises(OSError):
            while True:
                stream.write(bytes(4096))
        assert program.until(lambda: "is not saved" in program.out or "cannot be written" in program.out)
        filler.unlink()
        assert program.end() == 0, program.err
        lost = re.findall(r"images of epoch (\d+) are not in the gallery: No space", program.out)
        assert_equal(training, undisturbed, but=tuple(f"epoch00{epoch}_" for epoch in lost))


def test_room_is_told_at_the_start(images: Path, small_disk: Path) -> None:
    training = Training(small_disk, images, [*SHORT, "--n_epochs", "1000"])
    program = training.start()
    assert program.until(lambda: "are free" in program.out)
    assert "warning: that is too little room" in program.out
    program.kill()


def test_keep_last_bounds_the_numbered_checkpoints(images: Path, tmp_path: Path) -> None:
    training = Training(tmp_path, images, [*SHORT, "--save_epoch_freq", "1", "--keep_last", "2",
                                             "--save_by_iter", "--save_latest_freq", "7"])
    assert training.run().end() == 0
    labels = {path.name.split("_net_")[0] for path in training.folder.glob("*_net_*.pth")}
    assert labels == {"3", "4", "latest"} or labels == {"iter_21", "4", "latest"}


# ---- damaged

@pytest.mark.parametrize("damage", ["one bit", "cut off", "empty", "zeros", "missing"])
def test_damaged_state_is_noticed_and_the_one_before_used(
        damage: str, tmp_path: Path, images: Path, undisturbed: Training) -> None:
    training = Training(tmp_path, images, SHORT)
    shutil.copytree(undisturbed.folder, training.folder)
    path = training.folder / "latest_state.pth"
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        largest = archive.read(max(archive.infolist(), key=lambda part: part.file_size))
    content[content.index(largest) + len(largest) // 2] ^= 1
    spoiled = {"one bit": content, "cut off": content[:len(content) // 2], "empty": b"",
               "zeros": bytes(len(content)), "missing": None}[damage]
    path.unlink()
    if spoiled is not None:
        path.write_bytes(spoiled)
    with tally("damaged state: the one before it used"):
        program = training.run(resume=True)
        assert program.end() == 0
        line = next(line for line in program.out.splitlines() if line.startswith("goes on"))
        assert "previous_state.pth, the one before it, because" in line and "latest_state.pth" in line
        assert_equal(training, undisturbed)


def test_both_states_damaged(tmp_path: Path, images: Path, undisturbed: Training) -> None:
    training = Training(tmp_path, images, SHORT)
    shutil.copytree(undisturbed.folder, training.folder)
    for label in ("latest", "previous"):
        os.truncate(training.folder / f"{label}_state.pth", 5000)
    program = training.run(resume=True)
    assert program.end() == 2 and "latest_state.pth is damaged" in program.err
    assert "move both away to start from the weights alone" in program.err


# ---- read-only, gone

def test_read_only_folder(tmp_path: Path, images: Path, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    training = Training(small_disk, images, SHORT)
    training.log_folder = tmp_path
    program = training.run()
    assert program.end() == 2 and "Read-only file system" in program.err
    assert "--checkpoints_dir" in program.err


def test_folder_taken_away_during_the_training(tmp_path: Path, images: Path) -> None:
    training = Training(tmp_path, images, SHORT)
    with tally("checkpoints folder taken away"):
        program = training.start_saved()
        training.folder.rename(tmp_path / "elsewhere")
        assert program.end() == 0, program.err
        assert training.kept()["total_images"] == 24 and (training.folder / "latest_net_G.pth").exists()
