"""Asks for a job and answers with it: what every POST that starts work shares.

The answer is 202 with where to look, unless the caller wanted to wait and the job ended in time.
"""

from __future__ import annotations

from flask import Response, g, request

from api import auth, reading
from api.answers import SOON, answer
from api.context import context
from api.openapi import Answer
from api.schemas import SubmittedJobBody
from tasks.jobs import Job, Request
from tasks.redis import StoreUnavailable

JOB_ANSWERS = {
    200: Answer("The job has ended in time, in whatever way.", SubmittedJobBody, ("Preference-Applied",)),
    202: Answer("The job is queued.", SubmittedJobBody, ("Location", "Retry-After", "Preference-Applied")),
}
JOB_HEADERS = ("Idempotency-Key", "Prefer")


def submit(asked: Request, wait: bool, *, only_known: bool = False) -> Response:
    """202 or 200 with the job. Raises what Jobs.submit does."""
    seconds = reading.preferred_wait()
    headers = {"Preference-Applied": f"wait={seconds}"} if seconds is not None else {}
    if seconds is None and wait:
        seconds = reading.DEFAULT_WAIT
    key = reading.idempotency_key()
    scoped = _scoped(key) if key is not None else None
    submitted = context().jobs.submit(asked, idempotency_key=scoped, only_known=only_known)
    job = submitted.job
    g.job, g.about = job.id, f"{asked.kind.value} {asked.about}"  # for the audit log
    if seconds and not job.ended:
        waited = _wait(job, seconds)
        if waited is None:  # no thread to spare: the preference was not applied
            headers = {}
        job = waited or job
    if seconds is None or not job.ended:
        headers |= {"Location": f"/api/jobs/{job.id}", **SOON}
    status = 200 if job.ended and seconds is not None else 202
    return answer(SubmittedJobBody.of(job, deduplicated=submitted.reused == "deduplicated"), status, headers)


def _wait(job: Job, seconds: int) -> Job | None:
    """The job after at most `seconds`; None where too many are waiting already."""
    slots, who = context().slots, auth.key()
    if not slots.take(who):
        return None
    try:
        return context().jobs.wait(job.id, seconds) or job
    except StoreUnavailable:
        return job  # it was taken: 202 is the truth, and 503 would say that nothing was done
    finally:
        slots.give_back(who)


def _scoped(key: str) -> str:
    """Keys of different callers, or for different addresses, have nothing to do with each other."""
    caller = auth.caller()
    return f"{caller.name if caller else ''}:{request.path}:{key}"
