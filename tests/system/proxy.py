"""A TCP proxy in front of one server, which tests can pause, slow down or take away.

This is how a test gets into "the middle of" something without guessing at times: it pauses the road between
two nodes, waits until bytes are held (`held`), does its violence, and lets them go on.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator

from embedded.ports import LOOPBACK

CHUNK = 65_536
CONNECT_SECONDS = 5.0
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 seconds: close() sends RST


class Proxy:
    """Listens on a loopback port of its own and hands every connection on to `upstream`'s port."""

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self._open = threading.Event()
        self._open.set()
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._held = 0
        self._listener: socket.socket | None = None
        self.port = 0
        self.delay = 0.0  # seconds that every chunk of the answers is kept back
        self._wanted: bytes | None = None
        self._refused: Callable[[int], bool] | None = None
        self.accept()

    def accept(self) -> None:
        """Take connections (again)."""
        if self._listener is not None:
            return
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, self.port))
        listener.listen(128)
        self.port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._serve, args=(listener,), daemon=True).start()

    def refuse(self) -> None:
        """As if the server were gone: open connections are cut, new ones refused."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)  # close() alone would not wake accept()
            self._listener.close()
            self._listener = None
        with self._lock:
            cut = list(self._sockets)
        for each in cut:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def closed_to(self, client: Callable[[int], bool]) -> Iterator[None]:
        """Inside, connections are cut and refused whose client (by its port) this is true of."""
        self._refused = client
        with self._lock:
            cut = [each for each in self._sockets if self._comes_from(each, client)]
        for each in cut:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        try:
            yield
        finally:
            self._refused = None

    def _comes_from(self, client: socket.socket, wanted: Callable[[int], bool]) -> bool:
        try:
            return bool(client.getsockname()[1] == self.port and wanted(client.getpeername()[1]))
        except OSError:  # it has just been closed
            return False

    def pause(self) -> None:
        """As if the server hung: connections are taken, and not a byte goes through."""
        self._open.clear()

    def resume(self) -> None:
        self._open.set()

    @contextlib.contextmanager
    def holding(self, request: bytes) -> Iterator[None]:
        """Inside, it is paused by the first request with these bytes in it, before that goes on."""
        self._wanted = request
        try:
            yield
        finally:
            self._wanted = None

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        self.pause()
        try:
            yield
        finally:
            self.resume()

    @property
    def held(self) -> int:
        """How many connections have bytes waiting while it is paused."""
        return self._held

    def close(self) -> None:
        self._closed.set()
        self.refuse()
        self.resume()

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        try:
            if self._refused is not None and self._comes_from(client, self._refused):
                raise ConnectionRefusedError
            server = socket.create_connection((LOOPBACK, self._upstream), CONNECT_SECONDS)
        except OSError:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            client.close()
            return
        server.settimeout(None)
        for each in (client, server):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._sockets |= {client, server}
        back = threading.Thread(target=self._pump, args=(server, client), kwargs={"answers": True}, daemon=True)
        back.start()
        self._pump(client, server)
        back.join()
        with self._lock:
            self._sockets -= {client, server}
        client.close()
        server.close()

    def _pump(self, source: socket.socket, target: socket.socket, *, answers: bool = False) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK):
                if not answers and self._wanted is not None and self._wanted in data:
                    self._wanted = None
                    self.pause()
                self._gate()
                if answers and self.delay:
                    self._closed.wait(self.delay)
                target.sendall(data)
        # after the loop, whatever ended it: the other side has to learn of it
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def _gate(self) -> None:
        if self._open.is_set():
            return
        with self._lock:
            self._held += 1
        self._open.wait()
        with self._lock:
            self._held -= 1
