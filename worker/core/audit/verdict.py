"""What a rule of the security report says. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

from worker.core.audit.checks import Grade
from worker.core.audit.observed import Unknown

MOST_NAMED = 50  # databases, ids: the rest is counted
Value = TypeVar("Value")


@dataclass(frozen=True)
class Flaw:
    """Something that is wrong. `grade` and `remedy` where they are not those of the check."""

    detail: str
    data: Mapping[str, Any] = field(default_factory=dict)
    node: str | None = None
    database: str | None = None
    grade: Grade | None = None
    remedy: str | None = None


@dataclass(frozen=True)
class Verdict:
    """`unknown`: what could not be looked at, and why. `not_applicable`: why there is nothing to look at."""

    flaws: Sequence[Flaw] = ()
    unknown: str | None = None
    not_applicable: str | None = None

    @property
    def passed(self) -> bool:
        return not self.flaws and self.unknown is None and self.not_applicable is None


PASSED = Verdict()


def found(*flaws: Flaw) -> Verdict:
    return Verdict(flaws)


def unknown(why: str) -> Verdict:
    return Verdict(unknown=why)


def not_applicable(why: str) -> Verdict:
    return Verdict(not_applicable=why)


def known(value: Value | Unknown, judge: Callable[[Value], Verdict]) -> Verdict:
    """Of what was seen; what was not is unknown."""
    return unknown(value.why) if isinstance(value, Unknown) else judge(value)


def passed_if(good: bool, flaw: str, **data: Any) -> Verdict:
    return PASSED if good else found(Flaw(flaw, data))


def is_loopback(host: str | None) -> bool:
    """A name is not looked up: only `localhost` is taken for this machine."""
    if host is None or host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def is_plain(url: str) -> bool:
    """Whether what is sent there can be read on the way."""
    parts = urlsplit(url)
    return parts.scheme != "https" and not is_loopback(parts.hostname)
