"""`nbr completion`: what a shell has to be told so that Tab completes commands, options and names."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what makes Tab complete commands and names.

    \b
    bash:  eval "$(nbr completion bash)"      in ~/.bashrc
    zsh:   eval "$(nbr completion zsh)"       in ~/.zshrc
    fish:  nbr completion fish > ~/.config/fish/completions/nbr.fish

    Names of databases, nodes, jobs and backups come from the API, where it answers within a second.
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"{shell} is not known to click")
    click.echo(kind(ctx.find_root().command, {}, "nbr", "_NBR_COMPLETE").source())
