"""A real Chromium without a window, driven as a visitor would: files chosen, a mouse dragged, downloads kept.

It is spoken to by its own protocol (Chrome DevTools), over the package websocket-client.
"""

import base64
import json
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.browser import CHROMIUM


class Browser:
    """One page. folder: for its profile and its downloads; to be closed."""

    def __init__(self, folder: Path):
        websocket = pytest.importorskip("websocket")
        self.downloads, profile = folder / "downloads", folder / "profile"
        self._process = subprocess.Popen(
            [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "about:blank",
             "--remote-debugging-port=0", f"--user-data-dir={profile}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            found = profile / "DevToolsActivePort"
            wait(lambda: found.is_file() and len(found.read_text().splitlines()) > 1)
            port = found.read_text().splitlines()[0]
            pages = wait(lambda: [page for page in self._pages(port) if page["type"] == "page"])
            self._socket = websocket.create_connection(pages[0]["webSocketDebuggerUrl"], suppress_origin=True,
                                                       timeout=120)
        except BaseException:
            self._process.kill()
            raise
        self._number, self.messages = 0, []
        self.call("Runtime.enable")
        self.call("Page.enable")
        self.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(self.downloads))

    def _pages(self, port: str) -> list[dict[str, Any]]:
        return json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=30))

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()
        self._process.kill()
        self._process.wait()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command of the protocol; what the page says meanwhile (errors among it) is kept in `messages`."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while (answer := json.loads(self._socket.recv())).get("id") != self._number:
            self.messages.append(answer)
        assert "error" not in answer, (method, answer)
        return answer["result"]

    def ask(self, expression: str) -> Any:
        """The value of an expression in the page; of a promise, what it becomes."""
        found = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, expression: str, seconds: float = 120) -> Any:
        return wait(lambda: self.ask(expression), seconds)

    def open(self, address: str, width: int = 1100, height: int = 850, *, dark: bool = False) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                  mobile=width < 600)
        self.call("Emulation.setEmulatedMedia",
                  features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        self.call("Page.navigate", url=address)
        self.until("document.readyState === 'complete'")

    def choose(self, selector: str, path: Path) -> None:
        """Choose a file in an input of the page."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def drag(self, *places: tuple[float, float]) -> None:
        """Press the mouse at the first place, move over the others, let go at the last."""
        kinds = ["mousePressed", *["mouseMoved"] * (len(places) - 1), "mouseReleased"]
        for kind, (x, y) in zip(kinds, [*places, places[-1]], strict=True):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)

    def errors(self) -> list[str]:
        """What the page's scripts and its policy complained of."""
        return [json.dumps(message) for message in self.messages
                if message["method"] == "Runtime.exceptionThrown" or message["method"] ==
                "Runtime.consoleAPICalled" and message["params"]["type"] == "error"]

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))


def wait(condition: Any, seconds: float = 120) -> Any:
    """What a function returns once that is true. Fails after as many seconds."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "nothing came of waiting"
        time.sleep(0.05)
    return found
