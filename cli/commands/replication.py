"""`nbr sync`, `nbr setup` and `nbr verify`: jobs that are begun, watched, and told of."""

from __future__ import annotations

import click

from cli import completing
from cli.options import Asked, talks, wait_option
from cli.running import begin

_DATABASE = click.argument("database", shell_complete=completing.databases)


@click.command()
@_DATABASE
@wait_option
@talks
def sync(asked: Asked, database: str, wait: bool) -> None:
    """Bring a database to the same content on all nodes, now.

    Exits with 3 where a node was skipped or has not caught up.
    """
    begin(asked, "/api/replication/sync", wait, database=database)


@click.command()
@click.argument("databases", metavar="[DATABASE]...", nargs=-1, shell_complete=completing.databases)
@click.option("--dry-run", is_flag=True, help="Change nothing, and say what would be done.")
@click.option("--one-way", is_flag=True, help="From now on only from the primary to the others.")
@wait_option
@talks
def setup(asked: Asked, databases: tuple[str, ...], dry_run: bool, one_way: bool, wait: bool) -> None:
    """Make databases and their links on all nodes.

    Without a DATABASE: all that the settings select. Twice does no more than once. Exits with 3 where
    something is left.
    """
    names = list(databases) or None
    begin(asked, "/api/replication/setup", wait, database=names, bidirectional=not one_way, dry_run=dry_run)


@click.command()
@_DATABASE
@click.option("--repair", is_flag=True, help="Sync just the documents that differ, and look again.")
@click.option("--nodes", metavar="NAME,NAME", help="Only these nodes, two or more.", shell_complete=completing.nodes)
@wait_option
@talks
def verify(asked: Asked, database: str, repair: bool, nodes: str | None, wait: bool) -> None:
    """Compare a database on all nodes, document by document.

    Exits with 0 only where all are known to hold the same, and with 3 where they differ or a node was skipped.
    """
    names = [name.strip() for name in nodes.split(",") if name.strip()] if nodes else None
    begin(asked, "/api/replication/verify", wait, database=database, repair=repair, nodes=names)
