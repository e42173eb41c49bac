"""Our own processes, for who has to start what does not run: which, since when, and how. Pure.

The agent and Flower leave no heartbeat, so nothing is said of them here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from api.schemas import ServiceHealth
from worker.core.times import rfc3339

RUNS, MISSING, NEEDLESS, UNKNOWN = "running", "not running", "not needed", "unknown"
LEVELS = {RUNS: "ok", MISSING: "bad", NEEDLESS: "plain", UNKNOWN: "unknown"}


@dataclass(frozen=True)
class Process:
    """`count`: how many are heard of; None: of beat, which is heard of as a whole. `heard`: when last, None: never.
    `without`: what does not happen while it does not run."""

    name: str
    state: str
    count: int | None
    heard: str | None
    without: str

    @property
    def level(self) -> str:
        return LEVELS[self.state]


def processes(
    service: ServiceHealth, controls: int, heard: Mapping[str, float], *, needs_watcher: bool
) -> Iterator[Process]:
    """`service`: as seen with Redis there. `controls`: control processes that live. `heard`: kind -> when one was
    heard of last."""

    def last(kind: str) -> str | None:
        return rfc3339(heard[kind]) if kind in heard else None

    workers, watchers = service.workers.count or 0, service.watcher.count or 0
    yield Process("worker", RUNS if workers else MISSING, workers, last("worker"), "Jobs wait, and nothing is done.")
    yield Process(
        "control", RUNS if controls else MISSING, controls, last("control"), "Nobody looks at the nodes or tries again."
    )
    yield _beat(service, controls)
    idle = MISSING if needs_watcher else NEEDLESS
    without = "Changes travel only with each periodic pass." if needs_watcher else "No database needs it."
    yield Process("watcher", RUNS if watchers else idle, watchers, last("watcher"), without)


def _beat(service: ServiceHealth, controls: int) -> Process:
    """It is heard of by what control does at its bidding: without control nobody can tell."""
    tick = service.beat.last_tick
    if service.beat.ok:
        return Process("beat", RUNS, None, tick, "")
    if not controls:
        return Process("beat", UNKNOWN, None, tick, "Beat is heard of through control alone: start that first.")
    return Process("beat", MISSING, None, tick, "Nothing that is due is begun.")
