"""A translated video: every frame at its time, the sound as it was, and one line for what is no video."""

import runpy
import shutil
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("av")
from models.translator import Translator  # noqa: E402
from scripts.video.ahead import ahead  # noqa: E402
from scripts.video.segments import Segments  # noqa: E402
from scripts.video.source import Source  # noqa: E402
from tests.scripts.video_files import make_video, picture, read_video  # noqa: E402
from tests.test_translation import make_run  # noqa: E402

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(tmp_path, monkeypatch, capsys) -> Callable[..., str]:
    """translate_video.py in this process, with a run of random weights; what it printed."""
    make_run(tmp_path)

    def call(video: Path, *flags: str) -> str:
        capsys.readouterr()
        program(monkeypatch, str(tmp_path / "run"), str(video), "--segment_frames", "10", *flags)
        return capsys.readouterr().out
    return call


def program(monkeypatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["translate_video.py", *words, "--gpu_ids", "-1"])
    runpy.run_path(str(ROOT / "scripts" / "translate_video.py"), run_name="__main__")


@pytest.mark.parametrize("ending, settings", [
    (".mp4", {}), (".mov", {"sound": False}), (".mkv", {"rate": Fraction(30)}),
    (".mp4", {"rate": Fraction(30000, 1001), "space": 1}), (".webm", {"codec": "libvpx-vp9"}),
    (".mp4", {"times": [3 * i + i % 2 for i in range(24)]}),
    (".mp4", {"size": (35, 27), "pixels": "yuv444p"})], ids=str)
def test_times_sound_size_and_colour_space_stay(run, tmp_path, ending, settings):
    source = make_video(tmp_path / f"ride{ending}", **settings)
    out = run(source, "--output", str(tmp_path / "out" / f"made{ending}"))
    assert f" frames of {'35x27' if 'size' in settings else '36x28'}, " in out
    before, after = read_video(source), read_video(tmp_path / "out" / f"made{ending}")
    assert after.times == before.times and after.sound == before.sound
    assert bool(after.sound) == settings.get("sound", True)
    assert after.frames[0].shape == before.frames[0].shape and after.colorspace == before.colorspace
    assert after.codec == before.codec
    if "times" not in settings:
        assert abs(after.rate / before.rate - 1) < 1e-3
    assert [path.name for path in (tmp_path / "out").iterdir()] == [f"made{ending}"]


def test_frames_are_those_of_a_translator(run, tmp_path):
    """But for what the encoder loses: seen through pieces that lose nearly nothing."""
    source = make_video(tmp_path / "ride.mp4", pixels="yuv444p")
    run(source, "--output", str(tmp_path / "made.mp4"), "--crf", "0", "--batch_size", "4")
    translate = Translator.load(tmp_path / "run", device="cpu")
    for given, made in zip(read_video(source).frames, read_video(tmp_path / "made.mp4").frames, strict=True):
        expected = np.asarray(translate(Image.fromarray(given))).astype(int)
        assert np.abs(expected.mean((0, 1)) - made.mean((0, 1))).max() < 6
        blurred, seen = (np.asarray(Image.fromarray(x.astype(np.uint8)).resize((9, 7), Image.Resampling.BOX))
                         for x in (expected, made))
        assert np.abs(blurred.astype(int) - seen).mean() < 6


@pytest.mark.parametrize("space, rotation", [(1, 0), (2, 0), (5, 90), (1, -90)])
def test_colours_and_turned_frames(tmp_path, space, rotation):
    """Frames that are not changed come back, upright and in their colours. (Decoding BT.709 as BT.601, or the
    other way, moves these by more than ten levels.)
    """
    source = Source(make_video(tmp_path / "ride.mp4", space=space, rotation=rotation, size=(64, 48), count=3))
    segments = Segments(tmp_path / "parts", source.look, ".mp4", crf=1)
    segments.begin({})
    segments.add(0, ((np.asarray(frame.image), frame.time) for frame in source))
    segments.join(tmp_path / "made.mp4", source)
    expected = np.rot90(picture((64, 48), 0), rotation // 90).astype(int)
    made = read_video(tmp_path / "made.mp4").frames[0]
    assert made.shape == expected.shape
    even = np.rot90(np.pad(np.ones((20, 46), bool), ((2, 26), (16, 2))), rotation // 90)
    assert np.abs((expected - made)[even].mean(0)).max() <= 6


def test_a_second_start_goes_on_with_whole_pieces(run, tmp_path, monkeypatch):
    source = make_video(tmp_path / "ride.mp4")
    run(source, "--output", str(tmp_path / "whole.mp4"))
    whole, kept = (tmp_path / "whole.mp4").read_bytes(), tmp_path / "kept"
    with monkeypatch.context() as patched:
        patched.setattr(Segments, "join", lambda self, *_: shutil.copytree(self.folder, kept))
        run(source, "--output", str(tmp_path / "made.mp4"))
    for number, done in ((2, 20), (1, 10)):
        parts = shutil.copytree(kept, tmp_path / "made.mp4.parts", dirs_exist_ok=True)
        for piece in sorted(parts.glob("*.nut"))[number:]:
            piece.unlink()
        (parts / f".{32 * 'a'}.tmp").write_bytes(b"half a piece")
        out = run(source, "--output", str(tmp_path / "made.mp4"))
        assert f"{done} of them done" in out
        assert (tmp_path / "made.mp4").read_bytes() == whole
    shutil.copytree(kept, tmp_path / "made.mp4.parts", dirs_exist_ok=True)
    out = run(source, "--output", str(tmp_path / "made.mp4"), "--crf", "30")     # other pieces than these
    assert "done" not in out and (tmp_path / "made.mp4").read_bytes() != whole


def test_the_name_of_a_run_and_the_default_output(run, tmp_path, monkeypatch):
    source = make_video(tmp_path / "ride.mp4", count=3)
    program(monkeypatch, "run", str(source), "--checkpoints_dir", str(tmp_path), "--results_dir",
            str(tmp_path / "results"))
    assert len(read_video(tmp_path / "results" / "run" / "ride_latest.mp4").frames) == 3


# ---- mistakes

def whole(folder: Path) -> Path:
    return make_video(folder / "a.mp4", count=3)


def sound_alone(folder: Path) -> Path:
    import av
    with av.open(str(folder / "song.mp4"), "w") as container:
        tone = container.add_stream("aac", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), "fltp", "mono")
        frame.sample_rate = 48000
        container.mux(tone.encode(frame))
        container.mux(tone.encode())
    return folder / "song.mp4"


def text(folder: Path) -> Path:
    (folder / "text.mp4").write_text("no video " * 1000)
    return folder / "text.mp4"


def cut_off(folder: Path) -> Path:
    path = make_video(folder / "cut.mp4")
    path.write_bytes(path.read_bytes()[:3000])
    return path


@pytest.mark.parametrize("make, flags, words", [
    (lambda folder: folder / "no.mp4", [], "there is no video"),
    (text, [], "text.mp4 cannot be read as a video"), (cut_off, [], "cut.mp4 cannot be read as a video"),
    (sound_alone, [], "holds no video stream, but audio"),
    (whole, ["--output", "a.avi"], "--output is 'a.avi'; its name must"),
    (whole, ["--output", "made.webm"], "cannot hold the sound"),
    (whole, ["--epoch", "7"], "choose one with --epoch"),
    (whole, ["--crf", "52"], "--crf is 52"),
    (whole, ["--preprocess", "resize"], "--preprocess is resize"),
    (whole, ["--crff", "2"], "did you mean --crf?")])
def test_what_cannot_be_gets_one_line(run, tmp_path, capsys, make, flags, words):
    video = make(tmp_path)
    before = set(tmp_path.rglob("*"))
    with pytest.raises(SystemExit) as ended:
        run(video, *flags)
    error = capsys.readouterr().err
    assert ended.value.code == 2 and words in error and error.count("\n") == 1
    assert set(tmp_path.rglob("*")) == before


def test_the_video_itself_is_no_output(run, tmp_path, capsys):
    video = make_video(tmp_path / "a.mp4")
    content = video.read_bytes()
    with pytest.raises(SystemExit):
        run(video, "--output", str(video))
    assert "--output is the video itself" in capsys.readouterr().err and video.read_bytes() == content


# ---- frames ahead

def test_ahead_keeps_order_errors_and_no_more_than_asked():
    made = []

    def items():
        for number in range(50):
            made.append(number)
            yield number
        raise ValueError("the end")

    found, few = [], ahead(items(), 3)
    with pytest.raises(ValueError, match="the end"):
        for number in few:
            found.append(number)
            time.sleep(0.001)
            assert len(made) <= len(found) + 4
    assert found == list(range(50))


def test_ahead_ends_with_its_user():
    ended = []

    def items():
        try:
            yield from range(100)
        finally:
            ended.append(True)

    few = ahead(items(), 2)
    assert next(few) == 0
    few.close()
    until = time.monotonic() + 5
    while not ended and time.monotonic() < until:
        time.sleep(0.01)
    assert ended
