"""What is shown: results on stdout, messages and progress on stderr; with --json nothing but JSON on stdout.

Whatever is printed goes through words.safe, and never through rich's markup: names and reasons come from others, and
"[red]" in one of them is text. Where stdout is no terminal tables are as wide as they are, so that a line stays a line.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.words import UNKNOWN, safe, typed

_UNBOUND = 10_000  # columns
_GOOD, _FAIR, _BAD = "green", "yellow", "red"
_STYLES = {
    **dict.fromkeys(("healthy", "ok", "succeeded", "running", "in-step", "yes", "info"), _GOOD),
    **dict.fromkeys(("suspect", "recovering", "replaced", "maintenance", "degraded", "queued", "pending"), _FAIR),
    **dict.fromkeys(("initializing", "behind", "cancelled", "warning", "unknown", UNKNOWN), _FAIR),
    **dict.fromkeys(("down", "unavailable", "failed", "failing", "crashing", "error", "stalled", "no"), _BAD),
}


class Screen:
    def __init__(self, as_json: bool) -> None:
        self.json = as_json
        self.out = _console(sys.stdout)
        self.err = _console(sys.stderr)

    def body(self, body: Mapping[str, Any]) -> None:
        """One line of JSON, in ASCII: there is nothing in it that a terminal would obey."""
        click.echo(json.dumps(body, separators=(",", ":")))

    def line(self, text: str = "", style: str = "") -> None:
        self.out.print(Text(safe(text), style), soft_wrap=True)

    def say(self, text: str) -> None:
        """A message, which is no result."""
        self.err.print(Text(safe(text)), soft_wrap=True)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]], none: str = "") -> None:
        """Columns whose heading ends with `>` are figures, and stand at the right. `none`: what is said where there are
        no rows."""
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(column.rstrip(">"), justify="right" if column.endswith(">") else "left", overflow="fold")
        for row in rows:
            table.add_row(*map(_cell, row))
        if table.row_count:
            self.out.print(table)
        elif none:
            self.say(none)

    def facts(self, pairs: Iterable[tuple[str, object]]) -> None:
        """One a line: what it is, and what is known of it."""
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column(style="bold")
        table.add_column(overflow="fold")
        for name, value in pairs:
            table.add_row(_cell(name), _cell(value))
        self.out.print(table)

    def more(self, following: Any) -> None:
        """Below a page that is not the last."""
        if following:
            self.say(f"There are more: --cursor {typed(following)}")


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """rich itself would end with 1, which is what a failed job does. See cli.pipes."""
        raise  # noqa: PLE0704 - called while the BrokenPipeError is handled


def style_of(word: object) -> str:
    return _STYLES.get(str(word), "")


def _cell(value: object) -> Text:
    text = UNKNOWN if value is None else safe(value)
    return Text(text, style_of(text))


def _console(file: IO[str]) -> Console:
    width = None if file.isatty() else _UNBOUND
    return _Console(file=file, markup=False, highlight=False, emoji=False, width=width)
