"""Download a file from the first host that has it, over https: resumed, of bounded size, checksummed."""

import hashlib
import http.client
import shutil
import socket
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import BinaryIO, NamedTuple

from util.errors import RunError, UsageError

CHUNK = 1 << 20
TIMEOUT = 30            # seconds without a byte
PAUSE = 2               # seconds before a host is asked again
TRIES = 4               # in a row that bring no byte, for each host
LARGEST = 50 * 10**9    # bytes, where the size is not known beforehand
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Source(NamedTuple):
    """A file and the addresses that have it. bytes, sha256: None where they are not known."""

    name: str
    urls: list[str]
    sha256: str | None = None
    bytes: int | None = None


class Refused(Exception):
    """A host's answer that asking again would not change."""


def check_url(url: str) -> None:
    """Raise UsageError for an address that is neither https nor on this machine."""
    parts = urllib.parse.urlsplit(url)
    local = parts.scheme == "file" or parts.scheme == "http" and parts.hostname in LOOPBACK
    if parts.scheme != "https" and not local:
        raise UsageError(f"{url} is not https, so the file could be changed on the way; give an address that "
                         "is https")


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, request, response, code, message, headers, url):
        try:
            check_url(url)
        except UsageError as error:
            raise Refused(f"it redirects to {url}, which is not https") from error
        return super().redirect_request(request, response, code, message, headers, url)


def download(source: Source, folder: Path) -> Path:
    """The path of the file in a folder, which is made. A file that is there is not downloaded again.

    Raises RunError, naming every host and its error. What was downloaded so far stays as <name>*.part.
    """
    target = folder / source.name
    if target.exists():
        print(f"{target}: there already")
        return target
    folder.mkdir(parents=True, exist_ok=True)
    problems = []
    for url in source.urls:
        host = urllib.parse.urlsplit(url).hostname or url
        # Without a checksum, parts from different hosts must not be joined.
        mark = "" if source.sha256 else "." + hashlib.sha256(url.encode()).hexdigest()[:8]
        part = folder / f"{source.name}{mark}.part"
        try:
            _fetch_patiently(url, part, source)
            _check(part, source)
        except (Refused, OSError, http.client.HTTPException) as error:
            problems.append(f"{host}: {_reason(error)}")
            print(problems[-1], file=sys.stderr)
            continue
        part.replace(target)
        return target
    raise RunError(f"{source.name} could not be had ({'; '.join(problems)}); try again, as what came so far "
                   "is kept, or get it elsewhere and give it with --archive FILE")


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _check(part: Path, source: Source) -> None:
    found = sha256_of(part)
    if source.sha256 is None:
        print(f"{source.name}: no checksum is known for it; its sha256 is {found}")
    elif found != source.sha256:
        part.unlink()
        raise Refused(f"its file has the sha256 {found}, not {source.sha256}")


def _fetch_patiently(url: str, part: Path, source: Source) -> None:
    """Ask again after each broken connection, as long as every few requests bring more bytes."""
    tries = 0
    while True:
        before = _size(part)
        try:
            return _fetch(url, part, source)
        except (OSError, http.client.HTTPException) as error:
            tries = 1 if _size(part) > before else tries + 1
            final = isinstance(error, urllib.error.HTTPError) and error.code < 500
            reason = getattr(error, "reason", error)
            if final or tries >= TRIES or isinstance(reason, (ssl.SSLCertVerificationError, socket.gaierror)):
                raise
            time.sleep(PAUSE)


def _fetch(url: str, part: Path, source: Source) -> None:
    """One request for the missing part of the file."""
    have = _size(part)
    headers = {"User-Agent": "dataset-download", **({"Range": f"bytes={have}-"} if have else {})}
    opener = urllib.request.build_opener(_Redirects)
    try:
        response = opener.open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:                  # the host has no bytes after those that are there
            return _whole_or_refused(error.headers.get("Content-Range", ""), part, have)
        raise
    with response:
        resumed = response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        have = have if resumed else 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length is not None else None
        limit = source.bytes or LARGEST
        if total is not None and total > limit:
            raise Refused(f"its file has {total:,} bytes, more than {limit:,}")
        if total is not None and total - have > shutil.disk_usage(part.parent).free:
            raise RunError(f"{part.parent} has not the {total - have:,} bytes free that {source.name} needs")
        with open(part, "ab" if resumed else "wb") as stream:
            _copy(response, stream, have, total, limit, source.name)


def _whole_or_refused(content_range: str, part: Path, have: int) -> None:
    if content_range != f"bytes */{have}":
        part.unlink()
        raise Refused("its file is another one than before; the part that was there is removed")


def _copy(response: BinaryIO, stream: BinaryIO, done: int, total: int | None, limit: int, name: str) -> None:
    """Raises ConnectionError when fewer bytes come than were announced, Refused when more than the limit."""
    shown = -1
    while chunk := response.read(CHUNK):
        done += len(chunk)
        if done > limit:
            raise Refused(f"its file has more than {limit:,} bytes")
        stream.write(chunk)
        percent = 100 * done // total if total else 0
        if percent // 10 > shown:
            shown = percent // 10
            print(f"{name}: {done / 1e6:,.0f} MB" + (f" of {total / 1e6:,.0f}" if total else ""), flush=True)
    if total is not None and done < total:
        raise ConnectionError(f"the connection ended after {done:,} of {total:,} bytes")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _reason(error: Exception) -> str:
    """The cause, in words that help a user."""
    cause = getattr(error, "reason", error)
    if isinstance(error, urllib.error.HTTPError):
        return f"it answers HTTP {error.code} {error.reason}"
    if isinstance(cause, socket.gaierror):
        return "its name is not known; is there a network?"
    if isinstance(cause, TimeoutError):
        return f"it sent nothing for {TIMEOUT} seconds"
    if isinstance(cause, ConnectionRefusedError):
        return "it refuses connections"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not valid ({cause.verify_message})"
    return str(cause) or type(cause).__name__
