"""The job store: the truth about jobs.

Celery's own result backend answers PENDING for an id it never saw, redelivers by a clock that is not
renewed, and its workers can die when Redis restarts. So Celery only carries ids, and this store decides
who runs what (leases with a fencing token), what state a job is in and how long it is kept.

Every change is one Lua script (`tasks.scripts`). A *token* is the number of the attempt: it only grows, and
a write with an old one is refused, so a worker that lost its lease can never overwrite its successor.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import redis

from tasks import policy, scripts
from tasks.jobs import Job, JobError, Kind, Progress, Request, State, fingerprint, made_at, new_id
from tasks.observations import DATABASES
from tasks.redis import translated

PREFIX = "nbr:"
UNCONFIRMED_TTL = 30  # seconds until a record whose message never reached the queue evaporates
GIVEN_UP_AFTER = 4  # seconds until an equal request may take its place
MOST_CHANGES = 200  # told at once
_EVENTS = f"{PREFIX}events:"  # channels, one a job (tasks.scripts)


@dataclass(frozen=True)
class Created:
    """`what` is created; deduplicated, or advanced (the same, and to be published again); replayed (same
    Idempotency-Key); mismatch (same key, other body); making (an equal request is just being taken); or unknown
    (no node was seen with the database)."""

    what: str
    id: str


@dataclass(frozen=True)
class Claim:
    """`what` is claimed, or why not: gone, not-queued, early, leased, busy, exhausted."""

    what: str
    token: int
    wake: Sequence[str]


@dataclass(frozen=True)
class Page:
    jobs: list[Job]
    next_cursor: str | None


@dataclass(frozen=True)
class Backlog:
    """Of one kind: jobs that are queued, whatever they wait for, when the oldest of those was made, jobs that run."""

    queued: int
    oldest_at: float | None
    running: int


@dataclass(frozen=True)
class Filter:
    kind: Kind | None = None
    state: State | None = None
    database: str | None = None

    def accepts(self, job: Job) -> bool:
        return (
            (self.kind is None or job.kind is self.kind)
            and (self.state is None or job.state is self.state)
            and (self.database is None or job.database == self.database)
        )


class JobStore:
    """All methods raise tasks.redis.StoreUnavailable where Redis does not answer."""

    def __init__(self, client: redis.Redis, *, result_ttl: int, lease_seconds: float, max_attempts: int) -> None:
        # typed Any: redis-py's own types give bytes | str for every answer, whatever decode_responses says
        self._redis: Any = client
        self._ttl = result_ttl
        self._lease_ms = int(lease_seconds * 1000)
        self._lost = json.dumps({kind.value: _lost(policy.starts(kind, max_attempts)) for kind in Kind})
        names = (
            "CREATE",
            "CONFIRM",
            "DISCARD",
            "CLAIM",
            "BEAT",
            "FINISH",
            "RELEASE",
            "CANCEL",
            "REAP",
            "EXPEDITE",
            "BACKLOG",
        )
        self._scripts = {name: client.register_script(getattr(scripts, name)) for name in names}

    def _run(self, name: str, *args: Any) -> Any:
        with translated():
            return self._scripts[name](args=args)

    # --- asking for work

    def create(
        self,
        request: Request,
        now: float,
        *,
        idempotency: tuple[str, str] | None = None,
        only_known: bool = False,
    ) -> Created:
        """Write a queued job, unless an equal one is queued already.

        `idempotency` is (key, fingerprint of the request). `only_known`: write nothing where no sweep has seen
        the database (looked at in the same step, because a request's cost is its round trips to Redis). The
        record evaporates unless `confirm` follows.
        """
        job_id = new_id(now)
        data = {
            "kind": request.kind.value,
            "database": request.database,
            "params": request.params,
            "lock": request.lock,
            "dedupe": request.dedupe,
            "breadth": request.breadth,
            "created_at": now,
        }
        digest, print_ = (fingerprint(idempotency[0]), idempotency[1]) if idempotency else ("", "")
        known = DATABASES if only_known else ""
        what, answered = self._run(
            "CREATE", job_id, json.dumps(data), digest, print_, UNCONFIRMED_TTL, self._ttl, known, GIVEN_UP_AFTER
        )
        return Created(what, answered)

    def confirm(self, job_id: str, now: float) -> bool:
        """The job's message is on the queue: keep the record, and list it. False where it was given up."""
        return bool(self._run("CONFIRM", job_id, now))

    def discard(self, job_id: str) -> None:
        """The message did not reach the queue: forget the record, unless a worker has started it after all."""
        self._run("DISCARD", job_id)

    def cancel(self, job_id: str, now: float) -> tuple[str, Sequence[str]]:
        """Returns (gone | ended | cancelled | requested, ids to put on the queue)."""
        what, wake = self._run("CANCEL", job_id, now, self._ttl)
        return what, wake

    # --- doing the work

    def claim(self, job_id: str, nonce: str, now: float) -> Claim:
        """Become the one worker that runs the job. `nonce` is new for every call of a task."""
        what, token, wake = self._run("CLAIM", job_id, nonce, now, self._lease_ms, self._lost, self._ttl)
        return Claim(what, int(token), wake)

    def beat(self, job_id: str, token: int, nonce: str, progress: Progress | None = None) -> str:
        """Extend the lease, and write progress where there is some. Returns ok, cancel or lost."""
        text = json.dumps(asdict(progress)) if progress else ""
        return str(self._run("BEAT", job_id, token, nonce, self._lease_ms, text))

    def finish(
        self,
        job_id: str,
        token: int,
        state: State,
        now: float,
        *,
        result: Mapping[str, Any] | None = None,
        error: JobError | None = None,
    ) -> tuple[bool, Sequence[str]]:
        """End the job. Returns (False, []) where the token is not the job's any more: nothing was written."""
        written, wake = self._run(
            "FINISH",
            job_id,
            token,
            state.value,
            now,
            self._ttl,
            json.dumps(result) if result is not None else "",
            json.dumps(asdict(error)) if error else "",
        )
        return bool(written), wake

    def release(
        self, job_id: str, token: int, now: float, *, not_before: float = 0, failed: bool = False
    ) -> tuple[bool, Sequence[str]]:
        """Give the job back to the queue, to be run no earlier than `not_before`. `failed` counts against the
        starts it has; a hand-back of a worker that shuts down does not."""
        written, wake = self._run("RELEASE", job_id, token, now, not_before, int(failed))
        return bool(written), wake

    def expedite(self, job_id: str) -> None:
        """Let the reaper put this queued job on the queue again at its next turn."""
        self._run("EXPEDITE", job_id)

    def reap(self, now: float, bounds: Mapping[Kind, float], most: int = 500) -> list[str]:
        """Requeue running jobs whose lease ran out, and find queued ones whose message was lost (nobody claimed
        them for their kind's bound, in seconds) or whose retry is due; forget ended ones that are past their
        time. Returns ids to put on the queue."""
        return list(self._run("REAP", now, json.dumps({kind.value: bounds[kind] for kind in Kind}), most))

    # --- looking

    def get(self, job_id: str) -> Job | None:
        with translated():
            return _job(job_id, self._redis.hgetall(_key(job_id)))

    def list(self, wanted: Filter, *, cursor: str | None = None, limit: int = 50) -> Page:
        """Newest first. `cursor` is the `next_cursor` of the page before."""
        found: list[Job] = []
        upper = f"({cursor}" if cursor else "+"
        with translated():
            while True:
                ids = self._redis.zrevrangebylex(_index(wanted), upper, "-", start=0, num=limit + 1)
                pipeline = self._redis.pipeline(transaction=False)
                for job_id in ids:
                    pipeline.hgetall(_key(job_id))
                for job_id, raw in zip(ids, pipeline.execute(), strict=True):
                    job = _job(job_id, raw)
                    if job and wanted.accepts(job):
                        found.append(job)
                    if len(found) > limit:
                        return Page(found[:limit], found[limit - 1].id)
                if len(ids) <= limit:
                    return Page(found, None)
                upper = f"({ids[-1]}"

    def watch(self, job_id: str, poll_seconds: float) -> Iterator[Job | None]:
        """The job now, then again at every change, until it has ended; None for a quiet `poll_seconds`
        (so that a caller can give up, or keep a connection alive). Ends at once where there is no such job."""
        with translated(), self._redis.pubsub(ignore_subscribe_messages=True) as listener:
            listener.subscribe(f"{_EVENTS}{job_id}")
            listener.get_message(timeout=poll_seconds)  # Redis' word that it is so
            # subscribed first, then read: a change in between is seen twice rather than missed
            while True:
                job = self.get(job_id)
                if job is None:
                    return
                yield job
                if job.ended:
                    return
                # and looked at again after a quiet spell: an event is lost where the connection was made anew
                while not _changed(listener, poll_seconds) and self.get(job_id) == job:
                    yield None

    def changes(self, poll_seconds: float) -> Iterator[set[str]]:
        """The ids of jobs that have changed since the last look, as soon as there are some; none after a quiet
        `poll_seconds`. Without an end. What happens while the connection is made anew is missed."""
        with translated(), self._redis.pubsub(ignore_subscribe_messages=True) as listener:
            listener.psubscribe(f"{_EVENTS}*")
            listener.get_message(timeout=poll_seconds)  # Redis' word that it is so
            while True:
                found: set[str] = set()
                waits = poll_seconds
                # many at once are one change to whoever looks at all jobs
                while len(found) < MOST_CHANGES and (message := listener.get_message(timeout=waits)):
                    found.add(message["channel"].removeprefix(_EVENTS))
                    waits = 0.0
                yield found

    def backlog(self) -> dict[Kind, Backlog]:
        """Of every kind, those that are not over."""
        rows = self._run("BACKLOG", *(kind.value for kind in Kind))
        return {
            kind: Backlog(int(queued), made_at(oldest) if oldest else None, int(running))
            for kind, (queued, oldest, running) in zip(Kind, rows, strict=True)
        }

    def counts(self) -> dict[str, int]:
        """How many jobs are in each state."""
        with translated():
            pipeline = self._redis.pipeline(transaction=False)
            for state in State:
                pipeline.zcard(f"{PREFIX}jobs:state:{state.value}")
            return dict(zip([state.value for state in State], pipeline.execute(), strict=True))


def _lost(most: int) -> dict[str, Any]:
    """How many starts a job has, and the error of one that has used them up."""
    words = f"{most} workers in a row died or went silent while they ran this job"
    return {"most": most, "error": json.dumps(asdict(JobError("worker-lost", words, retryable=True)))}


def _changed(listener: Any, seconds: float) -> bool:
    return listener.get_message(timeout=seconds) is not None


def _key(job_id: str) -> str:
    return f"{PREFIX}job:{job_id}"


def _index(wanted: Filter) -> str:
    """An index that holds every job asked for, and mostly few others."""
    if wanted.state in {State.QUEUED, State.RUNNING}:
        return f"{PREFIX}jobs:state:{wanted.state.value}"
    if wanted.database is not None:
        return f"{PREFIX}jobs:database:{wanted.database}"
    if wanted.state is not None:
        return f"{PREFIX}jobs:state:{wanted.state.value}"
    if wanted.kind is not None:
        return f"{PREFIX}jobs:kind:{wanted.kind.value}"
    return f"{PREFIX}jobs"


def _job(job_id: str, raw: Mapping[str, str]) -> Job | None:
    if "data" not in raw:
        return None
    data = json.loads(raw["data"])

    def number(name: str) -> float | None:
        return float(raw[name]) if raw.get(name) else None

    def part(name: str) -> Any:
        return json.loads(raw[name]) if raw.get(name) else None

    progress, error = part("progress"), part("error")
    return Job(
        id=job_id,
        kind=Kind(data["kind"]),
        state=State(raw["state"]),
        database=data["database"],
        params=data["params"],
        created_at=float(data["created_at"]),
        started_at=number("started_at"),
        finished_at=number("finished_at"),
        attempts=int(raw["attempts"]),
        failures=int(raw.get("failures", 0)),
        cancel_requested=raw.get("cancel") == "1",
        progress=Progress(**progress) if progress else None,
        result=part("result"),
        error=JobError(**error) if error else None,
    )
