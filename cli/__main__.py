"""`./nbr` (`python -m cli`): what is done from a terminal."""

from __future__ import annotations

import click

from cli.token import token


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def nbr() -> None:
    """NoteBook Replication from a terminal."""


nbr.add_command(token)

if __name__ == "__main__":
    nbr(prog_name="nbr")
