"""A gunicorn worker that does not wait for ever for the rest of a request.

gunicorn's own waits a few seconds for the first byte of a connection and without end for all others. With a fixed
number of threads a few dozen connections that send half a line would then hold all of them, and nobody is served.
"""

from __future__ import annotations

import errno
import socket
import time
from typing import Any

from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

SILENT_SECONDS = 5.0  # between two bytes of a request
REQUEST_SECONDS = 30.0  # for all of one, head and body
SEND_SECONDS = 60.0  # for one piece of an answer that nobody reads


class PatientSocket(socket.socket):
    """Of a connection. gunicorn makes it blocking before it reads each request: from then on the time runs."""

    _until = 0.0

    def setblocking(self, flag: bool) -> None:
        if not flag:
            super().setblocking(False)
            return
        self._until = time.monotonic() + REQUEST_SECONDS
        self.settimeout(SEND_SECONDS)

    def recv(self, *args: Any) -> bytes:
        """Raises ConnectionResetError where the client takes too long: to gunicorn it has hung up."""
        if self.gettimeout() == 0:
            return super().recv(*args)
        self.settimeout(max(0.001, min(SILENT_SECONDS, self._until - time.monotonic())))
        try:
            return super().recv(*args)
        except TimeoutError:
            raise ConnectionResetError(errno.ECONNRESET, "the client takes too long") from None
        finally:
            self.settimeout(SEND_SECONDS)


class _Listener:
    def __init__(self, listener: Any) -> None:
        self._listener = listener

    def accept(self) -> tuple[PatientSocket, Any]:
        client, address = self._listener.accept()
        return PatientSocket(fileno=client.detach()), address

    def getsockname(self) -> Any:
        return self._listener.getsockname()


class Worker(ThreadWorker):  # type: ignore[misc]
    def accept(self, listener: Any) -> None:
        super().accept(_Listener(listener))
