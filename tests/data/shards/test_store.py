"""Remote shards: what comes through pipe: and http:, how much is kept, and what ends a run."""

import http.server
import os
import threading
import time
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch

from data import create_loader
from data.shards import store as module
from data.shards.ahead import FetchAhead
from data.shards.find import Source, find_images
from data.shards.store import ShardStore
from tests.data.shards.test_webdataset_dataset import batches
from util.errors import DataError, UsageError

pytest.importorskip("webdataset")


@pytest.fixture(autouse=True)
def hurry(monkeypatch) -> None:
    monkeypatch.setattr(module, "PAUSES", (0.01,))


@pytest.fixture
def indices(packed: Path) -> Path:
    """What a user keeps on this machine of remote shards."""
    (packed.parent / "indices").mkdir()
    for path in packed.glob("*.idx"):
        (packed.parent / "indices" / path.name).write_bytes(path.read_bytes())
    return packed.parent / "indices"


@pytest.fixture
def remote(packed, indices, shard_options):
    """Options of a training whose shards come through a command, which may be given."""
    def build(command: str = "cat {}", **changes):
        paths = {"A": f"{packed}/trainA-{{000000..000002}}.tar",
                 "B": f"{packed}/trainB-{{000000..000001}}.tar"}
        urls = {f"shards_{domain}": f"pipe:{command.format(path)}" for domain, path in paths.items()}
        return shard_options(indices, **urls | dict(shards_remote=True) | changes)
    return build


def shards_of(indices: Path, url: str, limit: int = 10**9):
    source = Source(str(indices), ShardStore(indices / "kept", limit))
    return find_images(source, "trainA", url, (".png", ".jpg"), float("inf"))


@pytest.mark.parametrize("workers", [0, 2])
def test_remote_shards_give_what_those_here_give(workers: int, packed, remote, shard_options) -> None:
    """In the order of windows, with and without workers; masks lie on this machine."""
    changes = dict(shards_window=1, batch_size=2, num_threads=workers)
    for one, other in zip(batches(remote(**changes)), batches(shard_options(packed, **changes)), strict=True):
        assert torch.equal(one["A"], other["A"]) and torch.equal(one["B"], other["B"])


def test_http(packed, indices) -> None:
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(packed))
    handler.log_message = lambda *words: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        here = find_images(Source(str(packed), None), "trainA", "", (".png", ".jpg"), float("inf"))
        images = shards_of(indices, f"{address}/trainA-{{000000..000002}}.tar")
        assert [path.read() for path in images] == [path.read() for path in here]
        gone = shards_of(indices, f"{address}/no/trainA-{{000000..000002}}.tar")
        with pytest.raises(DataError, match="/no/trainA-000000.tar cannot be fetched: 0 of"):
            gone[0].read()
        server.shutdown()


@pytest.mark.parametrize("command, says", [
    ("head -c 1000 {}", "cannot be fetched: 1000 of [0-9]+ bytes came"),
    ("cat {} /etc/passwd", "has more than the"),
    ("tr a b < {}", "its checksum \\(SHA-256\\) is not the one in its index"),
    ("false {}", "0 of [0-9]+ bytes came, and its command ended with 1")])
def test_what_is_not_the_shard_ends_the_run(command: str, says: str, remote, tmp_path) -> None:
    with pytest.raises(DataError, match=says):
        create_loader(remote(command))
    assert not list((tmp_path / "cache" / "shards").glob("*.tar"))


def test_a_silent_source_ends(remote, monkeypatch) -> None:
    monkeypatch.setattr(module, "SILENT_SECONDS", 0.2)
    began = time.monotonic()
    with pytest.raises(DataError, match="nothing came for"):
        create_loader(remote("sleep 30; cat {}"))
    assert time.monotonic() - began < 5


def test_a_hiccup_does_not(remote, tmp_path) -> None:
    """The command fails at its first call, and gives the shard at the second."""
    flag = tmp_path / "tried"
    create_loader(remote(f"test -e {flag} || {{{{ touch {flag}; exit 1; }}}}; cat {{}}"))
    assert flag.exists()


def test_no_more_is_kept_than_the_limit(packed, indices) -> None:
    """Room for two of three: those that were used last stay."""
    sizes = [path.stat().st_size for path in sorted(packed.glob("trainA-*.tar"))]
    images = shards_of(indices, f"pipe:cat {packed}/trainA-{{000000..000002}}.tar", limit=2 * max(sizes))
    first = images[0].read()
    (indices / "kept" / "left.part").write_bytes(bytes(100))
    os.utime(indices / "kept" / "left.part", (0, 0))      # what a killed process left
    for number in (0, 5, 10, 0, 5, 10):
        images[number].read()
        kept = list((indices / "kept").glob("*.tar"))
        assert sum(path.stat().st_size for path in kept) <= 2 * max(sizes)
    assert len(kept) == 2 and not (indices / "kept" / "left.part").exists()
    assert images[0].read() == first


def read_all(images, numbers, results) -> None:
    results.put([images[number].read() for number in numbers])


def test_processes_fetch_a_shard_once(packed, indices, tmp_path) -> None:
    count = tmp_path / "count"
    images = shards_of(indices, f"pipe:echo x >> {count}; sleep 0.3; "
                                f"cat {packed}/trainA-{{000000..000002}}.tar")
    context = get_context("fork")
    results = context.SimpleQueue()
    readers = [context.Process(target=read_all, args=(images, range(4), results)) for _ in range(3)]
    for reader in readers:
        reader.start()
    found = [results.get() for _ in readers]
    for reader in readers:
        reader.join()
    assert found[0] == found[1] == found[2] and count.read_text() == "x\n"


def test_the_next_window_is_fetched_ahead(packed, indices) -> None:
    images = shards_of(indices, f"pipe:cat {packed}/trainA-{{000000..000002}}.tar")
    FetchAhead().fetch(images.shards)
    until = time.monotonic() + 10
    while len(list((indices / "kept").glob("*.tar"))) < 3:
        assert time.monotonic() < until
        time.sleep(0.02)


def test_what_cannot_work_is_said_before(remote, indices, monkeypatch) -> None:
    with pytest.raises(UsageError, match="--shards_limit is 1e-05 GB, but"):
        create_loader(remote(shards_limit=1e-5))
    with pytest.raises(UsageError, match="--cache ram does not work with remote shards"):
        create_loader(remote(cache="ram"))
    with pytest.raises(UsageError, match="names no .tar file"):
        create_loader(remote(shards_A="pipe:cat x"))
    with pytest.raises(UsageError, match="copy the .idx files"):
        create_loader(remote(shards_A="http://host/other-0.tar"))
    monkeypatch.setitem(__import__("sys").modules, "webdataset.gopen", None)
    with pytest.raises(UsageError, match="pip install -r requirements-shards.txt"):
        create_loader(remote())
