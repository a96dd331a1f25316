import errno
import os

import pytest

from util.atomic import atomic_file


@pytest.mark.parametrize("durable", [False, True])
def test_new_content_takes_the_old_ones_place(tmp_path, durable):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with atomic_file(path, durable=durable) as stream:
        stream.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_error_keeps_the_old_file_and_leaves_no_other(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), atomic_file(path) as stream:
        stream.write(b"half")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("named, expected", [(None, "file"), ("other", "other")])
def test_an_error_of_the_system_names_the_file(tmp_path, named, expected):
    """A write to a full disk names none."""
    with pytest.raises(OSError) as caught, atomic_file(tmp_path / "file"):
        raise OSError(errno.ENOSPC, "No space left on device", named)
    assert os.path.basename(caught.value.filename) == expected
    assert str(caught.value).startswith("[Errno 28] No space left on device: ")
    assert list(tmp_path.iterdir()) == []


def test_longest_possible_name(tmp_path):
    with atomic_file(tmp_path / ("x" * 255)) as stream:
        stream.write(b"1")
    assert [len(p.name) for p in tmp_path.iterdir()] == [255]
