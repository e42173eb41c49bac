"""/api/jobs: look at jobs, follow them, cancel them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from flask import Blueprint, Response, g

from api import auth, reading
from api.answers import SOON, answer
from api.backups import require_on
from api.context import Context, context
from api.errors import Problem, unknown_job
from api.openapi import Answer, Operation, operation
from api.rotation import require_change
from api.schemas import JobBody, JobsBody, JobsQuery, NoQuery, RetryRequest
from api.streaming import KEEP_ALIVE, MEDIA, message, streamed
from api.submitting import JOB_ANSWERS, JOB_HEADERS, submit
from config.tokens import Role
from tasks.jobs import Job, Kind, Request
from tasks.redis import StoreUnavailable
from tasks.store import Filter

blueprint = Blueprint("jobs", __name__, url_prefix="/api/jobs")

# the kinds that only an admin may ask for
ADMINS = frozenset({Kind.RESTORE, Kind.HOLD, Kind.ROTATE})
KEPT = frozenset({Kind.BACKUP, Kind.RESTORE, Kind.CHECK, Kind.HOLD, Kind.PRUNE})  # need somewhere to keep backups
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_ID = {"job_id": "The job's id."}


@blueprint.get("")
@operation(Operation("Jobs, newest first.", {200: Answer("One page.", JobsBody)}, (503,), query=JobsQuery))
def page() -> Response:
    return answer(listed(context(), reading.query(JobsQuery)))


def listed(parts: Context, asked: JobsQuery) -> JobsBody:
    """Raises StoreUnavailable."""
    wanted = Filter(asked.kind, asked.state, asked.database)
    found = parts.jobs.list(wanted, cursor=asked.cursor, limit=asked.limit)
    return JobsBody(jobs=[JobBody.of(job) for job in found.jobs], next=found.next_cursor)


@blueprint.get("/<job_id>")
@operation(
    Operation("One job.", {200: Answer("The job.", JobBody, ("Retry-After",))}, (404, 503), query=NoQuery, path=_ID)
)
def one(job_id: str) -> Response:
    reading.query(NoQuery)
    job = by_id(job_id)
    return answer(JobBody.of(job), headers=None if job.ended else SOON)


@blueprint.delete("/<job_id>")
@operation(
    Operation(
        "Cancel a job: at once where it is queued, else as soon as its worker looks.",
        {
            200: Answer("The job has ended.", JobBody),
            202: Answer("The job has been asked to end.", JobBody, ("Location", "Retry-After")),
        },
        (404, 409, 503),
        query=NoQuery,
        path=_ID,
    )
)
def cancel(job_id: str) -> Response:
    reading.query(NoQuery)
    _require_role(by_id(job_id))
    job = context().jobs.cancel(job_id)
    if job is None:
        raise unknown_job(job_id)
    g.about = f"cancel {job.kind.value} {job.database or ''}".rstrip()  # for the audit log
    if job.ended:
        return answer(JobBody.of(job))
    return answer(JobBody.of(job), 202, {"Location": f"/api/jobs/{job.id}", **SOON})


@blueprint.post("/<job_id>/retry")
@operation(
    Operation("Ask for the same once more, as a new job.", JOB_ANSWERS, (404, 409, 503),
              body=RetryRequest, bare=True, headers=JOB_HEADERS, path=_ID)
)  # fmt: skip
def retry(job_id: str) -> Response:
    asked = reading.optional_body(RetryRequest)
    job = by_id(job_id)
    _require_role(job)
    if not job.ended:
        raise Problem(
            "job-not-ended", f"job {job.id} is {job.state.value}: it can be asked for again when it has ended"
        )
    _require_possible(job)
    return submit(Request(job.kind, job.database, job.params), asked.wait, only_known=job.kind is Kind.SYNC)


@blueprint.get("/<job_id>/events")
@operation(
    Operation(
        "Follow a job (server-sent events).",
        {
            200: Answer(
                "An event `job` with the job as JSON, now and at each change, until the job has ended; a comment "
                "where nothing happens for 15 s.",
                media=MEDIA,
            )
        },
        (404, 503),
        query=NoQuery,
        path=_ID,
    )
)
def events(job_id: str) -> Response:
    reading.query(NoQuery)
    by_id(job_id)
    parts = context()
    return streamed(lambda: _stream(parts.jobs.watch(job_id, parts.keep_alive_seconds)), f"GET /api/jobs/{job_id}")


def _require_role(job: Job) -> None:
    """Who may not begin it may not leave it half-done either."""
    auth.check_role(auth.caller(), Role.ADMIN if job.kind in ADMINS else Role.OPERATE)


def _require_possible(job: Job) -> None:
    """The settings may have changed since it was asked for the first time."""
    if job.kind in KEPT:
        require_on()
    if job.kind is Kind.ROTATE:
        require_change()


def by_id(job_id: str) -> Job:
    job = context().jobs.get(job_id) if _UUID.fullmatch(job_id) else None
    if job is None:
        raise unknown_job(job_id)
    return job


def _stream(changes: Iterator[Job | None]) -> Iterator[str]:
    """Each state of the job once. Ends early where Redis goes away: an EventSource then connects again."""
    last = ""
    try:
        for job in changes:
            text = JobBody.of(job).model_dump_json() if job else ""
            if not text:
                yield KEEP_ALIVE
            elif text != last:
                yield message("job", text)
                last = text
    except StoreUnavailable:
        yield ": Redis does not answer\n\n"
