"""Loss curves and images on a visdom server, where one answers; a training never waits for it nor fails."""

import logging
import queue
import threading
import zlib
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from tqdm import tqdm

from util.images import Pixels, grid

ANSWER_SECONDS = 2.0        # for a server to say hello, and to take the last messages
SEND_SECONDS = 5.0          # for it to take any other
QUEUED = 32                 # messages that may wait; more are dropped

Row = tuple[int, dict[str, float]]


class ServerGone(Exception):
    """The server refused a message or did not answer in time."""


def connect_visdom(*, name: str, server: str, port: int, env: str, display_id: int | None, ncols: int,
                   winsize: int) -> "VisdomLog | None":
    """A log that shows on a visdom server, or None, after one line that says why, where that cannot be.

    display_id: number of the windows; None takes one made from `name`, so that a resumed run keeps its
    windows; 0 or less is off and says nothing. Returns within about ANSWER_SECONDS.
    """
    if display_id is not None and display_id <= 0:
        return None
    try:
        import visdom  # noqa: F401  only to see whether it can be
    except Exception as error:      # an old package fails in its own ways; none may end a training
        tqdm.write(f"visdom: not shown, its package does not import ({type(error).__name__}: {error}); "
                   "requirements-visdom.txt installs it")
        return None
    if display_id is None:
        display_id = zlib.crc32(name.encode("utf-8", "replace")) % 100_000 + 1
    log = VisdomLog(lambda: _connect(server, port, env), name, display_id, ncols, winsize)
    if not log.wait_until_connected():
        tqdm.write(f"visdom: not shown, no server answers at {server}:{port}")
        return None
    return log


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


class VisdomLog:
    """Hands messages to a thread that sends them, so its methods return at once, whatever the server does.

    Messages that the server is too slow for are dropped. When it dies, one line says so and no more is sent.
    """

    def __init__(self, connect: Callable[[], Any], name: str, display_id: int, ncols: int, winsize: int):
        """ncols: images in a row of the one window of images; 0 gives each label its window.
        winsize: size of a window, in pixels of the screen."""
        self.name, self.display_id, self.ncols, self.winsize = name, display_id, ncols, winsize
        self._history: list[Row] = []
        self._lines: list[str] | None = None                # names of the curves that the server shows
        self._messages: queue.Queue[Callable[[], None] | None] = queue.Queue(QUEUED)
        self._connected, self._dead = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, args=(connect,), name="visdom", daemon=True)
        self._thread.start()

    # ---- called by the training

    def wait_until_connected(self) -> bool:
        """False, and the log is off for good, when no server answers within ANSWER_SECONDS."""
        if self._connected.wait(ANSWER_SECONDS) and not self._dead.is_set():
            return True
        self._dead.set()
        return False

    def resume(self, history: list[Row]) -> None:
        """Begin the curves with these points. To be called before the first `losses`."""
        self._history = list(history)

    def losses(self, images: int, losses: dict[str, float]) -> None:
        """A point of every curve. images: images seen in all, the x axis."""
        self._put(lambda: self._draw_losses(images, losses))

    def images(self, images: dict[str, Pixels], caption: str) -> None:
        self._put(lambda: self._draw_images(images, caption))

    def close(self) -> None:
        """Give the server ANSWER_SECONDS to take what is still queued."""
        self._put(None)
        self._thread.join(ANSWER_SECONDS)
        if self._thread.is_alive():
            tqdm.write("visdom: the server did not take the last messages in time")
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
        except Exception as error:      # whatever a server or its client does, the training goes on
            if self._connected.is_set() and not self._dead.is_set():
                tqdm.write(f"visdom: shown no more, the server failed ({type(error).__name__}: {error})")
            self._dead.set()
            self._connected.set()

    def _draw_losses(self, images: int, losses: dict[str, float]) -> None:
        self._history.append((images, losses))
        known = self._lines == list(losses)
        rows = self._history[-1:] if known else self._history
        self._lines = list(losses)
        x = np.array([images for images, _ in rows])
        y = np.array([[row.get(name, np.nan) for name in losses] for _, row in rows], dtype=float)
        y[~np.isfinite(y)] = np.nan                         # JSON has no infinity
        opts = {"title": f"{self.name}: losses", "legend": list(losses), "xlabel": "images", "ylabel": "loss",
                "width": 2 * self.winsize, "height": int(1.5 * self.winsize)}
        self._client.line(Y=y, X=x, win=f"{self.display_id}_losses", opts=opts,
                          update="append" if known else None)

    def _draw_images(self, images: dict[str, Pixels], caption: str) -> None:
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
