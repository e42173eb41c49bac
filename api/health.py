"""/api/health: can jobs be taken now? Answers whatever is broken, and to anybody; details need a token."""

from __future__ import annotations

from typing import Literal

from flask import Blueprint, Response

from api import auth, observed, reading
from api.answers import answer
from api.context import Context, context
from api.openapi import Answer, Operation, operation
from api.schemas import BeatHealth, NoQuery, RedisHealth, ServiceHealth, ServiceStatus, WatcherHealth, WorkersHealth
from tasks.jobs import State
from tasks.redis import StoreUnavailable
from worker.core.health import ClusterState

blueprint = Blueprint("health", __name__, url_prefix="/api/health")

BEAT_SILENT_AFTER = 30.0  # seconds; its most frequent entry runs every 5
_BODY = ServiceHealth | ServiceStatus


@blueprint.get("")
@operation(
    Operation(
        "Whether jobs can be taken: Redis, workers, beat, nodes.",
        {
            200: Answer("Jobs can be taken.", _BODY),
            503: Answer("No job can be taken now; the body says why.", _BODY, ("Retry-After",)),
        },
        query=NoQuery,
        open=True,
    )
)
def look() -> Response:
    reading.query(NoQuery)
    made = look_at(context())
    body = made if auth.caller() else ServiceStatus(status=made.status)
    return answer(body, *((503, {"Retry-After": "2"}) if made.status == "unavailable" else (200, None)))


def look_at(parts: Context) -> ServiceHealth:
    now = parts.clock()
    try:
        # the control process runs no jobs, so its heartbeat does not mean that jobs can be taken
        workers = {name: at for name, at in parts.seen.workers(now).items() if name.startswith("worker")}
        tick = parts.seen.last_tick()
        sweep = parts.seen.sweep()
        watchers = parts.replication.watchers(now)
        counts = {State(name): count for name, count in parts.jobs.counts().items()}
    except StoreUnavailable as error:
        return _without_redis(parts, now, error)
    beat_ok = tick is not None and now - tick <= BEAT_SILENT_AFTER
    status: Literal["ok", "degraded", "unavailable"] = "ok"
    if not workers:
        status = "unavailable"
    elif (
        not beat_ok
        or observed.cluster(parts.settings, sweep, now) is not ClusterState.HEALTHY
        or (not watchers and observed.needs_watcher(parts.settings, parts.replication))
    ):
        status = "degraded"
    return ServiceHealth(
        status=status,
        redis=RedisHealth(ok=True, detail=None),
        workers=WorkersHealth(count=len(workers), last_heartbeat=max(workers.values(), default=None)),
        beat=BeatHealth(last_tick=tick, ok=beat_ok),
        watcher=WatcherHealth(
            count=len(watchers), last_heartbeat=max((entry["at"] for entry in watchers.values()), default=None)
        ),
        nodes=observed.healths(parts.settings, sweep),
        jobs=counts,
        observed_at=now,
    )


def _without_redis(parts: Context, now: float, error: StoreUnavailable) -> ServiceHealth:
    return ServiceHealth(
        status="unavailable",
        redis=RedisHealth(ok=False, detail=str(error)),
        workers=WorkersHealth(count=None, last_heartbeat=None),
        beat=BeatHealth(last_tick=None, ok=None),
        watcher=WatcherHealth(count=None, last_heartbeat=None),
        nodes=observed.healths(parts.settings, None),
        jobs=None,
        observed_at=now,
    )
