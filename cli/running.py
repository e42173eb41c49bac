"""Starting a job and watching it to its end: a bar on a terminal, a line for each step elsewhere, JSON for scripts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import click
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from cli import outcome, words
from cli.api import Body
from cli.errors import ApiError, Cancelled, CommandError, Exit, Failed, Interrupted, Unsure
from cli.following import follow
from cli.options import Asked
from cli.screen import Screen, style_of

TRIES = 2
AGAIN = 2.0  # seconds after which the API is asked again


def begin(asked: Asked, path: str, wait: bool, **body: Any) -> None:
    """Post what starts a job, and see it to its end where that is wanted."""
    job = _posted(asked, path, body)
    if job.get("deduplicated"):
        asked.screen.say("An equal job was queued already: it is that one")
    if wait:
        finish(asked.screen, watch(asked, job["id"]))
    elif asked.screen.json:
        asked.screen.body(with_percent(job))
    else:
        asked.screen.line(job["id"])


def _posted(asked: Asked, path: str, body: Body) -> Body:
    """Sent once more where no answer came: with the same key it is one job. Raises Unsure where none came again."""
    key = str(uuid4())
    unsure = False
    for left in reversed(range(TRIES)):
        try:
            return asked.api.post(path, body, key)
        except CommandError as error:
            unsure = unsure or _unsure(error)
            if not unsure or (error.code != Exit.UNAVAILABLE and not _unsure(error)):
                raise
            if not left:
                raise Unsure(f"{error.format_message()}\n  the job may have begun: `nbr jobs` shows it") from None
        asked.around.pause(AGAIN)
    raise AssertionError("unreachable")


def _unsure(error: CommandError) -> bool:
    """No answer came, or something before the API lost it, or the API is just taking our own first try."""
    if isinstance(error, ApiError):
        return error.name == "being-made" or (error.status in {502, 504} and not error.name)
    return isinstance(error, Unsure)


def watch(asked: Asked, job_id: str) -> Body:
    """The job once it has ended. Ctrl-C leaves it running."""
    changes = follow(asked.api, job_id, asked.around.pause)
    named = words.typed(job_id)
    show = _as_json if asked.screen.json else _as_bar if _can_draw(asked.screen) else _as_lines
    try:
        return show(asked.screen, changes)
    except KeyboardInterrupt:
        raise Interrupted(
            f"job {job_id} goes on. See it again: nbr jobs watch {named}   end it: nbr jobs cancel {named}"
        ) from None


def finish(screen: Screen, job: Body) -> None:
    """Say how it ended, and exit with what that means."""
    code = outcome.exit_of(job)
    if code in {Exit.FAILED, Exit.CANCELLED}:
        raise _ended_badly(job)
    if not screen.json:
        screen.line(f"{outcome.title(job)}: {job['state']}{_took(job)}", style_of(job["state"]))
        for line in outcome.summary(job):
            screen.line(line)
        for line in outcome.wanting(job):
            screen.line(line, "yellow")
    if code:
        raise click.exceptions.Exit(code)


def with_percent(job: Body) -> Body:
    """The job as the API gave it, and how far it is."""
    progress = job.get("progress")
    return {**job, "progress": {**progress, "percent": words.percent(progress)} if progress else None}


def _ended_badly(job: Body) -> Failed | Cancelled:
    if job["state"] == "cancelled":
        return Cancelled(f"{outcome.title(job)} was cancelled")
    error = job.get("error") or {}
    lines = [f"{outcome.title(job)} failed: {error.get('type')}: {error.get('detail')}"]
    if error.get("retryable"):
        lines.append(f"  the same may succeed later: nbr jobs retry {words.typed(job['id'])}")
    lines.append(f"  everything that is known of it: nbr jobs show {words.typed(job['id'])} --json")
    return Failed("\n".join(lines))


def _took(job: Body) -> str:
    try:
        return f" after {words.span(words.epoch(job['finished_at']) - words.epoch(job['created_at']))}"
    except (KeyError, TypeError, ValueError):
        return ""


# --- three ways to see it go on; each returns the job at its end


def _as_json(screen: Screen, changes: Iterator[Body]) -> Body:
    job: Body = {}
    for job in changes:
        screen.body(with_percent(job))
    return job


def _as_lines(screen: Screen, changes: Iterator[Body]) -> Body:
    """One for each step: a log that fills with percents helps nobody."""
    job: Body = {}
    last = ""
    for job in changes:
        step = _step(job)
        if step != last and job["state"] in {"queued", "running"}:
            last = step
            screen.say(f"{outcome.title(job)}: {step}")
    return job


def _as_bar(screen: Screen, changes: Iterator[Body]) -> Body:
    job: Body = {}
    what, step, amount = (TextColumn(f"{{task.fields[{name}]}}", markup=False) for name in ("what", "step", "amount"))
    with Progress(what, step, BarColumn(bar_width=20), amount, console=screen.err, transient=True) as bar:
        task: TaskID | None = None
        drawn = ""
        for job in changes:
            fields: dict[str, Any] = {"what": outcome.title(job), "step": _step(job)}
            progress = job.get("progress") or {}
            total = progress.get("total") or None
            if task is None or fields["step"] != drawn:  # a bar cannot go back from a known total to an unknown one
                if task is not None:
                    bar.remove_task(task)
                task = bar.add_task("", total=total, amount="", **fields)
                drawn = fields["step"]
            fields["amount"] = words.amount(progress)
            bar.update(task, total=total, completed=progress.get("done") or 0, **fields)
    return job


def _step(job: Body) -> str:
    if job.get("cancel_requested") and job["state"] == "running":
        return "is being stopped"
    phase = (job.get("progress") or {}).get("phase")
    return words.safe(phase if phase and job["state"] == "running" else job["state"])


def _can_draw(screen: Screen) -> bool:
    return sys.stderr.isatty() and not screen.err.is_dumb_terminal
