"""A visdom server for one training on the loopback interface, which needs no internet and ends with it.

As a program (python -m util.loggers.services.visdom_server) it is the server itself, until its stdin ends.
"""

import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

from util.console import say
from util.loggers.services.process import start_module

START_SECONDS = 60.0        # for a server to begin to answer on a busy machine
HOST = "127.0.0.1"


class LocalServer:
    """Started when its address is first asked for, and again if it has died."""

    def __init__(self, port: int, folder: Path):
        """port: is taken if it is free, another one if not. folder: for what visdom saves on request."""
        self._wanted, self._folder = port, folder
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def port(self) -> int:
        """The port at which it answers. Raises ConnectionError if it does not begin to."""
        if self._stopped:
            raise ConnectionError("the server is stopped")
        if self._process is None or self._process.poll() is not None:
            self._start()
        return self._port

    def _start(self) -> None:
        self._port = free_port(self._wanted)
        self._process = start_module("util.loggers.services.visdom_server", "-port", str(self._port),
                                     "-bind_local", "-env_path", str(self._folder))
        self._process.stdout.close()
        give_up = time.monotonic() + START_SECONDS
        while not answers(self._port):
            if self._stopped or self._process.poll() is not None or time.monotonic() > give_up:
                self._kill()
                raise ConnectionError("the server does not start")
            time.sleep(0.1)
        hint = "" if has_scripts() else ("; its page stays empty for want of its scripts, which the command "
                                         "`visdom` fetches once from the internet")
        say(f"visdom: http://{HOST}:{self._port} until the run ends{hint}")

    def stop(self) -> None:
        """For good; may be called while another thread starts it."""
        self._stopped = True
        self._kill()

    def _kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()


def free_port(wanted: int) -> int:
    """The port wanted if nobody has it, else any that is free."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)     # as the server will
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return probe.getsockname()[1]
    raise ConnectionError("no port is free")


def answers(port: int) -> bool:
    """Whether an HTTP server is there."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        opener.open(f"http://{HOST}:{port}/", timeout=1).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def has_scripts() -> bool:
    """Whether visdom's page has the scripts that its package lacks."""
    import visdom
    return (Path(visdom.__file__).parent / "static" / "js" / "plotly-plotly.min.js").exists()


def main() -> None:
    def end_with_stdin() -> None:
        sys.stdin.buffer.read()
        os._exit(0)

    threading.Thread(target=end_with_stdin, daemon=True).start()
    from tornado.web import HTTPError, StaticFileHandler
    from visdom.server.app import tornado_settings
    from visdom.server.run_server import main as serve  # the command `visdom` downloads first

    class Files(StaticFileHandler):
        @classmethod
        def get_version(cls, settings: dict, path: str) -> str | None:
            """None for ../user/style.css, which visdom's page names and tornado 6.6 refuses as a file."""
            try:
                return super().get_version(settings, path)
            except HTTPError:
                return None

    tornado_settings["static_handler_class"] = Files
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)                                    # nobody reads what it says
    serve()


if __name__ == "__main__":
    main()
