"""Which port to listen on: the one people expect, else a free one, and then it is said so.

A port is asked for by connecting to it *and* by binding it: on macOS binding 127.0.0.1 succeeds although
another program (AirPlay, on 5000) listens on the same port of all addresses.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Collection

LOOPBACK = "127.0.0.1"
NOT_GIVEN_OUT = range(20_000, 32_000)  # by Linux (from 32,768 on) and macOS (from 49,152 on)


def is_free(port: int) -> bool:
    """Whether nothing listens on the port of this machine and we may."""
    with socket.socket() as probe:
        probe.settimeout(1)
        if probe.connect_ex((LOOPBACK, port)) == 0:
            return False
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that just ended do not count
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def any_free(exclude: Collection[int] = ()) -> int:
    """A free port, none of `exclude`.

    Not one that the system gives out: it gives the same ones to connections that go out, and one of those may have it
    before whoever asked listens there.
    """
    while True:
        port = random.choice(NOT_GIVEN_OUT)  # noqa: S311 - no secret
        if port not in exclude and is_free(port):
            return port


def choose(name: str, wanted: int, say: Callable[[str], None], exclude: Collection[int] = ()) -> int:
    """`wanted` where it is free and not in `exclude`, else another one, and `say` tells why."""
    if wanted not in exclude and is_free(wanted):
        return wanted
    port = any_free(exclude)
    say(f"port {wanted} is taken, {name} listens on {port}")
    return port
