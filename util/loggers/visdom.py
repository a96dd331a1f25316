"""Curves and images on a visdom server. A run never waits for the server, and never fails with it."""

import logging
import queue
import threading
import zlib
from argparse import Namespace
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from util.console import say
from util.images import Pixels, grid
from util.loggers.base import LOSS, SCORE, History, Logger, Values, with_prefix
from util.runtime.progress import Progress

ANSWER_SECONDS = 2.0        # for a server to say hello, and to take the last messages
SEND_SECONDS = 5.0          # for it to take any other
QUEUED = 32                 # messages that may wait; more are dropped
CURVES = {"losses": LOSS, "scores": SCORE}      # window -> how the names of its values begin


class ServerGone(Exception):
    """The server refused a message or did not answer in time."""


def connect_visdom(opt: Namespace, folder: Path) -> "VisdomWindows | None":
    """The run's windows on the visdom server of the --display flags.

    Without --display_id the windows get a number made from --name, so that a resumed run keeps its windows.
    Returns None without a word for --display_id 0 or less, and with a line that says why where there is no
    server. Takes about ANSWER_SECONDS at most.
    """
    number = opt.display_id
    if number is None:
        number = zlib.crc32(opt.name.encode("utf-8", "replace")) % 100_000 + 1
    if number <= 0:
        return None
    try:
        import visdom  # noqa: F401  only to see whether it can be
    except Exception as error:      # an old package fails in its own ways; none may end a run
        say(f"visdom: not shown, its package does not import ({type(error).__name__}: {error}); "
            "requirements-visdom.txt installs it")
        return None
    env = opt.display_env.replace("{name}", opt.name)
    windows = VisdomWindows(lambda: _connect(opt.display_server, opt.display_port, env), opt.name, number,
                            opt.display_ncols, opt.display_winsize)
    if not windows.wait_until_connected():
        say(f"visdom: not shown, no server answers at {opt.display_server}:{opt.display_port}")
        return None
    return windows


def _connect(server: str, port: int, env: str) -> Any:
    """A visdom client whose every request ends in bounded time, with an answer or with ServerGone."""
    import requests
    import visdom

    class Client(visdom.Visdom):
        def _handle_post(self, url: str, data: Any = None) -> str:
            # A proxy cannot reach this machine's own server, and should not see its images.
            self.session.trust_env = urlsplit(url).hostname not in ("localhost", "127.0.0.1", "::1")
            try:
                reply = self.session.post(url, data=data or {}, timeout=(ANSWER_SECONDS, SEND_SECONDS))
                reply.raise_for_status()
            except requests.RequestException as error:
                raise ServerGone(type(error).__name__) from error
            return reply.text

    logging.getLogger("visdom").setLevel(logging.ERROR)     # it warns at every start that all is well
    return Client(server=server, port=port, env=env, use_incoming_socket=False, raise_exceptions=True)


class VisdomWindows(Logger):
    """Windows with the curves of the losses and of the scores, and with the newest images.

    A thread of its own sends the messages, so the methods return at once, whatever the server does. Messages
    that the server is too slow for are dropped. When it dies, one line says so and no more is sent.
    """

    live = True

    def __init__(self, connect: Callable[[], Any], name: str, display_id: int, ncols: int, winsize: int):
        """ncols: images in a row of the one window of images; 0 gives each label its window.
        winsize: size of a window, in pixels of the screen."""
        self.name, self.display_id, self.ncols, self.winsize = name, display_id, ncols, winsize
        self._points: dict[str, list[tuple[int, Values]]] = {window: [] for window in CURVES}
        self._lines: dict[str, list[str]] = {}              # names of the curves that the server shows
        self._messages: queue.Queue[Callable[[], None] | None] = queue.Queue(QUEUED)
        self._connected, self._dead = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, args=(connect,), name="visdom", daemon=True)
        self._thread.start()

    # ---- called by the run

    def wait_until_connected(self) -> bool:
        """False, and the log is off for good, when no server answers within ANSWER_SECONDS."""
        if self._connected.wait(ANSWER_SECONDS) and not self._dead.is_set():
            return True
        self._dead.set()
        return False

    def start(self, step: Progress, history: History) -> None:
        for window, prefix in CURVES.items():
            rows = [(images, with_prefix(prefix, values)) for images, values in history]
            self._points[window] = [(images, values) for images, values in rows if values]

    def scalars(self, step: Progress, values: Values) -> None:
        for window, prefix in CURVES.items():
            if shown := with_prefix(prefix, values):
                self._put(partial(self._draw_curves, window, step.total_images, shown))

    def images(self, step: Progress, images: Mapping[str, Pixels], caption: str) -> None:
        self._put(partial(self._draw_images, images, caption))

    def close(self) -> None:
        """Give the server ANSWER_SECONDS to take what is still queued."""
        self._put(None)
        self._thread.join(ANSWER_SECONDS)
        if self._thread.is_alive():
            say("visdom: the server did not take the last messages in time")
        self._dead.set()

    def _put(self, message: Callable[[], None] | None) -> None:
        if not self._dead.is_set():
            try:
                self._messages.put_nowait(message)
            except queue.Full:
                pass                                        # dropped by design: see the class

    # ---- on the thread

    def _run(self, connect: Callable[[], Any]) -> None:
        try:
            self._client = connect()
            self._connected.set()
            while not self._dead.is_set() and (message := self._messages.get()):
                message()
        except Exception as error:      # whatever a server or its client does, the run goes on
            if self._connected.is_set() and not self._dead.is_set():
                say(f"visdom: shown no more, the server failed ({type(error).__name__}: {error})")
            self._dead.set()
            self._connected.set()

    def _draw_curves(self, window: str, images: int, values: Values) -> None:
        """A point of every curve. images: seen in all, the x axis."""
        points, names = self._points[window], list(values)
        points.append((images, values))
        known = self._lines.get(window) == names
        self._lines[window] = names
        rows = points[-1:] if known else points
        x = np.array([images for images, _ in rows])
        y = np.array([[row.get(name, np.nan) for name in names] for _, row in rows], dtype=float)
        y[~np.isfinite(y)] = np.nan                         # JSON has no infinity
        opts = {"title": f"{self.name}: {window}", "legend": names, "xlabel": "images",
                "ylabel": CURVES[window].rstrip("/"), "width": 2 * self.winsize,
                "height": int(1.5 * self.winsize)}
        self._client.line(Y=y, X=x, win=f"{self.display_id}_{window}", opts=opts,
                          update="append" if known else None)

    def _draw_images(self, images: Mapping[str, Pixels], caption: str) -> None:
        if self.ncols > 0:
            columns = min(self.ncols, len(images))
            panel = grid(list(images.values()), columns)
            self._draw("images", panel, f"{caption}: {', '.join(images)}", columns)
        else:
            for label, pixels in images.items():
                self._draw(label, pixels, caption)

    def _draw(self, window: str, pixels: Pixels, caption: str, columns: int = 1) -> None:
        height, width, _ = pixels.shape
        shown = columns * self.winsize
        opts = {"title": f"{self.name}: {window}", "caption": caption, "width": shown,
                "height": round(shown * height / width)}
        self._client.image(pixels.transpose(2, 0, 1), win=f"{self.display_id}_{window}", opts=opts)
