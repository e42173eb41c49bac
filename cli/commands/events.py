"""`nbr events`: what happened, oldest first, as in a log; -f goes on."""

from __future__ import annotations

from collections.abc import Iterator

import click

from cli import completing, words
from cli.api import Body
from cli.errors import CommandError, Exit
from cli.options import Asked, talks
from cli.screen import style_of

EVERY = 1.0  # seconds between two looks
PAGE = 200
SHOWN = 20
_FIRST = "0-0"  # before every event


@click.command()
@click.option("--follow", "-f", is_flag=True, help="Go on with what happens, until Ctrl-C.")
@click.option("--type", "kind", metavar="TYPE", help="Only events of this type, such as node.state.")
@click.option("--node", metavar="NAME", help="Only events of this node.", shell_complete=completing.nodes)
@click.option("--limit", type=click.IntRange(1, PAGE), default=SHOWN, show_default=True, help="How many to begin with.")
@talks
def events(asked: Asked, follow: bool, kind: str | None, node: str | None, limit: int) -> None:
    """What happened lately, and what happens now.

    With -f --json each event is a line; an API that is away is waited for.
    """
    found = asked.api.get("/api/events", type=kind, node=node, limit=limit)
    newest_first = found["events"]
    if asked.screen.json and not follow:
        asked.screen.body(found)
        return
    try:
        if not newest_first:
            asked.screen.say("There are no such events yet")
        for event in reversed(newest_first):
            _show(asked, event)
        if follow:
            for event in _coming(asked, newest_first[0]["id"] if newest_first else _FIRST, kind, node):
                _show(asked, event)
    except KeyboardInterrupt:
        raise click.exceptions.Exit(Exit.INTERRUPTED) from None


def _coming(asked: Asked, last: str, kind: str | None, node: str | None) -> Iterator[Body]:
    """Each event after the one with the id `last`, for ever: what happens while the API is away is there when it is
    back."""
    away = False
    while True:
        try:
            page = asked.api.get("/api/events", after=last, type=kind, node=node, limit=PAGE)
        except CommandError as error:
            if error.code != Exit.UNAVAILABLE:
                raise
            if not away:
                asked.screen.say(f"{error.format_message()}; waiting for it")
            away = True
            asked.around.pause(EVERY)
            continue
        away = False
        for event in page["events"]:
            last = event["id"]
            yield event
        if not page.get("next"):
            asked.around.pause(EVERY)


def _show(asked: Asked, event: Body) -> None:
    if asked.screen.json:
        asked.screen.body(event)
    else:
        told = f"{words.moment(event['at'])}  {event['severity']:<7}  {event['type']}  {event['detail']}"
        severity = event["severity"]
        asked.screen.line(told, "" if severity == "info" else style_of(severity))
