"""The record of a translation: what counts as done, and what begins anew."""

import os
from pathlib import Path

import pytest
import torch
from torch import nn

from util.checkpoints.translation_record import Done, Record, made_by, stamp_of
from util.errors import UsageError

BY = {"weights": "w", "options": {"eval": "False"}}


def write(folder: Path, name: str, size: int = 5) -> Done:
    """A source and a result of that name, and its line."""
    source, made = folder / "sources" / name, folder / f"{name}.png"
    for path in (source, made):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(size))
    return Done(name, stamp_of(str(source)), {f"{name}.png": size}, [["fake_B", f"{name}.png", 1, 1]], {})


def begun(folder: Path, share: int = 0, keep: bool = True, by: dict = BY) -> Record:
    record = Record(folder, share)
    record.begin(by, keep=keep)
    return record


def done(folder: Path, *names: str) -> str:
    """The names that count as done, in letters."""
    sources = [str(folder / "sources" / name) for name in names]
    return "".join(name for name, is_done in zip(names, Record(folder).done(names, sources), strict=True)
                   if is_done)


@pytest.fixture
def filled(tmp_path) -> Path:
    record = begun(tmp_path)
    for name in "abc":
        record.add(write(tmp_path, name))
    return tmp_path


def test_what_was_written_is_done(filled):
    assert done(filled, *"cxba") == "cba"
    begun(filled)
    assert done(filled, *"abc") == "abc"


def test_what_has_changed_is_not_done(filled):
    (filled / "sources" / "a").write_bytes(bytes(6))
    os.utime(filled / "sources" / "b", ns=(1, 1))
    assert done(filled, *"abc") == "c"
    (filled / "c.png").write_bytes(b"")
    assert done(filled, *"abc") == ""


def test_what_is_gone_is_not_done(filled):
    (filled / "sources" / "a").unlink()
    (filled / "b.png").unlink()
    assert done(filled, *"abc") == "c"


def test_an_equal_file_elsewhere_is_another(filled):
    other = filled / "other"
    other.write_bytes(bytes(5))
    found = os.stat(filled / "sources" / "a")
    os.utime(other, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert Record(filled).done(["a"], [str(other)]) == [False]


@pytest.mark.parametrize("kept", [-1, -30])
def test_half_a_line_is_none_and_does_not_spoil_the_next(filled, kept):
    path, = (filled / "record").glob("done_*")
    path.write_bytes(path.read_bytes()[:kept])
    record = begun(filled)
    record.add(write(filled, "d"))
    expected = "abcd" if kept == -1 else "abd"      # a line that lacks its end alone is whole
    assert done(filled, *"abcd") == expected
    assert [found.name for found in record.at(record.places("abcd"))] == list(expected)


def test_the_last_line_of_a_name_holds(filled):
    record = begun(filled)
    record.add(write(filled, "a", size=9))
    assert done(filled, *"abc") == "abc"
    assert [found.files for found in record.at(record.places("a"))] == [{"a.png": 9}]


def test_images_that_share_a_name_are_done_by_their_files(filled):
    """As photos/a.jpg and photos/a.png do with --output_only --format same; q/a.jpg writes over p/a.jpg's."""
    record = begun(filled)
    others = [write(filled, f"a{n}")._replace(name="a") for n in (1, 2)]
    for other in others:
        record.add(other)
    sources = [str(filled / "sources" / name) for name in ("a", "a1", "a2")]
    assert Record(filled).done(["a"] * 3, sources) == [True] * 3
    record.add(others[1]._replace(files={"a1.png": 5}))         # it wrote over the file of the other
    assert Record(filled).done(["a"] * 3, sources) == [True, False, True]
    record.add(others[0])
    assert Record(filled).done(["a"] * 3, sources) == [True, True, False]
    record.add(others[0]._replace(source=["/elsewhere", 1, 1]))
    assert Record(filled).done(["a"] * 3, sources) == [True, False, False]


def test_shares_are_read_together(filled):
    begun(filled, share=3).add(write(filled, "d"))
    begun(filled, share=11).add(write(filled, "e"))
    assert done(filled, *"abcde") == "abcde"
    record = Record(filled)
    assert [found.name for found in record.at(record.places("edcba"))] == list("edcba")


@pytest.mark.parametrize("by, words", [
    ({"weights": "v", "options": {"eval": "False"}}, "other weights made it"),
    ({"weights": "w", "options": {"eval": "True"}}, "--eval was False and is True"),
    ({"weights": "w", "options": {"eval": "False", "tile": "8"}}, "--tile was None and is 8")])
def test_others_begin_anew_and_say_why(filled, by, words):
    assert Record(filled).begin(by, keep=True) == words
    assert done(filled, *"abc") == ""
    assert Record(filled).begin(by, keep=True) == ""


def test_without_keeping_all_begins_anew(filled):
    assert Record(filled).begin(BY, keep=False) == ""
    assert done(filled, *"abc") == ""


def test_a_broken_record_begins_anew(filled):
    (filled / "record" / "made_by.json").write_text("{")
    assert Record(filled).begin(BY, keep=True) == "its record of what made it cannot be read"


def test_rubbish_of_a_killed_process_is_removed(filled):
    rubbish = filled / "images" / f".{32 * 'a'}.tmp"
    rubbish.parent.mkdir()
    rubbish.touch()
    begun(filled)
    assert not rubbish.exists()


# ---- what made them

def test_weights_and_options_that_matter(tmp_path):
    net, options = nn.Conv2d(2, 3, 1), {"eval": False, "name": "x", "num_threads": 4, "tile": None}
    first = made_by({"G": net}, options)
    assert made_by({"G": net}, options | {"name": "y", "num_threads": 0}) == first
    assert made_by({"G": net}, options | {"eval": True}) != first
    assert made_by({"H": net}, options) != first
    with torch.no_grad():
        net.bias[1] = torch.nextafter(net.bias[1], torch.tensor(9.0))
    assert made_by({"G": net}, options) != first


def test_a_file_that_an_option_names_counts_with_its_content(tmp_path):
    style = tmp_path / "style.png"
    style.write_bytes(b"1")
    first = made_by({}, {"style_image": str(style)})
    assert made_by({}, {"style_image": str(style)}) == first
    style.write_bytes(b"12")
    assert made_by({}, {"style_image": str(style)}) != first


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="file/run: Not a directory; choose another --results_dir"):
        begun(tmp_path / "file" / "run")
