"""Two kinds of groups: one imports a command only when it is called, one has a command for when none is named.

Starting Python, click, requests and rich together takes half a second, most of it for nothing where somebody asks for
help or presses Tab. So names and short helps stand in a table (a test holds them to the commands).
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click
from click.shell_completion import CompletionItem

from cli.errors import Interrupted
from cli.pipes import until_unread


class LazyGroup(click.Group):
    """`table`: name -> its module, where it has the same name, and its short help; in the order in which help lists
    them."""

    def __init__(self, *args: Any, table: Mapping[str, tuple[str, str]], **more: Any) -> None:
        super().__init__(*args, **more)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.table:
            return None
        module = importlib.import_module(self.table[cmd_name][0])
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, short) for name, (_, short) in self.table.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        own = [
            CompletionItem(name, help=short) for name, (_, short) in self.table.items() if name.startswith(incomplete)
        ]
        return own + click.Command.shell_complete(self, ctx, incomplete)

    def make_context(self, *args: Any, **more: Any) -> click.Context:
        with until_unread():  # it is here that help is written
            return super().make_context(*args, **more)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with until_unread():
                return super().invoke(ctx)
        except (KeyboardInterrupt, click.Abort):  # click itself would say 1, which is what a failed job says
            raise Interrupted("interrupted") from None


class DefaultGroup(click.Group):
    """`nbr jobs` and `nbr jobs --state failed` mean `nbr jobs list …`: a word that names no command, or an option, goes
    to the default one."""

    def __init__(self, *args: Any, default: str, **more: Any) -> None:
        super().__init__(*args, **more)
        self.default = default

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        first = args[0] if args else None
        help_asked = first in ctx.help_option_names
        half_typed = ctx.resilient_parsing and first is None  # completion: the word is not there yet
        if first not in self.commands and not help_asked and not half_typed:
            args = [self.default, *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        found = super().shell_complete(ctx, incomplete)
        default = self.commands[self.default]
        if incomplete.startswith("-"):
            return found + [item for item in default.shell_complete(ctx, incomplete) if item.value != "--help"]
        for parameter in default.params:
            if isinstance(parameter, click.Argument):
                found += parameter.shell_complete(ctx, incomplete)
        return found
