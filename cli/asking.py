"""What cannot be undone is asked back: the name of what it is about has to be typed. `--yes` is for scripts."""

from __future__ import annotations

import sys

import click

from cli.api import Body
from cli.words import safe


def ask_back(what: str, wanted: str) -> None:
    """`what` will happen; `wanted`: what has to be typed. Raises click.UsageError where it is not."""
    refuse_unless_somebody_is_there(what)
    click.echo(safe(what), err=True)
    typed = click.prompt(f"Type {safe(wanted)} to go on", default="", show_default=False, err=True)
    if typed.strip() != wanted:
        raise click.UsageError("not confirmed: nothing was done")


def refuse_unless_somebody_is_there(what: str) -> None:
    """Raises click.UsageError."""
    if not sys.stdin.isatty():
        raise click.UsageError(
            f"{safe(what)} That has to be confirmed, and nobody can be asked here: --yes confirms it"
        )


def restore_in_words(mode: str, backup: str, database: str | None) -> tuple[str, str]:
    """What will happen, and the name that has to be typed."""
    if mode == "cluster":
        return f"Everything in backup {backup} will be written to the nodes.", backup
    if mode == "rollback":
        return f"{database} will go back to what it was in backup {backup}, on all nodes.", str(database)
    return f"{database} will be made from backup {backup}.", str(database)


def retry_in_words(job: Body) -> tuple[str, str] | None:
    """The same for a job that is asked for again; None where nothing of it has to be confirmed."""
    params = job.get("params") or {}
    backup = str(params.get("backup"))
    if job["kind"] == "restore" and not params.get("dry_run"):
        return restore_in_words(str(params.get("mode")), backup, params.get("as") or job.get("database"))
    if job["kind"] == "hold-backup" and not params.get("on"):
        return release_in_words(backup)
    return None


def release_in_words(backup: str) -> tuple[str, str]:
    return f"The legal hold on backup {backup} will be taken off.", backup
