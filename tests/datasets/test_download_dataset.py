"""download_dataset.sh from start to end, with servers and files of this machine in place of the hosts."""

import functools
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import threading
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).parents[2]
SETS = json.loads((ROOT / "datasets" / "sources.json").read_text())


def fetch(*arguments: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run the script where every host but this machine refuses connections."""
    closed = {"https_proxy": "http://127.0.0.1:1", "no_proxy": "127.0.0.1"}
    script = ROOT / "datasets" / "download_dataset.sh"
    return subprocess.run(["bash", script, *map(str, arguments)], text=True, capture_output=True, timeout=60,
                          cwd=cwd, env=os.environ | closed)


def zip_of(names: list[str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, name)
    return buffer.getvalue()


@pytest.fixture
def mirror(tmp_path):
    """A folder that a server on this machine hands out, and its address."""
    folder = tmp_path / "host"
    folder.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_from_a_mirror_to_a_folder(mirror, tmp_path):
    folder, url = mirror
    inside = ["grumpifycat/trainA/1.jpg", "grumpifycat/trainB/2.jpg"]
    (folder / "grumpifycat.zip").write_bytes(zip_of(inside))
    done = fetch("grumpifycat", "--output", tmp_path / "out", "--mirror", url)
    assert done.returncode == 0, done.stderr
    digest = hashlib.sha256((folder / "grumpifycat.zip").read_bytes()).hexdigest()
    assert f"no checksum is known for it; its sha256 is {digest}" in done.stdout
    assert files(tmp_path / "out") == set(inside)     # the archive is gone
    again = fetch("grumpifycat", "--output", tmp_path / "out", "--mirror", "https://nowhere.invalid")
    assert again.returncode == 0 and "there already" in again.stdout


def test_the_archive_can_be_kept_and_used_again(mirror, tmp_path):
    folder, _ = mirror
    (folder / "grumpifycat.zip").write_bytes(zip_of(["trainA/1.jpg", "trainB/1.jpg"]))    # without a folder
    output, found = tmp_path / "out", {"grumpifycat/trainA/1.jpg", "grumpifycat/trainB/1.jpg"}
    assert fetch("grumpifycat", "--output", output, "--mirror", folder.as_uri(), "--keep").returncode == 0
    assert files(output) == found | {"downloads/grumpifycat.zip"}
    shutil.rmtree(output / "grumpifycat")
    assert fetch("grumpifycat", "--output", output).returncode == 0
    assert files(output) == found


def test_a_file_that_is_not_the_published_one_is_refused(mirror, tmp_path):
    folder, _ = mirror
    (folder / "horse2zebra.zip").write_bytes(zip_of(["horse2zebra/trainA/1.jpg"]))
    known, = SETS["horse2zebra"]["files"]
    done = fetch("horse2zebra", "--output", tmp_path / "out", "--mirror", folder.as_uri())
    assert done.returncode == 1 and known["sha256"] in done.stderr
    for url in known["urls"]:
        assert f"{urlsplit(url).hostname}: it refuses connections" in done.stderr
    assert not (tmp_path / "out" / "horse2zebra").exists()


def test_archives_fetched_by_hand(mirror, tmp_path):
    folder, _ = mirror
    (folder / "mine.zip").write_bytes(zip_of(["horse2zebra/trainA/1.jpg"]))
    done = fetch("horse2zebra", "--output", "out", "--archive", folder / "mine.zip", cwd=tmp_path)
    assert done.returncode == 0 and "is not the published one" in done.stdout
    assert files(tmp_path / "out") == {"horse2zebra/trainA/1.jpg"}
    for name in ("base", "extended"):
        (folder / f"{name}.zip").write_bytes(zip_of([f"{name}/1.jpg", f"{name}/1.png"]))
    archives = [folder / "base.zip", folder / "extended.zip"]
    assert fetch("cmp_facades", "--output", tmp_path, "--archive", *archives).returncode == 0
    assert files(tmp_path / "cmp_facades") == {"0/base/1.jpg", "0/base/1.png",
                                               "1/extended/1.jpg", "1/extended/1.png"}


@pytest.mark.parametrize("content,words", [
    (zip_of(["set/ok.jpg", "../evil.jpg"]), "leads out of the folder"),
    (b"<html>", "neither a whole zip nor a tar")])
def test_bad_archives_leave_nothing_behind(tmp_path, content, words):
    (tmp_path / "bad.zip").write_bytes(content)
    done = fetch("grumpifycat", "--output", tmp_path / "out", "--archive", tmp_path / "bad.zip")
    assert done.returncode == 1 and words in done.stderr and len(done.stderr.splitlines()) == 1
    assert files(tmp_path) == {"bad.zip"}


@pytest.mark.parametrize("arguments,words", [
    (["horse2unicorn"], "there is no data set 'horse2unicorn'; choose one of"),
    (["cityscapes"], "registered users alone"),
    (["grumpifycat", "--archive", "none.zip"], "none.zip is no file"),
    (["grumpifycat", "--mirror", "http://example.org"], "is not https")])
def test_wrong_command_lines(arguments, words, tmp_path):
    done = fetch(*arguments, "--output", tmp_path / "out")
    assert done.returncode == 2 and words in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_the_list_names_every_set():
    done = fetch()
    assert done.returncode == 0 and [line.split()[0] for line in done.stdout.splitlines()] == list(SETS)


def test_the_table_of_sources_is_sound():
    for name, entry in SETS.items():
        assert re.fullmatch(r"\w+", name) and entry["about"]
        assert ("manual" in entry) != ("files" in entry)
        for file in entry.get("files", []):
            assert file["urls"] and all(url.startswith("https://") for url in file["urls"])
            assert re.fullmatch(r"[0-9a-f]{64}", file.get("sha256", "0" * 64))
            assert re.fullmatch(r"\w+\.(zip|tar)", file["name"])
