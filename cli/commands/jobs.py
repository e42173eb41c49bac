"""`nbr jobs`: what was asked for, what became of it, and an end to it."""

from __future__ import annotations

import click

from cli import completing, outcome, words
from cli.api import Body, part
from cli.asking import ask_back, retry_in_words
from cli.errors import Failed
from cli.groups import DefaultGroup
from cli.options import Asked, page_options, talks, wait_option
from cli.running import begin, finish, watch, with_percent

_ID = click.argument("job_id", metavar="ID", shell_complete=completing.jobs)
_STATES = ("queued", "running", "succeeded", "failed", "cancelled")


@click.group(cls=DefaultGroup, default="list")
def jobs() -> None:
    """Jobs: list, look, watch, cancel, retry.

    `nbr jobs` lists them, newest first.
    """


@jobs.command("list")
@click.option("--state", type=click.Choice(_STATES), help="Only jobs in this state.")
@click.option("--kind", metavar="KIND", help="Only jobs of this kind, such as sync.")
@click.option("--database", metavar="NAME", help="Only jobs of this database.", shell_complete=completing.databases)
@page_options()
@talks
def list_jobs(
    asked: Asked, state: str | None, kind: str | None, database: str | None, limit: int | None, cursor: str | None
) -> None:
    """Jobs, newest first."""
    found = asked.api.get("/api/jobs", state=state, kind=kind, database=database, limit=limit, cursor=cursor)
    if asked.screen.json:
        asked.screen.body(found)
        return
    columns = ("ID", "WHAT", "STATE", "MADE", "HOW FAR")
    asked.screen.table(columns, (_row(job, asked.now) for job in found["jobs"]), "There are no such jobs")
    asked.screen.more(found.get("next"))


@jobs.command()
@_ID
@talks
def show(asked: Asked, job_id: str) -> None:
    """One job, with its result or its error."""
    job = asked.api.get(f"/api/jobs/{part(job_id)}")
    if asked.screen.json:
        asked.screen.body(with_percent(job))
        return
    asked.screen.facts(_facts(job, asked.now))
    for line in outcome.summary(job) if job["state"] == "succeeded" else ():
        asked.screen.line(line)
    for line in outcome.wanting(job) if job["state"] == "succeeded" else ():
        asked.screen.line(line, "yellow")


@jobs.command("watch")
@_ID
@talks
def watch_job(asked: Asked, job_id: str) -> None:
    """Follow a job to its end, and exit as if it had been begun here. Ctrl-C leaves it running."""
    finish(asked.screen, watch(asked, job_id))


@jobs.command()
@_ID
@wait_option
@talks
def cancel(asked: Asked, job_id: str, wait: bool) -> None:
    """End a job. A running one is stopped on the nodes, too, which may take seconds."""
    job = asked.api.delete(f"/api/jobs/{part(job_id)}")
    if wait and job["state"] in {"queued", "running"}:
        job = watch(asked, job_id)
    elif asked.screen.json:
        asked.screen.body(with_percent(job))
    if job["state"] in {"succeeded", "failed"}:
        raise Failed(f"{outcome.title(job)} had {job['state']} before it could be stopped")
    if not asked.screen.json:
        ended = job["state"] == "cancelled"
        asked.screen.line(f"{outcome.title(job)} {'is cancelled' if ended else 'has been asked to stop'}")


@jobs.command()
@_ID
@click.option("--yes", "-y", is_flag=True, help="Do not ask back.")
@wait_option
@talks
def retry(asked: Asked, job_id: str, yes: bool, wait: bool) -> None:
    """Ask for the same again, as a new job.

    A restore, and one that takes a legal hold off, have to be confirmed.
    """
    told = None if yes else retry_in_words(asked.api.get(f"/api/jobs/{part(job_id)}"))
    if told:
        ask_back(*told)
    begin(asked, f"/api/jobs/{part(job_id)}/retry", wait)


def _row(job: Body, now: float) -> tuple[object, ...]:
    return job["id"], outcome.title(job), job["state"], words.ago(job["created_at"], now), _far(job)


def _far(job: Body) -> str:
    if job["state"] == "failed":
        return str((job.get("error") or {}).get("type"))
    return words.amount(job.get("progress")) if job["state"] == "running" else ""


def _facts(job: Body, now: float) -> list[tuple[str, object]]:
    error = job.get("error")
    progress = job.get("progress") or {}
    far = " ".join(filter(None, [progress.get("phase"), words.amount(progress)]))
    return [
        ("Job", job["id"]),
        ("What", outcome.title(job)),
        ("State", job["state"]),
        ("Made", words.moment(job["created_at"])),
        ("Began", words.moment(job["started_at"]) if job.get("started_at") else "not yet"),
        ("Ended", words.moment(job["finished_at"]) if job.get("finished_at") else "not yet"),
        ("Attempts", words.number(job.get("attempts"))),
        *([("Progress", far)] if far else []),
        *([("Error", f"{error['type']}: {error['detail']}")] if error else []),
        *([("May be retried", "yes" if error["retryable"] else "no")] if error else []),
    ]
