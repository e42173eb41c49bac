"""`./nbr` (`python -m cli`): what is done from a terminal. docs/cli.md says all of it."""

from __future__ import annotations

import click

from cli.errors import EXIT_CODES
from cli.groups import LazyGroup
from cli.pipes import open_closed

COMMANDS = {
    "status": ("cli.commands.seeing", "How the cluster is, and which links are not well."),
    "health": ("cli.commands.seeing", "How every node is, and whether jobs can be taken."),
    "databases": ("cli.commands.seeing", "The databases, with what is known of each."),
    "nodes": ("cli.commands.nodes", "The nodes: look, take out, let in, bring up to date."),
    "sync": ("cli.commands.replication", "Bring a database to the same content on all nodes, now."),
    "setup": ("cli.commands.replication", "Make databases and their links on all nodes."),
    "verify": ("cli.commands.replication", "Compare a database on all nodes, document by document."),
    "jobs": ("cli.commands.jobs", "Jobs: list, look, watch, cancel, retry."),
    "backup": ("cli.commands.backups", "Backups: make, list, look, verify, hold."),
    "restore": ("cli.commands.restoring", "Restore a database, or everything, from a backup."),
    "events": ("cli.commands.events", "What happened lately, and what happens now."),
    "token": ("cli.token", "Tokens that open the API."),
    "completion": ("cli.commands.completion", "Print what makes Tab complete commands and names."),
}
_CODES = "\n".join(f"  {code:>3}  {meaning}" for code, meaning in EXIT_CODES.items())
_SETTINGS = """\b
Settings, from the environment or .env:
  NBR_URL         where the API is; else API_HOST and API_PORT
  NBR_TOKEN       what opens it (or NBR_TOKEN_FILE)
  NBR_CA_BUNDLE   the CA's file, where the system does not know it
  NBR_ALLOW_HTTP  true: send the token over plain HTTP to another machine"""


@click.command(
    cls=LazyGroup,
    table=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=f"{_SETTINGS}\n\n\b\nExit codes:\n{_CODES}",
)
def nbr() -> None:
    """NoteBook Replication from a terminal."""


if __name__ == "__main__":
    open_closed()
    nbr(prog_name="nbr")
