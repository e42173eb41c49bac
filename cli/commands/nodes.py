"""`nbr nodes`: look at them, take one out, let it in, bring it up to date."""

from __future__ import annotations

import click

from cli import completing, words
from cli.api import Body, part
from cli.groups import DefaultGroup
from cli.options import Asked, talks, wait_option
from cli.running import begin

_NAME = click.argument("name", shell_complete=completing.nodes)


@click.group(cls=DefaultGroup, default="show")
def nodes() -> None:
    """The nodes: look, take out, let in, bring up to date.

    `nbr nodes` lists all, `nbr nodes NAME` shows one.
    """


@nodes.command()
@click.argument("name", required=False, shell_complete=completing.nodes)
@talks
def show(asked: Asked, name: str | None) -> None:
    """All nodes, or one with everything that is known of it."""
    found = asked.api.get(f"/api/nodes/{part(name)}" if name else "/api/nodes")
    if asked.screen.json:
        asked.screen.body(found)
    elif name:
        asked.screen.facts(_facts(found, asked.now))
    else:
        columns = ("NODE", "STATE", "SINCE", "LATENCY>", "LAG>", "VERSION", "WHY")
        asked.screen.table(columns, (_row(node, asked.now) for node in found["nodes"]))
        seen = words.ago(found.get("observed_at"), asked.now)
        asked.screen.say(f"Acting primary: {found.get('primary') or words.UNKNOWN}   Seen: {seen}")


@nodes.command()
@_NAME
@click.option("--on/--off", default=None, help="--on: no client is sent there any more. --off: they are again.")
@click.option("--reason", metavar="TEXT", help="Why, for others to read.")
@talks
def maintenance(asked: Asked, name: str, on: bool | None, reason: str | None) -> None:
    """Take a node out, or let it in again. Replication with it goes on."""
    if on is None:
        raise click.UsageError("--on takes the node out, --off lets it in again: which one?")
    done = asked.api.post(f"/api/nodes/{part(name)}/maintenance", {"on": on, "reason": reason})
    if asked.screen.json:
        asked.screen.body(done)
    else:
        asked.screen.line(f"{done['node']} {'is taken out' if done['on'] else 'is let in again'}")


@nodes.command()
@_NAME
@wait_option
@talks
def rejoin(asked: Asked, name: str, wait: bool) -> None:
    """Bring a node up to date with all others, and let it in again."""
    begin(asked, f"/api/nodes/{part(name)}/rejoin", wait)


def _row(node: Body, now: float) -> tuple[object, ...]:
    latency = node.get("latency_ms")
    return (
        node["name"],
        node["state"],
        words.ago(node.get("since"), now),
        words.UNKNOWN if latency is None else f"{latency:.1f} ms",
        words.number(node.get("lag")),
        node.get("version"),
        node.get("reason") or "",
    )


def _facts(node: Body, now: float) -> list[tuple[str, object]]:
    disk, load, jobs = (node.get(key) or {} for key in ("disk", "load", "replication_jobs"))
    latency = node.get("latency_ms")
    return [
        ("Node", node["name"]),
        ("URL", node.get("url")),
        ("State", node["state"]),
        ("Since", words.ago(node.get("since"), now)),
        ("Why", node.get("reason") or "-"),
        ("Latency", words.UNKNOWN if latency is None else f"{latency:.1f} ms"),
        ("Lag", words.number(node.get("lag"))),
        ("Version", f"{node.get('kind') or words.UNKNOWN} {node.get('version') or words.UNKNOWN}"),
        ("Up for", words.span(node.get("uptime_seconds"))),
        ("Databases", words.number(disk.get("databases"))),
        ("On disk", f"{words.size(disk.get('file_bytes'))}, {words.share(disk.get('fragmentation'))} to be freed"),
        ("Memory", words.size(load.get("memory_bytes"))),
        ("Replications", ", ".join(f"{words.number(value)} {name}" for name, value in jobs.items()) or words.UNKNOWN),
        ("Seen", words.ago(node.get("observed_at"), now)),
    ]
