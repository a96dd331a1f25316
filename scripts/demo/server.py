"""The server of the page: its files, what can be chosen, and translations, for this machine alone."""

import io
import json
import threading
import time
import traceback
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from PIL import Image

from scripts.demo.runs import Choice, Runs
from scripts.demo.uploads import Limits, Refused, check_size, read_upload
from util.errors import UsageError

FILES = {"/": ("page.html", "text/html; charset=utf-8"), "/icon.svg": ("icon.svg", "image/svg+xml"),
         "/page.js": ("page.js", "text/javascript; charset=utf-8"),
         "/style.css": ("style.css", "text/css; charset=utf-8")}
LOCAL = ("127.0.0.1", "localhost", "[::1]")
WAITING = 8         # translations under way and in line; who comes beyond them is asked to try again
SECONDS = 60        # that a visitor may take to send the next part of a request
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'"


class DemoServer(ThreadingHTTPServer):
    """Answers each request on a thread of its own; the networks compute one image at a time.

    Without allow_others it listens on the loopback address alone, and answers only requests that were sent to
    this machine by its local names: a page of the web that lets its own name point here (DNS rebinding), or
    sends from another origin, gets nothing.
    """

    daemon_threads = True

    def __init__(self, port: int, runs: Runs, limits: Limits, *, allow_others: bool = False):
        self.runs, self.limits, self.allow_others = runs, limits, allow_others
        self.places = threading.BoundedSemaphore(WAITING)
        super().__init__(("" if allow_others else "127.0.0.1", port), Handler)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"

    def is_ours(self, host: str) -> bool:
        """Whether a Host header (or the host of an Origin) names this server."""
        port = self.server_address[1]
        names = {f"{name}:{port}" for name in LOCAL} | (set(LOCAL) if port == 80 else set())
        return self.allow_others or host in names


class Handler(BaseHTTPRequestHandler):
    """One request. What goes wrong is answered with a status and {"error": one line}."""

    server: DemoServer
    server_version, sys_version = "demo_app", ""
    timeout = SECONDS

    def do_GET(self) -> None:
        self.answer(self.get)

    def do_POST(self) -> None:
        self.answer(self.post)

    def answer(self, respond: Callable[[], None]) -> None:
        try:
            self.check_sender()
            respond()
        except Refused as refused:
            self.send(refused.status, "application/json", json.dumps({"error": str(refused)}).encode())
        except (ConnectionError, TimeoutError):     # the visitor has left
            self.close_connection = True
        except Exception as error:      # a fault of the program: the visitor is told, the others are served
            traceback.print_exc()
            words = f"The program failed ({type(error).__name__}); its terminal shows where."
            self.send(HTTPStatus.INTERNAL_SERVER_ERROR, "application/json",
                      json.dumps({"error": words}).encode())

    def check_sender(self) -> None:
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        if not self.server.is_ours(host):
            raise Refused(HTTPStatus.FORBIDDEN,
                          f"This page is open to this machine alone: {self.server.address}")
        if origin is not None and origin != f"http://{host}":
            raise Refused(HTTPStatus.FORBIDDEN, "Requests of other pages are not answered.")

    def get(self) -> None:
        path = urlsplit(self.path).path
        if path == "/runs":
            self.send(HTTPStatus.OK, "application/json", json.dumps(self.server.runs.offered()).encode())
        elif path in FILES:
            name, kind = FILES[path]
            self.send(HTTPStatus.OK, kind, (Path(__file__).parent / name).read_bytes())
        else:
            raise Refused(HTTPStatus.NOT_FOUND, f"There is nothing at {path}.")

    def post(self) -> None:
        address = urlsplit(self.path)
        if address.path != "/translate":
            raise Refused(HTTPStatus.NOT_FOUND, f"There is nothing at {address.path}.")
        data = self.body()
        choice = choice_of(address.query)
        if not self.server.places.acquire(blocking=False):
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "Many images are in line: try again in a while.")
        try:
            image = read_upload(data, self.server.limits)
            start = time.perf_counter()
            made = self.translate(image, choice)
            seconds = time.perf_counter() - start
        finally:
            self.server.places.release()
        stream = io.BytesIO()
        made.save(stream, "PNG", compress_level=4)
        self.send(HTTPStatus.OK, "image/png", stream.getvalue(), {"X-Seconds": f"{seconds:.2f}"})

    def body(self) -> bytes:
        """What was sent with the request. Raises Refused, too large a file unread."""
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit():
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "The request does not tell the size of its file.")
        try:
            check_size(int(length), self.server.limits)
        except Refused:
            self.pass_over(min(int(length), 4 * self.server.limits.size))
            raise
        data = self.rfile.read(int(length))
        if len(data) < int(length):
            raise Refused(HTTPStatus.BAD_REQUEST, "The file was cut off on its way.")
        return data

    def pass_over(self, count: int) -> None:
        """Read some of a body and keep nothing: a browser shows an answer only once its file is sent."""
        while count > 0 and (part := self.rfile.read(min(count, 1 << 20))):
            count -= len(part)
        self.close_connection = True

    def translate(self, image: Image.Image, choice: Choice) -> Image.Image:
        try:
            return self.server.runs.translator(choice)(image)
        except UsageError as error:
            raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "memory" not in str(error).lower():
                raise
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"An image of {image.width:,} × "
                          f"{image.height:,} pixels does not fit into memory: make it smaller.") from error

    def send(self, status: HTTPStatus, kind: str, content: bytes, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        headers = {"Content-Type": kind, "Content-Length": str(len(content)), "Cache-Control": "no-store",
                   "Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff",
                   "Referrer-Policy": "no-referrer", **(more or {})}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        """The terminal stays quiet."""


def choice_of(query: str) -> Choice:
    """The choice that a request's address tells. Raises Refused."""
    given = {name: values[-1] for name, values in parse_qs(query).items()}
    missing = {"run", "epoch"} - given.keys()
    tile = given.get("tile") or None
    if missing or not (tile is None or tile.isascii() and tile.isdigit() and len(tile) < 6):
        raise Refused(HTTPStatus.BAD_REQUEST,
                      "The request names no run and epoch, or no number as its tile.")
    return Choice(given["run"], given["epoch"], given.get("use_ema") == "true",
                  given.get("precision", "auto"), tile and int(tile))
