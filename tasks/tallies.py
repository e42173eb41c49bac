"""What workers have done, counted over all of them: jobs by how they ended, and how long a change took to be carried.

Kept in Redis and not in each process, so that whichever API process is asked tells the same, and a worker needs no port
of its own. Where Redis was emptied they begin at 0 again, as counters of Prometheus may.

Best effort: what cannot be counted now is not counted, and no job fails for that. Where Redis has counted and its
answer is lost, the client asks again, and it counts twice.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import redis

from config.logs import get
from tasks.jobs import Job, Kind, State
from tasks.redis import StoreUnavailable, translated

log = get(__name__)
JOBS = "nbr:tallies:jobs"  # hash: "KIND STATE" -> how many; and, of those that ran, the fields of a histogram
CHANGES = "nbr:tallies:changes"  # hash: the fields of a histogram
# Seconds; both are part of what is kept: a bound that is added makes the counts before it those of the next one
JOB_BOUNDS = (0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 1_800.0, 3_600.0)
CHANGE_BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
BEYOND = "inf"


@dataclass(frozen=True)
class Histogram:
    """`counts`: of each bound those between it and the one before; the last is of what is beyond all bounds."""

    bounds: Sequence[float]
    counts: Sequence[int]
    seconds: float

    @property
    def total(self) -> int:
        return sum(self.counts)


@dataclass(frozen=True)
class Tallied:
    """`ended`: all that ended. `durations`: of those that were started; a kind and state that never was is missing."""

    ended: Mapping[tuple[Kind, State], int]
    durations: Mapping[tuple[Kind, State], Histogram]
    delays: Histogram


class Tallies:
    def __init__(self, client: redis.Redis) -> None:
        self._redis: Any = client  # see JobStore

    def job_ended(self, job: Job) -> None:
        """`job`: as it has ended. One that was cancelled on the queue, before any worker had it, took no time."""
        name = f"{job.kind.value} {job.state.value}"
        with self._counted() as pipeline:
            pipeline.hincrby(JOBS, name, 1)
            if job.started_at is not None and job.finished_at is not None:
                _add(pipeline, JOBS, f"{name} ", JOB_BOUNDS, job.finished_at - job.started_at)

    def change_carried(self, seconds: float) -> None:
        """A change was seen, and so long after that all nodes had it."""
        with self._counted() as pipeline:
            _add(pipeline, CHANGES, "", CHANGE_BOUNDS, seconds)

    def read(self) -> Tallied:
        """Raises StoreUnavailable."""
        with translated():
            jobs, changes = self._redis.pipeline(transaction=False).hgetall(JOBS).hgetall(CHANGES).execute()
        pairs = [(kind, state) for kind in Kind for state in (State.SUCCEEDED, State.FAILED, State.CANCELLED)]
        found = {pair: _histogram(jobs, f"{pair[0].value} {pair[1].value} ", JOB_BOUNDS) for pair in pairs}
        return Tallied(
            ended={(kind, state): int(jobs.get(f"{kind.value} {state.value}", 0)) for kind, state in pairs},
            durations={pair: histogram for pair, histogram in found.items() if histogram.total},
            delays=_histogram(changes, "", CHANGE_BOUNDS),
        )

    @contextmanager
    def _counted(self) -> Iterator[Any]:
        """What is added inside goes out in one round trip, and counts whole or not at all."""
        pipeline = self._redis.pipeline()
        yield pipeline
        try:
            with translated():
                pipeline.execute()
        except StoreUnavailable as error:
            log.warning("not counted", error=str(error))


def _add(pipeline: Any, key: str, prefix: str, bounds: Sequence[float], seconds: float) -> None:
    seconds = max(0.0, seconds)  # two machines' clocks
    at = bisect_left(bounds, seconds)
    pipeline.hincrby(key, f"{prefix}{bounds[at]:g}" if at < len(bounds) else f"{prefix}{BEYOND}", 1)
    pipeline.hincrbyfloat(key, f"{prefix}seconds", round(seconds, 6))


def _histogram(raw: Mapping[str, str], prefix: str, bounds: Sequence[float]) -> Histogram:
    names = [*(f"{bound:g}" for bound in bounds), BEYOND]
    counts = [int(raw.get(f"{prefix}{name}", 0)) for name in names]
    return Histogram(bounds, counts, float(raw.get(f"{prefix}seconds", 0)))
