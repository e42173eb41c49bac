"""From what was recorded to figures, for bench/failover.py. Pure: (records, moments) -> numbers.

Every request has a number of its own in its query, and HAProxy logs the query: so it is known of each where it went.
All times are in seconds since the epoch, by one machine's clock.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

_LINE = re.compile(
    r"\[(?P<at>[^\]]+)\] \S+ [^/ ]+/(?P<server>\S+) \S+ (?P<status>-?\d+) .* "
    r"\d+/\d+/\d+/\d+/\+?(?P<tries>\d+) \d+/\d+ \"[^\"]*[?&]n=(?P<number>[\w-]+)"
)
_LOG_TIME = "%d/%b/%Y:%H:%M:%S.%f"


@dataclass(frozen=True)
class Asked:
    """One request as its client saw it. `result`: ok, stale (a read of an own write: none, or an older revision),
    refused (409) or failed. `revision`: of an acknowledged write. `age`: of an own write that was read."""

    number: str
    kind: str  # new, update, read, list
    database: str
    document: str
    at: float
    ended: float
    result: str
    detail: str
    revision: str | None = None
    age: float | None = None


@dataclass(frozen=True)
class Sent:
    """Where HAProxy sent it at last. `again`: it had been sent somewhere else, or there, before."""

    at: float
    server: str
    again: bool


@dataclass
class History:
    """What something was, at each time that it changed."""

    samples: list[tuple[float, Mapping[str, Any]]] = field(default_factory=list)

    def add(self, at: float, value: Mapping[str, Any]) -> None:
        if not self.samples or self.samples[-1][1] != value:
            self.samples.append((at, value))

    def at(self, moment: float) -> Mapping[str, Any]:
        """{} before anything is known."""
        known: Mapping[str, Any] = {}
        for at, value in self.samples:
            if at > moment:
                break
            known = value
        return known

    def first(self, after: float, until: float, true: Callable[[Mapping[str, Any]], bool]) -> float | None:
        """When it was first seen to be so; `after` itself where it was so then."""
        if true(self.at(after)):
            return after
        return next((at for at, value in self.samples if after < at < until and true(value)), None)


@dataclass
class Side:
    """One proxy. `states`: server -> UP, DOWN and the like, in the order of time."""

    name: str
    asked: list[Asked]
    sent: Mapping[str, Sent]
    states: History

    def on(self, one: Asked, node: str) -> bool:
        """Whether it was sent to this node, at first or at last."""
        sent = self.sent.get(one.number)
        return sent is not None and (sent.again or sent.server == node)


@dataclass(frozen=True)
class Round:
    """One node's death and return. `dead`: nobody listens any more. `answers`: it does again."""

    node: str
    begun: float
    killed: float
    dead: float
    revived: float
    answers: float
    ended: float


def sent_of(log: Iterable[str]) -> dict[str, Sent]:
    """Number of a request -> where it went, from HAProxy's log in `httplog` form."""
    found = {}
    for line in log:
        match = _LINE.search(line)
        if match:
            at = datetime.strptime(match["at"], _LOG_TIME).astimezone().timestamp()
            found[match["number"]] = Sent(at, match["server"], int(match["tries"]) > 0)
    return found


def up(node: str) -> Callable[[Mapping[str, Any]], bool]:
    """Whether HAProxy sends clients to the node: it still calls one `UP 1/3` that fails its checks."""
    return lambda states: str(states.get(node, "")).startswith("UP")


def out(node: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda states: node in states and not up(node)(states)


def last_sent(side: Side, told: Round) -> float | None:
    """When a request was last sent to the dead node."""
    window = between(side.asked, told.killed, told.revived)
    return max((side.sent[one.number].at for one in window if side.on(one, told.node)), default=None)


def first_sent(side: Side, told: Round) -> float | None:
    """When a client's request was first sent to the node that is back, and answered there."""
    later = between(side.asked, told.answers, told.ended)
    times = [
        side.sent[one.number].at
        for one in later
        if one.number in side.sent and side.sent[one.number].server == told.node and one.result != "failed"
    ]
    return min(times, default=None)


def between(asked: Iterable[Asked], since: float, until: float) -> list[Asked]:
    """Begun in this time."""
    return [one for one in asked if since <= one.at < until]


def failed(side: Side, told: Round) -> list[Asked]:
    """Requests without an answer, or with 5xx, that ended while the node was away."""
    return [one for one in side.asked if one.result == "failed" and told.killed <= one.ended < told.answers]


def in_flight(side: Side, told: Round, requests: Iterable[Asked]) -> list[Asked]:
    """Those of the requests that the node had when it was killed, or was given before it was dead. One of which the
    proxy has logged nothing (it drops a line now and then) is taken for one of them."""
    return [
        one
        for one in requests
        if one.at <= told.dead and one.ended >= told.killed and (side.on(one, told.node) or one.number not in side.sent)
    ]


def beside(side: Side, told: Round) -> list[Asked]:
    """What failed although it was not in flight there."""
    requests = failed(side, told)
    return [one for one in requests if one not in in_flight(side, told, requests)]


def own_reads(asked: Iterable[Asked]) -> list[Asked]:
    return [one for one in asked if one.kind == "read" and one.result in {"ok", "stale"}]


@dataclass(frozen=True)
class Beyond:
    """Stale reads, by what `GET /api/nodes` said then of the lag of the node that answered."""

    unknown: int = 0  # it said that it is not known
    within: int = 0  # it said at least as many changes as were found missing
    beyond: int = 0


def beyond(side: Side, reads: Sequence[Asked], lags: History) -> Beyond:
    """What a node was found to lack, and was not found to have since, has to be no more than the lag it is said to
    have."""
    found = {"unknown": 0, "within": 0, "beyond": 0}
    for one, missing in _missing(side, reads):
        lag = lags.at(one.ended).get(side.sent[one.number].server)
        found["unknown" if lag is None else "within" if missing <= lag else "beyond"] += 1
    return Beyond(**found)


def _missing(side: Side, reads: Sequence[Asked]) -> Iterator[tuple[Asked, int]]:
    lacks: dict[str, set[str]] = {}
    for one in sorted(reads, key=lambda read: read.ended):
        if one.number not in side.sent:
            continue
        here = lacks.setdefault(side.sent[one.number].server, set())
        key = f"{one.database}/{one.document}"
        if one.result == "stale":
            here.add(key)
            yield one, len(here)
        else:
            here.discard(key)


def acknowledged(asked: Iterable[Asked]) -> dict[str, dict[str, list[str]]]:
    """Database -> document -> the revisions that a client was promised."""
    promised: dict[str, dict[str, list[str]]] = {}
    for one in asked:
        if one.revision is not None:
            promised.setdefault(one.database, {}).setdefault(one.document, []).append(one.revision)
    return promised
