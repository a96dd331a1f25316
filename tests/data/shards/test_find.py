"""Which shards a set has, and what is refused before a run begins."""

import json
import os
import shutil
import tarfile
from pathlib import Path

import pytest

from data.shards.find import Source, expand, find_images
from data.shards.index import index_path, read_index, scan
from util.errors import UsageError

PNG = (".png", ".jpg")


def find(root: Path, name: str = "trainA", pattern: str = "", limit: float = float("inf")):
    return find_images(Source(str(root), None), name, pattern, PNG, limit)


@pytest.mark.parametrize("pattern, places", [
    ("a-{000..002}.tar", ["a-000.tar", "a-001.tar", "a-002.tar"]),
    ("a-{9..11}.tar", ["a-9.tar", "a-10.tar", "a-11.tar"]),
    ("{x,y}-{0..1}", ["x-0", "x-1", "y-0", "y-1"]),
    ("pipe:cat {0..1}.tar | tr a {b}", ["pipe:cat 0.tar | tr a {b}", "pipe:cat 1.tar | tr a {b}"]),
    ("plain.tar", ["plain.tar"])])
def test_a_pattern_stands_for_places(pattern: str, places: list[str]) -> None:
    assert expand(pattern) == places


def test_names_and_order_are_the_folders(folder, packed) -> None:
    images = find(packed)
    names = sorted(str(path.relative_to(folder / "trainA")) for path in (folder / "trainA").rglob("*.*"))
    assert [images.name(number) for number in range(11)] == names
    assert list(images) == [f"{packed}/trainA/{name}" for name in names]
    assert images[4].read() == (folder / "trainA" / names[4]).read_bytes()
    assert list(images[3:8]) == list(images)[3:8] and images[3:8][1].read() == images[4].read()
    assert list(images.counts) == [4, 4, 3]
    assert len(find(packed, limit=6)) == 6


def test_the_index_says_what_the_headers_say(packed) -> None:
    for shard in packed.glob("*.tar"):
        index, found = read_index(index_path(shard)), scan(str(shard))
        assert (index.bytes, index.offsets, index.sizes, index.names) == (
            found.bytes, found.offsets, found.sizes, found.names)


def test_a_folder_of_shards_is_a_set(packed) -> None:
    (packed / "more").mkdir()
    for path in packed.glob("trainA-*"):
        path.rename(packed / "more" / path.name)
    assert len(find(packed, "more")) == 11


def cut(packed: Path) -> None:
    os.truncate(packed / "trainA-000001.tar", 2000)


def cut_without_index(packed: Path) -> None:
    index_path(packed / "trainA-000001.tar").unlink()
    cut(packed)


def lose_the_end(packed: Path) -> None:
    index_path(packed / "trainA-000001.tar").unlink()
    os.truncate(packed / "trainA-000001.tar", (packed / "trainA-000001.tar").stat().st_size - 1024)


def compress(packed: Path) -> None:
    index_path(packed / "trainA-000001.tar").unlink()
    with tarfile.open(packed / "trainA-000001.tar", "w:gz") as tar:
        tar.add(__file__, "x.png")


def copy_a_shard(packed: Path) -> None:
    (packed / "trainA.json").unlink()
    for ending in ("tar", "idx"):
        shutil.copy(packed / f"trainA-000000.{ending}", packed / f"trainB-000009.{ending}")


def leave_the_folder(packed: Path) -> None:
    index = index_path(packed / "trainA-000000.tar")
    index.write_text(index.read_text().replace('"deep/er/', '"../'))


def beyond(packed: Path) -> None:
    index = index_path(packed / "trainA-000000.tar")
    head, first, *rest = index.read_text().splitlines()
    row = json.loads(first)
    index.write_text("\n".join([head, json.dumps([51_200_000, *row[1:]]), *rest]))


def no_json(packed: Path) -> None:
    index_path(packed / "trainA-000000.tar").write_text("{")


def manifest_outside(packed: Path) -> None:
    (packed / "trainA.json").write_text(json.dumps({"shards": [{"name": "../x.tar"}]}))


TWICE = "trainA-{000000..000001}.tar"


@pytest.mark.parametrize("spoil, pattern, says", [
    (cut, "", "has 2000 bytes, but its index says"),
    (cut_without_index, "", "trainA-000001.tar is no whole tar file|trainA-000001.tar is cut off"),
    (lose_the_end, "", "the end of a tar file is missing"),
    (compress, "", "no whole tar file without compression"),
    (lambda packed: (packed / "trainA-000002.tar").unlink(), "", "trainA-000002.tar is missing"),
    (lambda packed: (packed / "trainA.json").unlink(), "", "the shards trainA in .* are not finished"),
    (lambda packed: (packed / "trainA.json").write_text("{"), "", "trainA.json cannot be read"),
    (manifest_outside, "", "some outside of its folder"),
    (leave_the_folder, "", "would lie outside of a folder"),
    (beyond, "", "names bytes beyond its shard's end"),
    (no_json, "", "trainA-000000.idx cannot be read"),
    (copy_a_shard, "train{A-000000,B-000009}.tar", "hold the same bytes"),
    (lambda packed: None, "trainA-{000000,000001,000000}.tar", "trainA-000000.tar is listed 2 times"),
    (lambda packed: None, "none-*.tar", "there are no shards of trainA: 'none-\\*.tar' matches no file"),
    (lambda packed: None, "trainA-{000000..000007}.tar", "trainA-000003.tar is missing"),
    (lambda packed: None, "pipe:cat {0..1}.tar", "--shards_remote allows to fetch it"),
    (lambda packed: None, "train{A,B}-000000.tar", "again in .*trainB-000000.tar; list each shard once"),
    (lambda packed: None, "http://host/x-0.tar", "--shards_remote allows to fetch it")])
def test_what_cannot_work_is_said_in_one_line(spoil, pattern: str, says: str, packed: Path) -> None:
    spoil(packed)
    with pytest.raises(UsageError, match=says) as error:
        find(packed, pattern=pattern)
    assert "\n" not in str(error.value)


def test_a_set_of_texts_holds_no_images(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("x")
    with tarfile.open(tmp_path / "trainA-0.tar", "w") as tar:
        tar.add(tmp_path / "x.txt", "x.txt")
    with pytest.raises(UsageError, match="the shards of trainA hold no images"):
        find(tmp_path)


def test_hidden_files_and_folders_are_no_images(tmp_path: Path) -> None:
    """As in a folder: macOS writes ._0.png beside 0.png."""
    with tarfile.open(tmp_path / "trainA-0.tar", "w") as tar:
        for name in ("0.png", "._0.png", ".deep/1.png", "2.PNG"):
            tar.add(__file__, name)
        tar.addfile(tarfile.TarInfo("folder.png/"), None)
    assert list(find(tmp_path)) == [f"{tmp_path}/trainA/0.png", f"{tmp_path}/trainA/2.PNG"]
