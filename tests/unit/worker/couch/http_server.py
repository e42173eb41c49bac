"""A local server that behaves badly on purpose: for what only a real connection can show."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n" + b'{"ok":true}'


def head(connection: socket.socket) -> bytes:
    """The request's head; empty where the other side left."""
    found = b""
    while b"\r\n\r\n" not in found:
        more = connection.recv(65_536)
        if not more:
            return b""
        found += more
    return found


def request(connection: socket.socket) -> tuple[bytes, bytes]:
    """A request's head and its body, which has to say how long it is."""
    found = b""
    while b"\r\n\r\n" not in found:
        found += connection.recv(65_536)
    above, _, body = found.partition(b"\r\n\r\n")
    lines = above.lower().split(b"\r\n")
    (length,) = (int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:"))
    while len(body) < length and (more := connection.recv(65_536)):
        body += more
    return above, body


class Server:
    """Hands each connection to `behave`, one after the other, and remembers the heads it read."""

    def __init__(self, behave: Callable[[socket.socket], None], tls: ssl.SSLContext | None = None) -> None:
        self._behave, self._tls = behave, tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        self.over = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def url(self, scheme: str = "http", host: str = "127.0.0.1") -> str:
        return f"{scheme}://{host}:{self.port}"

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with suppress(OSError), connection:
                if self._tls:
                    with self._tls.wrap_socket(connection, server_side=True) as secure:
                        self._behave(secure)
                else:
                    self._behave(connection)

    def close(self) -> None:
        self.over.set()
        self._listener.close()


@contextmanager
def serving(behave: Callable[[socket.socket], None], tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    server = Server(behave, tls)
    try:
        yield server
    finally:
        server.close()


def answering(answer: bytes, seen: list[bytes] | None = None) -> Callable[[socket.socket], None]:
    """Answers every request on a connection with the same bytes."""

    def behave(connection: socket.socket) -> None:
        while request := head(connection):
            if seen is not None:
                seen.append(request)
            connection.sendall(answer)

    return behave


def once(part: bytes) -> Callable[[socket.socket], None]:
    """Answers so much, and hangs up."""

    def behave(connection: socket.socket) -> None:
        head(connection)
        connection.sendall(part)

    return behave


def good(body: bytes, *headers: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def chunked(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


def make_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A self-signed certificate for a host name, and its key."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    names = f"subjectAltName=DNS:{name},IP:127.0.0.1" if name == "localhost" else f"subjectAltName=DNS:{name}"
    options = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}", "-addext", names]
    command = ["openssl", "req", *options, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context
