"""datasets/make_shards.py: what it packs, what it says, and that a kill -9 costs no more than a shard."""

import itertools
import json
import os
import runpy
import signal
import sys
import tarfile
import time
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets import packing
from datasets.packing import in_processes
from util.errors import RunError

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "datasets" / "make_shards.py"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for name, count in (("trainA", 7), ("trainB", 3)):
        for number in range(count):
            path = tmp_path / "folder" / name / ("deep" if number % 2 else "") / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.integers(0, 256, (12, 12, 3), dtype=np.uint8)).save(path)
    (tmp_path / "folder" / "trainA" / "note.txt").write_text("no image")
    return tmp_path / "folder"


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the script as its command line does. Returns exit code, what it printed, and its error line."""
    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["make_shards.py", *map(str, arguments)])
        code = 0
        try:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        except SystemExit as stop:
            code = stop.code
        out, error = capsys.readouterr()
        return code, out, error.strip()
    return call


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_images_keep_bytes_names_and_order(run, folder, tmp_path) -> None:
    """Read by Python's tarfile, as an oracle."""
    code, out, _ = run(folder, tmp_path / "out", "--shard_images", 3, "--workers", 2)
    assert code == 0 and "trainA: 7 images" in out and "trainB: 3 images" in out
    found = []
    for number in range(3):
        with tarfile.open(tmp_path / "out" / f"trainA-00000{number}.tar") as tar:
            found += [(member.name, tar.extractfile(member).read()) for member in tar]
    expected = sorted(path.relative_to(folder / "trainA").as_posix()
                      for path in (folder / "trainA").rglob("*.png"))
    assert found == [(name, (folder / "trainA" / name).read_bytes()) for name in expected]
    manifest = json.loads((tmp_path / "out" / "trainA.json").read_text())
    assert [shard["images"] for shard in manifest["shards"]] == [3, 3, 1] and manifest["images"] == 7


def test_shards_are_of_the_size_asked_for(run, folder, tmp_path) -> None:
    """Every image has about 500 bytes and takes 1,536 in a tar file: two fit into 3.5 kB."""
    assert run(folder, tmp_path / "out", "--shard_size", 0.0045, "--sets", "trainA")[0] == 0
    manifest = json.loads((tmp_path / "out" / "trainA.json").read_text())
    assert [shard["images"] for shard in manifest["shards"]] == [2, 2, 2, 1]
    assert not list((tmp_path / "out").glob("trainB*"))


def test_a_second_call_makes_what_is_missing_or_changed(run, folder, tmp_path) -> None:
    call = folder, tmp_path / "out", "--shard_images", 3
    assert run(*call)[0] == 0
    before = content(tmp_path / "out")
    times = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.tar")}
    (tmp_path / "out" / "trainA-000001.tar").unlink()
    (tmp_path / "out" / "trainB-000000.idx").write_text("{")
    code, out, _ = run(*call)
    assert code == 0 and out.startswith("4 shards, 2 of them made already")
    assert content(tmp_path / "out") == before
    assert (tmp_path / "out" / "trainA-000000.tar").stat().st_mtime_ns == times["trainA-000000.tar"]
    Image.new("RGB", (50, 50), "red").save(folder / "trainB" / "0.png")
    assert run(*call)[1].startswith("4 shards, 3 of them made already")
    assert run("--check", tmp_path / "out")[0] == 0


def start(arguments: list[str], out: Path, after: int, held: Path) -> None:
    """Run the script in a process group of its own, whose processes stop in the middle of writing a shard,
    each behind `after` others, for as long as their parent lives. They say so by the file `held`.
    """
    os.setpgrp()
    contents, shards = packing._contents, itertools.count()

    def held_contents(files: list) -> Iterator[tuple[bytes, bool]]:
        stop = next(shards) == after
        for place, part in enumerate(contents(files)):
            if stop and place == 3:
                held.touch()
                parent = os.getppid()
                while os.getppid() == parent:
                    time.sleep(0.005)
            yield part

    packing._contents = held_contents
    sys.argv, sys.stdout = ["make_shards.py", *arguments], open(out, "w", buffering=1)
    runpy.run_path(str(SCRIPT), run_name="__main__")


def test_kill_9_costs_no_more_than_the_shards_of_then(run, tmp_path) -> None:
    """Killed within a shard, alone or with its processes, five times, it ends with what one call makes."""
    (tmp_path / "folder" / "trainA").mkdir(parents=True)
    for number in range(200):
        Image.new("RGB", (64, 64), (number, 0, 9)).save(tmp_path / "folder" / "trainA" / f"{number:03}.bmp")
    call = [str(tmp_path / "folder"), str(tmp_path / "out"), "--shard_images", "4", "--workers", "2"]
    made, left = [0], 0
    for kill in range(5):
        printed, held = tmp_path / f"printed_{kill}", tmp_path / f"held_{kill}"
        program = get_context("fork").Process(target=start, args=(call, printed, kill, held))
        program.start()
        until = time.monotonic() + 60
        while not held.exists():
            assert program.is_alive() and time.monotonic() < until
            time.sleep(0.001)
        if kill % 2:
            os.killpg(program.pid, signal.SIGKILL)
            left += len(list((tmp_path / "out").glob(".*.tmp")))
        else:
            os.kill(program.pid, signal.SIGKILL)        # the others write their shards to the end
        program.join()
        assert not (tmp_path / "out" / "trainA.json").exists()
        made.append(int(printed.read_text().split(", ")[1].split()[0]))
    assert left > 0 and made == sorted(made) and 0 < made[-1] < 50
    code, out, _ = run(*call)
    assert code == 0 and out.startswith("50 shards, ") and int(out.split(", ")[1].split()[0]) > made[-1]
    run(call[0], tmp_path / "once", "--shard_images", 4)
    assert content(tmp_path / "out") == content(tmp_path / "once")
    assert run("--check", tmp_path / "out")[0] == 0


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("spoil, says", [
    (lambda out: flip(out / "trainA-000001.tar", 700), "trainA-000001.tar has another checksum (SHA-256)"),
    (lambda out: os.truncate(out / "trainA-000001.tar", 1024), "trainA-000001.tar is cut off"),
    (lambda out: (out / "trainB-000000.tar").unlink(), "trainB-000000.tar is no whole tar file"),
    (lambda out: (out / "trainB-000000.idx").unlink(), "trainB-000000.idx cannot be read"),
    (lambda out: (out / "trainB-000000.idx").write_text(
        (out / "trainB-000000.idx").read_text().replace('"0.png"', '"1.png"')), "does not fit its shard")])
def test_check_names_what_is_wrong(spoil, says: str, run, folder, tmp_path) -> None:
    assert run(folder, tmp_path / "out", "--shard_images", 3)[0] == 0
    spoil(tmp_path / "out")
    code, out, error = run("--check", tmp_path / "out")
    assert code == 1 and says in out and "1 of 4 shards" in error and error.count("\n") == 0


@pytest.mark.parametrize("arguments, says", [
    (["@/none", "@/out"], "none' is no folder"),
    (["@/folder"], "give the folder of images and the folder for the shards, or --check"),
    (["@/folder/trainA", "@/out"], "trainA holds images itself"),
    (["@/other", "@/out"], "hold no images"),
    (["@/folder", "@/out", "--sets", "trainX"], "--sets names trainX, but"),
    (["@/folder", "@/folder/trainA"], "is one of the folders to be packed"),
    (["--check", "@/folder"], "holds no list of shards"),
    (["@/folder", "@/other"], "holds 1 shards of other sizes or images, the first is trainA-000009.tar")])
def test_mistakes_are_one_line(arguments: list[str], says: str, run, folder, tmp_path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "trainA-000009.tar").write_text("")
    code, _, error = run(*(argument.replace("@", str(tmp_path)) for argument in arguments))
    assert code == 2 and says in error and error.startswith("make_shards.py: error: ")
    assert "\n" not in error


def test_two_at_once_are_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(packing, "WAIT_SECONDS", 0.2)
    with packing.alone_in(tmp_path):
        with pytest.raises(packing.UsageError, match="another make_shards.py is writing into"):
            with packing.alone_in(tmp_path):
                pass
    with packing.alone_in(tmp_path):
        pass


def die(job: int) -> None:
    if job == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    if job == 1:
        raise OSError("no space left")


def test_a_killed_process_and_an_error_are_said() -> None:
    assert dict(in_processes([0, 1, 3], die, 2)) == {0: "", 1: "no space left", 3: ""}
    began = time.monotonic()
    with pytest.raises(RunError, match="a process that packs was killed"):
        list(in_processes([0, 1, 2, 3], die, 2))
    assert time.monotonic() - began < 10
