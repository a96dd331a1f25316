"""Archives are unpacked whole or refused: slips, links, bombs, damage, in files made for the purpose."""

import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from datasets.archives import extract
from util.errors import RunError


def make_zip(path: Path, members: dict[str, bytes], modes: dict[str, int] | None = None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (modes or {}).get(name, stat.S_IFREG | 0o644) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return path


def make_tar(path: Path, members: list[tuple[tarfile.TarInfo, bytes]], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def tar_info(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


CONTENT = {"set/trainA/1.jpg": b"one", "set/trainA/2.jpg": b"", "set/trainB/é b.jpg": os.urandom(1 << 20)}


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.bz2"])
def test_whole_archives_come_out_as_they_went_in(kind, tmp_path):
    path = tmp_path / f"set.{kind}"
    if kind == "zip":
        make_zip(path, {"set/": b"", **CONTENT, "__MACOSX/set/._1.jpg": b"x", "set/trainA/.DS_Store": b"x"})
    else:
        folder = (tar_info("set", tarfile.DIRTYPE), b"")
        make_tar(path, [folder, *((tar_info(name), content) for name, content in CONTENT.items())],
                 f"w:{kind[4:]}")
    assert extract(path, tmp_path / "out") == 3
    assert tree(tmp_path / "out") == CONTENT


def test_permissions_are_not_taken_over(tmp_path):
    path = make_zip(tmp_path / "a.zip", {"run": b"x"}, {"run": stat.S_IFREG | 0o6777})
    extract(path, tmp_path / "out")
    assert (tmp_path / "out" / "run").stat().st_mode & 0o7111 == 0


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/evil", "..\\evil", "C:/evil", "C:\\evil",
                                  "\\\\host\\evil", "a/..", "."])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_paths_that_lead_out_are_refused(name, kind, tmp_path):
    path = tmp_path / f"a.{kind}"
    if kind == "zip":
        make_zip(path, {name: b"x"})
    else:
        make_tar(path, [(tar_info(name), b"x")])
    folder = tmp_path / "deep" / "out"
    with pytest.raises(RunError, match="leads out of the folder"):
        extract(path, folder)
    assert tree(tmp_path).keys() == {path.name}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_tar_links_and_devices_are_refused_and_nothing_is_written_through_them(kind, tmp_path):
    (tmp_path / "target").mkdir()
    path = make_tar(tmp_path / "a.tar", [(tar_info("link", kind, str(tmp_path / "target")), b""),
                                         (tar_info("link/evil"), b"x")])
    with pytest.raises(RunError, match="'link' is refused: it is a link or a device"):
        extract(path, tmp_path / "out")
    assert not list((tmp_path / "target").iterdir()) and not (tmp_path / "out").exists()


def test_zip_links_are_refused(tmp_path):
    path = make_zip(tmp_path / "a.zip", {"link": b"/etc"}, {"link": stat.S_IFLNK | 0o777})
    with pytest.raises(RunError, match="'link' is refused: it is a link"):
        extract(path, tmp_path / "out")


def test_encrypted_members_are_refused(tmp_path):
    path = make_zip(tmp_path / "a.zip", {"a": b"x"})
    data = bytearray(path.read_bytes())
    data[6] |= 1                                        # flag bits of the local header
    data[data.index(b"PK\1\2") + 8] |= 1                # and of the central directory
    path.write_bytes(data)
    with pytest.raises(RunError, match="'a' is refused: it is encrypted"):
        extract(path, tmp_path / "out")


def test_bombs_stop_at_the_bound(tmp_path):
    path = make_zip(tmp_path / "a.zip", {"zeros": bytes(50 * 2**20), "more": bytes(50 * 2**20)})
    assert path.stat().st_size < 200_000
    with pytest.raises(RunError, match="exceeds 5,000,000 bytes"):
        extract(path, tmp_path / "out", max_bytes=5_000_000)
    assert sum(map(len, tree(tmp_path / "out").values())) <= 5_000_000 + 2**20
    assert extract(path, tmp_path / "whole", max_bytes=100 * 2**20) == 2
    many = make_zip(tmp_path / "b.zip", {f"{n}": b"" for n in range(11)})
    with pytest.raises(RunError, match="or 10 files"):
        extract(many, tmp_path / "many", max_files=10)


def test_doubled_names_are_refused(tmp_path):
    path = make_tar(tmp_path / "a.tar", [(tar_info("a"), b"1"), (tar_info("./a"), b"2")])
    with pytest.raises(RunError, match="occurs twice"):
        extract(path, tmp_path / "out")
    assert (tmp_path / "out" / "a").read_bytes() == b"1"


@pytest.mark.parametrize("damage", ["cut", "flipped", "page", "empty"])
@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_damaged_archives_are_named(damage, kind, tmp_path):
    path = tmp_path / f"a.{kind}"
    if kind == "zip":
        make_zip(path, CONTENT)
    else:
        make_tar(path, [(tar_info(name), content) for name, content in CONTENT.items()], "w:gz")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    path.write_bytes({"cut": data[:middle], "empty": b"", "page": b"<html>not here</html>",
                      "flipped": data[:middle] + bytes(100) + data[middle + 100:]}[damage])
    with pytest.raises(RunError, match="download it again") as error:
        extract(path, tmp_path / "out")
    assert str(path) in str(error.value)
