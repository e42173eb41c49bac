"""`nbr token new`: makes an API token. Asks nobody: what counts is that its digest stands in API_TOKENS."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import click

from config.tokens import Role, new_token, parse_tokens, role_of, written

WORDS = [role.word for role in Role]


@click.group()
def token() -> None:
    """Tokens that open the API."""


@token.command()
@click.argument("name")
@click.option("--role", type=click.Choice(WORDS), required=True, help="What it may do; each role may do more.")
@click.option(
    "--file",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Add its line to this file (API_TOKENS_FILE): it counts within a second, without a restart.",
)
def new(name: str, role: str, path: Path | None) -> None:
    """Make a token and print it, once. NAME is what the audit log calls it."""
    made = new_token()
    try:
        line = written(name, role_of(role), made)
        if path is not None:
            _add(path, line)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    except OSError as error:
        raise click.ClickException(str(error)) from None
    click.echo(made)
    if path is None:
        click.echo(f"Add this to API_TOKENS; only the line above opens anything:\n  {line}", err=True)
    else:
        click.echo(f"{path} has its digest now; the line above is shown this once.", err=True)


def _add(path: Path, line: str) -> None:
    """Add a line to the file that is there, with its owner and mode: whoever reads it goes on reading the same one.
    Raises ValueError where the whole would not be a list of tokens any more."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "r+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # two at once would both think that the name is free
        before = file.read()
        added = f"{'' if not before or before.endswith(chr(10)) else chr(10)}{line}\n"
        try:
            parse_tokens(before + added)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        os.write(file.fileno(), added.encode())  # at once: a reader sees all of the line or nothing of it
