"""`nbr backup`: make, list, look, verify, hold."""

from __future__ import annotations

import click

from cli import completing, words
from cli.api import Body, part
from cli.asking import ask_back, release_in_words
from cli.options import Asked, page_options, talks, wait_option
from cli.running import begin

_ID = click.argument("backup_id", metavar="ID", shell_complete=completing.backups)


@click.group()
def backup() -> None:
    """Backups: make, list, look, verify, hold."""


@backup.command()
@click.argument("databases", metavar="[DATABASE]...", nargs=-1, shell_complete=completing.databases)
@click.option("--full", is_flag=True, help="Everything, and not only what changed since the backup before.")
@click.option("--hold", metavar="REASON", help="Retention must never remove it, and why.")
@wait_option
@talks
def now(asked: Asked, databases: tuple[str, ...], full: bool, hold: str | None, wait: bool) -> None:
    """Make a backup now.

    Without a DATABASE (a name or a glob): all that the settings say.
    """
    begin(asked, "/api/backups", wait, databases=list(databases) or None, full=full, legal_hold=hold)


@backup.command("list")
@click.option("--database", metavar="NAME", help="Only backups that have it.", shell_complete=completing.databases)
@page_options()
@talks
def list_backups(asked: Asked, database: str | None, limit: int | None, cursor: str | None) -> None:
    """The backups there are, newest first."""
    found = asked.api.get("/api/backups", database=database, limit=limit, cursor=cursor)
    screen = asked.screen
    if screen.json:
        screen.body(found)
        return
    columns = ("BACKUP", "MADE", "STATE", "KIND", "DATABASES>", "DOCUMENTS>", "STORED>")
    screen.table(columns, (_row(one, asked.now) for one in found["backups"]), "There are no such backups")
    if found.get("stale"):
        screen.say("There has been no good backup of everything for too long")
    if found.get("trouble"):
        screen.say(f"The store could not be read: {found['trouble'].get('detail')}")
    due = words.moment(found["next_at"]) if found.get("next_at") else "when asked for"
    screen.say(f"Next: {due}   Seen: {words.ago(found.get('observed_at'), asked.now)}")
    screen.more(found.get("next"))


@backup.command()
@_ID
@page_options(most=1_000)
@talks
def show(asked: Asked, backup_id: str, limit: int | None, cursor: str | None) -> None:
    """One backup, with its databases. ID may be latest."""
    found = asked.api.get(f"/api/backups/{part(backup_id)}", limit=limit, cursor=cursor)
    if asked.screen.json:
        asked.screen.body(found)
        return
    asked.screen.facts(_facts(found))
    columns = ("DATABASE", "FROM", "DOCUMENTS>", "CHANGED>", "ATTACHMENTS>", "STORED>")
    asked.screen.table(columns, map(_entry, found.get("entries") or []))
    asked.screen.more(found.get("next"))


@backup.command()
@_ID
@click.option("--drill", is_flag=True, help="Restore it into a scratch database, compare, and drop that.")
@click.option("--node", metavar="NAME", help="Where the drill is made.", shell_complete=completing.nodes)
@wait_option
@talks
def verify(asked: Asked, backup_id: str, drill: bool, node: str | None, wait: bool) -> None:
    """Compare every object with its checksum, or restore it as a drill."""
    begin(asked, f"/api/backups/{part(backup_id)}/verify", wait, drill=drill, node=node)


@backup.command()
@_ID
@click.option("--reason", metavar="TEXT", help="Why.")
@wait_option
@talks
def hold(asked: Asked, backup_id: str, reason: str | None, wait: bool) -> None:
    """Keep a backup whatever retention says: a legal hold."""
    begin(asked, f"/api/backups/{part(backup_id)}/hold", wait, on=True, reason=reason)


@backup.command()
@_ID
@click.option("--yes", "-y", is_flag=True, help="Do not ask back.")
@wait_option
@talks
def release(asked: Asked, backup_id: str, yes: bool, wait: bool) -> None:
    """Take a legal hold off."""
    if not yes:
        ask_back(*release_in_words(backup_id))
    begin(asked, f"/api/backups/{part(backup_id)}/hold", wait, on=False)


def _row(one: Body, now: float) -> tuple[object, ...]:
    return (
        one["id"],
        words.ago(one.get("started_at"), now),
        _state(one),
        "full" if one.get("full") else "incremental" if one.get("full") is False else None,
        words.number(one.get("databases")),
        words.number(one.get("documents")),
        words.size(one.get("stored_bytes")),
    )


def _state(one: Body) -> str:
    if not one.get("readable"):
        return "unreadable"
    words_for = ["good" if one.get("good") else "not good"]
    if one.get("damage"):
        words_for = ["damaged"]
    elif one.get("verified"):
        words_for.append("verified")
    if one.get("legal_hold"):
        words_for.append("held")
    return ", ".join(words_for)


def _facts(one: Body) -> list[tuple[str, object]]:
    held, damage = one.get("legal_hold") or {}, one.get("damage") or {}
    failed = [f"{bad.get('database')}: {bad.get('detail')}" for bad in one.get("failed") or []]
    return [
        ("Backup", one["id"]),
        ("State", _state(one)),
        ("Made", words.moment(one.get("started_at"))),
        ("Took", words.span(one.get("seconds"))),
        ("Asked for", ", ".join(one.get("scope") or []) or words.UNKNOWN),
        ("Goes on from", ", ".join(one.get("parents") or []) or "nothing"),
        ("Encrypted", "yes" if one.get("sealed") else "no"),
        *([("Held", held.get("reason") or "yes")] if held else []),
        *([("Damage", damage.get("detail"))] if damage else []),
        *([("Unreadable", one["why"])] if one.get("why") else []),
        *(("Failed", line) for line in failed),
    ]


def _entry(entry: Body) -> tuple[object, ...]:
    figures = (words.number(entry.get(name)) for name in ("documents", "changed", "attachments"))
    return entry["database"], entry.get("node"), *figures, words.size(entry.get("stored_bytes"))
