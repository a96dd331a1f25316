"""A web server that stops answering."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def server(answers: int = 10**9, status: int = 200) -> Iterator[int]:
    """Answers so many requests, with this status, and lets every other one wait for ever. Yields its port."""
    left, closing = [answers], threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            left[0] -= 1
            if left[0] < 0:
                closing.wait()
                return
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b"win")

        do_GET = do_POST

        def log_message(self, *arguments: object) -> None:
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.daemon_threads = True
    threading.Thread(target=running.serve_forever, daemon=True).start()
    try:
        yield running.server_address[1]
    finally:
        closing.set()
        running.shutdown()
        running.server_close()
