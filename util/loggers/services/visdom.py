"""Curves and images on a visdom server. A run never waits for the server, and never fails with it."""

import logging
import threading
import time
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
from util.loggers.base import (
    LOSS,
    MEMORY,
    SCORE,
    SPEED,
    History,
    Logger,
    NamedImages,
    Values,
    curves,
    fixed_grid,
    with_prefix,
)
from util.loggers.services.outbox import Outbox
from util.loggers.services.visdom_server import HOST, LocalServer
from util.runtime.progress import Progress

ANSWER_SECONDS = 2.0        # for a server to say hello, and to take the last messages
SEND_SECONDS = 5.0          # for it to take any other
RETRY_SECONDS = 10.0        # between two calls to a server that is gone
# Window -> how the names of its values begin.
CURVES = {"losses": LOSS, "scores": SCORE, "learning rate": "lr", "speed": SPEED, "GPU memory": MEMORY}


class ServerGone(Exception):
    """The server refused a message or did not answer in time."""


def connect_visdom(opt: Namespace, folder: Path) -> "VisdomWindows | None":
    """The run's windows on the visdom server of the --display flags.

    --display_server auto starts a server for this run alone. Without --display_id the windows get a number
    made from --name, so that a resumed run keeps its windows. Returns None without a word for --display_id 0
    or less, and with a line that says why where there is no server. Takes about ANSWER_SECONDS at most.
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
    local = LocalServer(opt.display_port, folder / "visdom") if opt.display_server == "auto" else None

    def connect() -> Any:
        if local:
            return _connect(f"http://{HOST}", local.port(), env)
        return _connect(opt.display_server, opt.display_port, env)

    windows = VisdomWindows(connect, opt.name, number, opt.display_ncols, opt.display_winsize, local)
    if not local and not windows.wait_until_connected():
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
    """Windows with the curves of a run, with the newest images and with the fixed test images.

    A thread of its own sends the messages, so the methods return at once, whatever the server does. Images
    that the server is too slow for are dropped. When the server fails, one line says so; once it answers
    again it is given the whole curves.
    """

    live = True

    def __init__(self, connect: Callable[[], Any], name: str, display_id: int, ncols: int, winsize: int,
                 local: LocalServer | None = None):
        """connect: gives a client or raises. ncols: images in a row of the one window of images; 0 gives each
        label its window. winsize: size of a window, in pixels of the screen. local: is stopped at the end."""
        self.name, self.display_id, self.ncols, self.winsize = name, display_id, ncols, winsize
        self._connect, self._local = connect, local
        self._points: dict[str, list[tuple[int, Values]]] = {window: [] for window in CURVES}
        self._sent: dict[str, int] = {}             # window -> points that the server has
        self._lines: dict[str, list[str]] = {}      # window -> names of the curves that the server shows
        self._client: Any = None
        self._answered = threading.Event()
        self._gone = False
        self._next_call = 0.0
        self._outbox: Outbox[Callable[[], None]] = Outbox("visdom", self._deliver)
        self._outbox.put(self._draw_curves)

    # ---- called by the run

    def wait_until_connected(self) -> bool:
        """False, and the windows are given up, when no server answers within ANSWER_SECONDS."""
        self._answered.wait(ANSWER_SECONDS)
        if self._client is None:
            self._outbox.close(seconds=0)
        return self._client is not None

    def start(self, step: Progress, history: History) -> None:
        for images, values in history:
            self._add(images, values)

    def scalars(self, step: Progress, values: Values) -> None:
        self._add(step.total_images, values)
        self._outbox.put(self._draw_curves, may_be_lost=True)       # the next one sends its points too

    def images(self, step: Progress, images: Mapping[str, Pixels], caption: str) -> None:
        self._outbox.put(partial(self._draw_images, images, caption), may_be_lost=True)

    def fixed_images(self, step: Progress, images: NamedImages) -> None:
        caption = f"after {step.total_images:,} images: {', '.join(next(iter(images.values())))}"
        draw = partial(self._draw_grid, "test images", images, caption)
        self._outbox.put(draw, may_be_lost=True)

    def close(self) -> None:
        """Give the server ANSWER_SECONDS to take what is still queued."""
        self._outbox.put(self._draw_curves)
        if not self._outbox.close(ANSWER_SECONDS):
            say("visdom: the server did not take the last messages in time")
        if self._local:
            self._local.stop()
            self._outbox.close(ANSWER_SECONDS)      # which no longer waits for that server

    def _add(self, images: int, values: Values) -> None:
        """Keep the points of every window, for the thread and for a server that comes back."""
        for window, prefix in CURVES.items():
            if shown := with_prefix(prefix, curves(values)):
                named = {name or window: value for name, value in shown.items()}
                self._points[window].append((images, named))

    # ---- on the thread

    def _deliver(self, draw: Callable[[], None]) -> None:
        try:
            if self._client is None and not self._call():
                return
            draw()
        except Exception as error:      # whatever a server or its client does, the run goes on
            self._client = None
            self._sent.clear()          # a server that was started anew knows nothing
            self._lines.clear()
            self._next_call = time.monotonic() + RETRY_SECONDS
            if self._answered.is_set() and not self._gone:
                say(f"visdom: shown no more, the server failed ({type(error).__name__}: {error}), until it "
                    "answers again")
                self._gone = True

    def _call(self) -> bool:
        """Whether a server answers that did not before; it is given the whole curves."""
        if time.monotonic() < self._next_call:
            return False
        self._client = self._connect()
        if self._gone:
            say("visdom: shown again")
        self._gone = False
        self._answered.set()
        self._draw_curves()
        return True

    def _draw_curves(self) -> None:
        """The points that the server does not have yet."""
        for window, points in self._points.items():
            sent, new = self._sent.get(window, 0), points[self._sent.get(window, 0):]
            if not new:
                continue
            names = list(new[-1][1])
            known = self._lines.get(window) == names
            self._draw_lines(window, new if known else points[:sent + len(new)], names, append=known)
            self._sent[window], self._lines[window] = sent + len(new), names

    def _draw_lines(self, window: str, rows: list[tuple[int, Values]], names: list[str],
                    append: bool) -> None:
        """rows: images seen in all, the x axis, and a point of every curve."""
        x = np.array([images for images, _ in rows])
        y = np.array([[row.get(name, np.nan) for name in names] for _, row in rows], dtype=float)
        y[~np.isfinite(y)] = np.nan                         # JSON has no infinity
        label = CURVES[window].rstrip("/")
        opts = {"title": f"{self.name}: {window}", "legend": names, "xlabel": "images", "ylabel": label,
                "width": 2 * self.winsize, "height": int(1.5 * self.winsize)}
        if window not in ("losses", "scores"):
            opts["layoutopts"] = {"plotly": {"yaxis": {"title": label, "rangemode": "tozero"}}}
        self._client.line(Y=y, X=x, win=f"{self.display_id}_{window}", opts=opts,
                          update="append" if append else None)

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

    def _draw_grid(self, window: str, images: NamedImages, caption: str) -> None:
        self._draw(window, fixed_grid(images), caption, columns=len(next(iter(images.values()))))
