"""Something that answers like a node as far as a proxy can tell, and tells what reached it."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

UP = (200, '{"status":"ok","seeds":{}}')


class EchoNode:
    """Listens on a loopback port. `answers`: path -> (status, body), for paths that do not echo."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.answers: dict[str, tuple[int, str]] = {"/_up": UP}
        self.cut = 0  # so many requests lose their connection without an answer
        self.requests: list[tuple[str, str]] = []
        self._server: ThreadingHTTPServer | None = None
        self.port = 0
        self.start()

    def start(self) -> None:
        """Answer (again), on the same port."""
        server = ThreadingHTTPServer(("127.0.0.1", self.port), _handler(self))
        server.daemon_threads = True
        self.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self._server = server

    def stop(self) -> None:
        """Refuse connections."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


def _handler(node: EchoNode) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            self.rfile.read(length)
            if not self.path.startswith("/_up"):
                node.requests.append((self.command, self.path))
                if node.cut:
                    node.cut -= 1
                    self.close_connection = True
                    return
            status, body = node.answers.get(self.path, (200, ""))
            said: dict[str, Any] = {"node": node.name, "headers": dict(self.headers.items())}
            data = (body or json.dumps(said)).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = answer  # noqa: N815 (the library's names)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler
