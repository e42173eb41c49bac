"""How a webhook reaches the very address that was checked, and no other. For worker.webhook alone.

Whoever owns a name decides what it stands for, and may answer the check with one address and the connection that
follows with another (DNS rebinding). So the name is looked up once, every address that it stands for is judged, and the
connection is made to one of these. What goes by the name still does: Host, SNI and the certificate.

A receiver that somebody else names may also be slow on purpose: every byte within the time-out, and never an end. So
all of a request has one deadline (but for the hand-shake of TLS, for which the time-out to connect is one).
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import NewConnectionError

from worker.core.errors import DeliveryFailed

LOOK_UP_TIMEOUT = 5.0  # seconds
MOST_ADDRESSES = 4  # that are tried, where there is no connection

Resolve = Callable[[str, int], list[str]]


class ToAddress(HTTPAdapter):
    """Connects to this address, whatever the URL's name may stand for now."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._connections: list[Any] = []
        super().__init__()

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> Any:
        found: Any = super().build_connection_pool_key_attributes(request, verify, cert)
        where, tls = found
        if where["scheme"] == "https":
            tls["server_hostname"] = where["host"]
        return {**where, "host": self._address}, tls

    def get_connection_with_tls_context(
        self, request: requests.PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> Any:
        pool: Any = super().get_connection_with_tls_context(request, verify, proxies, cert)
        kept, kind = self._connections, pool.ConnectionCls

        def keep(*args: Any, **options: Any) -> Any:
            kept.append(kind(*args, **options))
            return kept[-1]

        pool.ConnectionCls = keep
        return pool

    def hang_up(self) -> None:
        """From another thread: whoever waits for a byte finds the connection at its end."""
        for connection in self._connections:
            with suppress(OSError):
                if connection.sock is not None:
                    # past TLS, which would first say good-bye to somebody who may not listen
                    socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)


@contextmanager
def within(seconds: float, adapter: ToAddress) -> Iterator[threading.Event]:
    """Inside, the connection is hung up after so many seconds; then the event is set."""
    late = threading.Event()

    def end() -> None:
        late.set()
        adapter.hang_up()

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()


def not_there(error: Exception) -> bool:
    """Whether there was no connection at all, so that nothing was sent."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(error, requests.exceptions.ConnectTimeout) or isinstance(reason, NewConnectionError)


def addresses(name: str, port: int) -> list[str]:
    """All that the name stands for. Raises OSError and UnicodeError."""
    found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def look_up(name: str, port: int, host: str, resolve: Resolve) -> list[str]:
    """`host` is what may be said of it. Raises DeliveryFailed. The resolver of the system has no time-out that we could
    set, so it is waited for and, if need be, left behind."""
    answers: list[list[str]] = []

    def ask() -> None:
        with suppress(OSError, UnicodeError):  # it goes on too long, or has an empty label
            answers.append(resolve(name, port))

    thread = threading.Thread(target=ask, daemon=True, name="webhook look-up")
    thread.start()
    thread.join(LOOK_UP_TIMEOUT)
    if not answers or not answers[0]:
        words = "its name was not looked up in time" if thread.is_alive() else "its name could not be looked up"
        raise DeliveryFailed(f"{host}: {words}")
    return answers[0]


def headers_for(host: str) -> Mapping[str, str]:
    """The Host header: the connection knows only the address. `host`: scheme, host and port."""
    return {"Host": host.partition("://")[2]}
