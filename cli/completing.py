"""What Tab offers for names that only the API knows. Short time-outs, and silence where it cannot be asked: nobody
wants an error in the middle of a line that is being typed.

Shells put what is offered into the line as it is, and obey it at Enter: `a$(x)` is a name that CouchDB takes. So only
names in which no shell reads anything are offered; the others can be typed, in quotes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import click
from click.shell_completion import CompletionItem

from cli.api import Api, Body
from cli.errors import ApiError
from cli.options import surroundings
from cli.words import safe

TIMEOUTS = (0.5, 1.0)  # seconds, to connect and to be answered
MOST = 200
_PLAIN = re.compile(r"[A-Za-z0-9_./+][A-Za-z0-9_./+-]*")  # one that begins with - is an option

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _asked(find: Callable[[Api, str], Iterator[tuple[str, str]]]) -> Complete:
    def complete(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        given = ctx.params.get(parameter.name or "")
        taken = set(given) if isinstance(given, tuple | list) else set()
        try:
            with surroundings(ctx).api(ctx.params.get("url"), TIMEOUTS) as api:
                found = list(find(api, incomplete))
        except (click.ClickException, KeyError, TypeError, AttributeError):
            return []
        return [
            CompletionItem(name, help=safe(told) or None)
            for name, told in found
            if name.startswith(incomplete) and name not in taken and _PLAIN.fullmatch(name)
        ]

    return complete


def _databases(api: Api, incomplete: str) -> Iterator[tuple[str, str]]:
    try:
        answer = api.get("/api/databases", search=incomplete or None, limit=MOST)
        names = [row["name"] for row in answer["databases"]]
    except ApiError:  # an older API
        names = sorted({link["database"] for link in api.get("/api/replication/status")["links"]})
    yield from ((name, "") for name in names)


def _nodes(api: Api, incomplete: str) -> Iterator[tuple[str, str]]:
    yield from ((node["name"], node["state"]) for node in api.get("/api/nodes")["nodes"])


def _jobs(api: Api, incomplete: str) -> Iterator[tuple[str, str]]:
    for job in api.get("/api/jobs", limit=MOST)["jobs"]:
        yield job["id"], _about(job)


def _about(job: Body) -> str:
    return f"{job['kind']} {job.get('database') or ''} {job['state']}".replace("  ", " ")


def _backups(api: Api, incomplete: str) -> Iterator[tuple[str, str]]:
    yield "latest", "the newest that is fit"
    for backup in api.get("/api/backups", limit=MOST)["backups"]:
        yield backup["id"], "good" if backup.get("good") else "not good"


databases, nodes, jobs, backups = map(_asked, (_databases, _nodes, _jobs, _backups))
