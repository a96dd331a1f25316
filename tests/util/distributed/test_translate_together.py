"""Two processes translate a folder: the files and the page that one process makes."""

import subprocess
import sys
from pathlib import Path

import pytest

from data.result_files import own_items
from tests.test_translation import make_run, paint
from util.distributed import ranks

ROOT = Path(__file__).resolve().parents[3]


def translate(tmp_path: Path, results: str, *flags: str) -> str:
    done = subprocess.run(
        [sys.executable, str(ROOT / "test.py"), "--dataroot", str(tmp_path / "photos"), "--name", "run",
         "--checkpoints_dir", str(tmp_path / "checkpoints"), "--results_dir", str(tmp_path / results),
         "--preprocess", "none", "--gpu_ids", "-1", "--num_threads", "0", *flags],
        text=True, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def made(tmp_path: Path, results: str) -> dict[str, bytes]:
    folder = tmp_path / results / "run" / "test_latest"
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*")
            if path.is_file() and path.parent.name != "record"}


def test_two_ranks_make_what_one_makes(tmp_path: Path) -> None:
    make_run(tmp_path / "checkpoints")
    paint(tmp_path / "photos", "a.png", "a.jpg", "b/c.png", "b/d.png", "e.png")
    assert "translated 5 of 5 images" in translate(tmp_path, "one")
    assert "translated 5 of 5 images" in translate(tmp_path, "two", "--ranks", "2")
    assert made(tmp_path, "one") == made(tmp_path, "two") and "index.html" in made(tmp_path, "two")
    records = (tmp_path / "two" / "run" / "test_latest" / "record").glob("done_*.jsonl")
    assert [len(path.read_text().splitlines()) for path in sorted(records)] == [2, 3]
    (tmp_path / "two/run/test_latest/images/fake_B/b/c.png").unlink()
    again = translate(tmp_path, "two", "--ranks", "2", "--skip_existing")
    assert "translated 1 of 5 images, 4 were done" in again
    assert made(tmp_path, "one") == made(tmp_path, "two")


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_every_item_has_one_rank_and_volumes_stay_whole(
        count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.nii", "b.nii"):
        (tmp_path / name).touch()
    sources = ([f"{tmp_path}/a.nii[{n:03d}]" for n in range(5)] + [f"{tmp_path}/{n}.png" for n in range(4)]
               + [f"{tmp_path}/b.nii[{n:03d}]" for n in range(3)])
    items = [n for n in range(12) if n != 6]        # one is done
    monkeypatch.setattr(ranks, "active", lambda: True)
    monkeypatch.setattr(ranks, "world_size", lambda: count)
    parts = []
    for number in range(count):
        monkeypatch.setattr(ranks, "rank", lambda number=number: number)
        parts.append(own_items(items, sources))
    assert sum(parts, []) == items
    for volume in (range(5), range(9, 12)):
        assert sum(bool(set(volume) & set(part)) for part in parts) == 1
