"""Downloads from servers on this machine: whole, resumed, mirrored, checked, refused; and dead hosts."""

import hashlib
import re
import shutil
import socket
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from datasets import download as module
from datasets.download import Source, check_url, download
from util.errors import RunError, UsageError

CONTENT = bytes(range(256)) * 10_000     # 2.56 MB
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves CONTENT at any path; `breaks` says after how many bytes the first answers end."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.breaks, self.ranges, self.resumes = CONTENT, [], [], True
        self.status, self.location, self.length_known = None, None, True
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/a.zip"

    def handle_error(self, request, client_address):
        pass    # a client that hangs up is part of the tests


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server, asked = self.server, self.headers.get("Range")
        server.ranges.append(asked)
        if server.location or server.status:
            self.send_response(302 if server.location else server.status)
            if server.location:
                self.send_header("Location", server.location)
            self.end_headers()
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and server.resumes else 0
        if start >= len(server.content) and start:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(server.content)}")
            self.end_headers()
            return
        body = server.content[start:]
        self.send_response(206 if start else 200)
        if start:
            whole = len(server.content)
            self.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
        if server.length_known:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:server.breaks.pop(0)] if server.breaks else body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    running = Server()
    yield running
    running.shutdown()
    running.server_close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(module, "PAUSE", 0)
    monkeypatch.setattr(module, "TIMEOUT", 2)
    monkeypatch.setenv("no_proxy", "*")


def source(*urls: str, **known) -> Source:
    return Source("a.zip", list(urls), **({"sha256": SHA256} | known))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_whole_file(server, tmp_path):
    path = download(source(server.url), tmp_path / "new")
    assert path.read_bytes() == CONTENT and names(tmp_path / "new") == ["a.zip"]
    assert download(source("https://nowhere.invalid/a.zip"), tmp_path / "new") == path     # there already
    assert server.ranges == [None]


def test_breaks_are_survived_and_only_what_is_missing_is_fetched(server, tmp_path):
    server.breaks = [1_000_000, 0, 700_000]
    assert download(source(server.url), tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=1000000-", "bytes=1000000-", "bytes=1700000-"]


def test_an_interrupted_download_goes_on_in_the_next_run(server, tmp_path):
    (tmp_path / "a.zip.part").write_bytes(CONTENT[:999])
    assert download(source(server.url), tmp_path).read_bytes() == CONTENT
    assert server.ranges == ["bytes=999-"]


def test_a_part_that_is_whole_needs_no_more_bytes(server, tmp_path):
    (tmp_path / "a.zip.part").write_bytes(CONTENT)
    assert download(source(server.url), tmp_path).read_bytes() == CONTENT


def test_a_part_of_another_file_is_dropped(server, tmp_path):
    (tmp_path / "a.zip.part").write_bytes(CONTENT + b"more")
    with pytest.raises(RunError, match="another one than before"):
        download(source(server.url), tmp_path)
    assert names(tmp_path) == []


def test_a_server_that_cannot_resume_sends_all_again(server, tmp_path):
    server.resumes = False
    (tmp_path / "a.zip.part").write_bytes(b"x" * 10)
    assert download(source(server.url), tmp_path).read_bytes() == CONTENT


def test_a_break_without_a_known_length_fails_the_checksum(server, tmp_path):
    server.length_known, server.breaks = False, [5000]
    with pytest.raises(RunError, match=f"sha256 .*, not {SHA256}"):
        download(source(server.url), tmp_path)
    assert names(tmp_path) == []


def test_the_next_mirror_serves_when_one_is_dead_or_wrong(server, tmp_path, capsys):
    wrong = Server()
    wrong.content = b"<html>login</html>"
    missing = Server()
    missing.status = 404
    with socket.socket() as closed:                       # a port that nobody listens on
        closed.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{closed.getsockname()[1]}/a.zip"
        found = download(source(dead, missing.url, wrong.url, server.url), tmp_path)
    assert found.read_bytes() == CONTENT
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "127.0.0.1: it refuses connections"
    assert said[1] == "127.0.0.1: it answers HTTP 404 Not Found" and missing.ranges == [None]
    assert "sha256" in said[2] and wrong.ranges == [None]


def test_all_hosts_dead_is_one_line_that_names_them(server, tmp_path):
    server.status = 503
    with pytest.raises(RunError) as error:
        download(source("https://nowhere.invalid/a.zip", server.url), tmp_path)
    message = str(error.value)
    assert "nowhere.invalid: its name is not known; is there a network?" in message
    assert "127.0.0.1: it answers HTTP 503" in message and "--archive FILE" in message
    assert len(server.ranges) == module.TRIES


def test_a_silent_host_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT", 0.1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(RunError, match="it sent nothing for 0.1 seconds"):
            download(source(f"http://127.0.0.1:{silent.getsockname()[1]}/a.zip"), tmp_path)


@pytest.mark.parametrize("length_known", [True, False])
def test_a_file_larger_than_announced_is_refused(server, tmp_path, length_known):
    server.length_known = length_known
    with pytest.raises(RunError, match="more than 2,000,000"):
        download(source(server.url, bytes=2_000_000), tmp_path)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2_000_000


def test_without_a_checksum_it_is_printed_and_parts_of_hosts_stay_apart(server, tmp_path, capsys):
    other = Server()
    other.content = b"y" * 2_560_000
    other.breaks = [100] + [0] * (module.TRIES - 1)
    found = download(source(other.url, server.url, sha256=None), tmp_path)
    assert found.read_bytes() == CONTENT                  # not 100 bytes of y and then the rest of CONTENT
    assert f"its sha256 is {SHA256}" in capsys.readouterr().out


@pytest.mark.parametrize("url", ["http://example.org/a.zip", "ftp://example.org/a.zip", "a.zip", ""])
def test_addresses_that_anybody_can_change_are_refused(url):
    with pytest.raises(UsageError, match="is not https"):
        check_url(url)


def test_redirects_to_plain_http_are_refused(server, tmp_path):
    server.location = "http://example.org/a.zip"
    with pytest.raises(RunError, match="redirects to http://example.org/a.zip, which is not https"):
        download(source(server.url), tmp_path)


def test_redirects_on_this_machine_are_followed(server, tmp_path):
    first = Server()
    first.location = server.url
    assert download(source(first.url), tmp_path).read_bytes() == CONTENT


def test_file_addresses(tmp_path):
    (tmp_path / "there").write_bytes(CONTENT)
    assert download(source((tmp_path / "there").as_uri()), tmp_path / "out").read_bytes() == CONTENT
    with pytest.raises(RunError, match="No such file"):
        download(source((tmp_path / "gone").as_uri()), tmp_path / "none")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_a_certificate_that_nobody_vouches_for_is_refused(server, tmp_path):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
                    "-subj", "/CN=localhost", "-keyout", tmp_path / "key", "-out", tmp_path / "cert"],
                   check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with pytest.raises(RunError, match="its certificate is not valid"):
        download(source(f"https://127.0.0.1:{server.server_port}/a.zip"), tmp_path / "out")
