"""`nbr restore`. What cannot be undone (a rollback, a whole cluster) is asked back, see cli.asking."""

from __future__ import annotations

import json
from typing import Any

import click

from cli import completing, words
from cli.api import part
from cli.asking import ask_back, refuse_unless_somebody_is_there, restore_in_words
from cli.options import Asked, talks, wait_option
from cli.running import begin

_MODES = ("new", "rollback", "cluster")


@click.command()
@click.argument("backup", shell_complete=completing.backups)
@click.argument("database", required=False, shell_complete=completing.databases)
@click.option("--as", "into", metavar="NAME", help="The name to restore it under; left out: its own.")
@click.option(
    "--mode",
    type=click.Choice(_MODES),
    default="new",
    show_default=True,
    help="new: into a database that no node has. rollback: an existing one back to what it was, on all nodes. "
    "cluster: everything, onto nodes without databases.",
)
@click.option("--ids", "--id", "ids", metavar="ID", multiple=True, help="Only this document; may be given again.")
@click.option("--selector", metavar="JSON", help="Only documents that this Mango selector matches.")
@click.option("--made-since", type=click.Choice(("keep", "delete")), help="rollback: documents the backup has not.")
@click.option("--node", metavar="NAME", help="Where it is written.", shell_complete=completing.nodes)
@click.option("--dry-run", is_flag=True, help="rollback: change nothing, and say what would be done.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask back.")
@wait_option
@talks
def restore(
    asked: Asked,
    backup: str,
    database: str | None,
    into: str | None,
    mode: str,
    ids: tuple[str, ...],
    selector: str | None,
    made_since: str | None,
    node: str | None,
    dry_run: bool,
    yes: bool,
    wait: bool,
) -> None:
    """Restore a database, or everything, from a backup.

    BACKUP is an id, or latest. In mode cluster there is no DATABASE: all of the backup is restored.
    """
    if mode == "cluster" and database:
        raise click.UsageError("mode cluster restores everything: leave DATABASE out")
    if mode != "cluster" and not database:
        raise click.UsageError("DATABASE is missing: which one of the backup")
    if mode != "rollback" and (dry_run or made_since):
        raise click.UsageError("--dry-run and --made-since are for --mode rollback")
    if mode != "new" and not (dry_run or yes):
        refuse_unless_somebody_is_there(restore_in_words(mode, backup, into or database)[0])
        made = asked.api.get(f"/api/backups/{part(backup)}")
        backup = made["id"]  # what is confirmed is done, though latest be another one by then
        what, wanted = restore_in_words(mode, backup, into or database)
        ask_back(f"{what} It was made {words.ago(made['started_at'], asked.now)}.", wanted)
    begin(
        asked,
        f"/api/backups/{part(backup)}/restore",
        wait,
        **{"as": into},
        database=database,
        mode=mode,
        ids=list(ids) or None,
        selector=_object(selector) if selector else None,
        made_since=made_since,
        node=node,
        dry_run=dry_run or None,
    )


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"--selector is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise click.UsageError('--selector must be a JSON object, such as {"type": "note"}')
    return found
