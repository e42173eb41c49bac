"""How often one caller may ask, and how often one address may show a wrong token.

Counted by the `limits` library in this process: the API is one process (api.__main__), and where several run each
counts its own. Nothing here needs Redis, so that somebody who guesses cannot be let on by its absence.
"""

from __future__ import annotations

import ipaddress
import math
import time

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter, SlidingWindowCounterRateLimiter

LOCKED_MINUTES = 5
_IPV6_SITE = 64  # bits: one customer's network, who may choose any address in it


class Limits:
    def __init__(self, per_minute: int, failures: int) -> None:
        """0 turns either off."""
        storage = MemoryStorage()
        self._often = SlidingWindowCounterRateLimiter(storage)
        self._few = FixedWindowRateLimiter(storage)
        self._requests = RateLimitItemPerMinute(per_minute) if per_minute else None
        self._wrong = RateLimitItemPerMinute(failures, LOCKED_MINUTES) if failures else None
        self._lock = RateLimitItemPerMinute(1, LOCKED_MINUTES, namespace="LOCK")
        self._same = RateLimitItemPerMinute(1, LOCKED_MINUTES, namespace="SAME")

    def seconds_until_allowed(self, caller: str | None, address: str) -> int | None:
        """Count a request of this token, or without one (None) of this address: None where it may be served, else how
        long it has to wait."""
        key = ("token", caller) if caller is not None else ("address", site(address))
        if self._requests is None or self._often.hit(self._requests, *key):
            return None
        return _left(self._often.get_window_stats(self._requests, *key).reset_time)

    def seconds_locked(self, address: str) -> int | None:
        """For how long no token of this address is looked at; None where they are."""
        if self._wrong is None or self._few.test(self._lock, site(address)):
            return None
        return _left(self._few.get_window_stats(self._lock, site(address)).reset_time)

    def failed(self, address: str, digest: str) -> bool:
        """Count a wrong token with this digest. True where it is the one that locks its address out.

        The same one again counts once: that is a program which was not told of its new token, and not somebody who
        guesses.
        """
        where = site(address)
        if self._wrong is None or not self._few.hit(self._same, where, digest):
            return False
        self._few.hit(self._wrong, where)
        if self._few.test(self._wrong, where):
            return False
        self._few.clear(self._wrong, where)
        return self._few.hit(self._lock, where)


def _left(until: float) -> int:
    return max(1, math.ceil(until - time.time()))


def site(address: str) -> str:
    """What counts as one caller: an address, or the network in which somebody may choose any."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if found.version == 4 or (mapped := found.ipv4_mapped) is not None:
        return str(found if found.version == 4 else mapped)
    return str(ipaddress.ip_network((found, _IPV6_SITE), strict=False))
