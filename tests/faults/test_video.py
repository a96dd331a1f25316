"""kill -9, and a full disk, while a video is translated: the same command goes on to the same video."""

from pathlib import Path

import pytest

pytest.importorskip("av")
from tests.faults.programs import Program  # noqa: E402
from tests.faults.table import tally  # noqa: E402
from tests.scripts.video_files import make_video, read_video  # noqa: E402
from tests.test_translation import make_run  # noqa: E402

FRAMES = 120


class Video:
    """The translation of one video in a folder of its own."""

    def __init__(self, source: Path, folder: Path):
        self._source, self.folder, self._starts = source, folder, 0
        self.output, self.parts = folder / "made.mp4", folder / "made.mp4.parts"

    def start(self, trap: tuple = ()) -> Program:
        self._starts += 1
        return Program("scripts/translate_video.py", [
            str(self._source / "run"), str(self._source / "ride.mp4"), "--output", str(self.output),
            "--gpu_ids", "-1", "--segment_frames", "10"],
            self._source / f"{self.folder.name}_{self._starts}", trap)

    def pieces(self) -> int:
        return len(list(self.parts.glob("*.nut")))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("video")
    make_run(folder)
    make_video(folder / "ride.mp4", count=FRAMES)
    return folder


@pytest.fixture(scope="module")
def whole(source: Path) -> bytes:
    """What an undisturbed translation makes."""
    (source / "whole").mkdir()
    video = Video(source, source / "whole")
    program = video.start()
    assert program.end() == 0, program.err
    return video.output.read_bytes()


def test_killed_again_and_again(source: Path, whole: bytes, tmp_path: Path) -> None:
    video = Video(source, tmp_path)
    with tally("kill -9 while a video is translated", 3):
        for goal in (2, 6, 11):
            program = video.start()
            assert program.until(lambda goal=goal: video.pieces() >= goal), program.err
            program.kill()
            assert not video.output.exists() and video.pieces() >= goal
        program = video.start()
        assert program.end() == 0, program.err
        assert int(program.out.split(", ")[1].split(" of them done")[0]) >= 110
        assert video.output.read_bytes() == whole and [video.output] == list(tmp_path.iterdir())
    before, after = read_video(source / "ride.mp4"), read_video(video.output)
    assert len(after.times) == FRAMES and after.times == before.times and after.sound == before.sound


def test_killed_while_the_pieces_are_joined(source: Path, whole: bytes, tmp_path: Path) -> None:
    """The whole video is larger than any piece."""
    video = Video(source, tmp_path)
    with tally("kill -9 while a video is joined"):
        assert video.start(trap=("kill_at_size", len(whole) // 2)).end() < 0
        assert video.pieces() == 12 and not video.output.exists()
        program = video.start()
        assert program.end() == 0, program.err
        assert video.output.read_bytes() == whole


def test_full_disk(source: Path, whole: bytes, small_disk: Path) -> None:
    video = Video(source, small_disk)
    with tally("disk full while a video is translated"):
        filler = small_disk / "filler"
        free = 3 * 2 ** 20 - len(whole) // 2
        filler.write_bytes(bytes(free // 4096 * 4096))
        program = video.start()
        assert program.end() == 1
        line, = program.err.splitlines()
        assert "No space left on device" in line and "Traceback" not in program.err
        assert video.pieces() > 0 and not list(small_disk.rglob(".*.tmp"))
        filler.unlink()
        program = video.start()
        assert program.end() == 0, program.err
        assert "of them done" in program.out and video.output.read_bytes() == whole
