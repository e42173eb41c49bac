"""`nbr token new`: makes an API token. Asks nobody: what counts is that its digest stands in API_TOKENS."""

from __future__ import annotations

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
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(made)
    if path is None:
        click.echo(f"Add this to API_TOKENS; only the line above opens anything:\n  {line}", err=True)
    else:
        click.echo(f"{path} has its digest now; the line above is shown this once.", err=True)


def _add(path: Path, line: str) -> None:
    """Add a line in one step: whoever reads the file sees all of the old one or all of the new. Raises ValueError where
    the whole would not be a list of tokens any more."""
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    text = "\n".join([*before.rstrip("\n").split("\n"), line]).lstrip("\n") + "\n"
    try:
        parse_tokens(text)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    beside = path.with_name(f"{path.name}.new")
    beside.write_text(text, encoding="utf-8")
    beside.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o600)
    os.replace(beside, path)
