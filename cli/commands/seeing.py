"""`nbr status`, `nbr health` and `nbr databases`: how things stand. They change nothing, and exit with the verdict."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import click

from cli import completing, words
from cli.api import Body
from cli.errors import Exit
from cli.options import Asked, page_options, talks
from cli.screen import style_of

PAGE = 1000  # databases of one answer
# CouchDB's own words for a link that does what it should, and ours for one on change
_WELL = {"running", "pending", "initializing", "in-step", "behind"}


@click.command()
@click.argument("database", required=False, shell_complete=completing.databases)
@click.option("--all", "everything", is_flag=True, help="List links that are well, too.")
@talks
def status(asked: Asked, database: str | None, everything: bool) -> None:
    """How the cluster is, and which links are not well.

    Links that are well and carry nothing are counted, not listed, but for those of a DATABASE that is named. Exits
    with 3 where the cluster is not healthy, a link is not well, a database was deleted or has another _security
    somewhere, or anything of that is not known, or was not looked at for long.
    """
    cluster = asked.api.get("/api/replication/health")
    primary = asked.api.get("/api/nodes").get("primary")
    bound = _bound(asked.api.get("/api/replication/info")["settings"])
    replication = _links(asked, database)
    known = partial(_is_known, swept=replication.get("observed_at"), bound=bound)
    screen, links = asked.screen, replication["links"]
    if screen.json:
        screen.body({"cluster": cluster, "primary": primary, "replication": replication})
    else:
        screen.line(f"Cluster: {cluster['status']}", style_of(cluster["status"]))
        for node in cluster["nodes"]:
            if node["state"] != "healthy":
                why = f": {node['reason']}" if node.get("reason") else ""
                screen.line(f"  {node['name']} is {node['state']}{why}", style_of(node["state"]))
        screen.line(f"Acting primary: {primary or words.UNKNOWN}   Mode: {replication.get('mode') or words.UNKNOWN}")
        screen.line(f"Links: {_counted(links, known)}   Seen: {words.ago(replication.get('observed_at'), asked.now)}")
        shown = [link for link in links if everything or database or not (known(link) and _quiet(link))]
        screen.table(("DATABASE", "FROM", "TO", "STATE", "LAG>", "WHAT IS WRONG"), map(_row, shown))
        _notes(asked, replication)
    _exit(cluster["status"] == "healthy" and _all_well(replication) and all(map(known, links)))


@click.command()
@talks
def health(asked: Asked) -> None:
    """How every node is, and whether jobs can be taken.

    Exits with 3 where anything is degraded, and with 5 where no job can be taken.
    """
    screen = asked.screen
    system = asked.api.get("/api/health", also={503})
    cluster = None if system["status"] == "unavailable" else asked.api.get("/api/replication/health")
    if screen.json:
        screen.body({"system": system, "cluster": cluster})
    else:
        screen.line(f"System: {system['status']}{_parts(system)}", style_of(system["status"]))
        if cluster is not None:
            screen.line(f"Cluster: {cluster['status']}", style_of(cluster["status"]))
            screen.table(
                ("NODE", "STATE", "SINCE", "LATENCY>", "VERSION", "WHY"),
                (_verdict(node, asked.now) for node in cluster["nodes"]),
            )
    if cluster is None:
        raise click.exceptions.Exit(Exit.UNAVAILABLE)
    _exit(system["status"] == "ok" and cluster["status"] == "healthy")


@click.command()
@click.argument("search", required=False)
@click.option("--only", metavar="WHAT", help="Only those of which this is true, such as conflicts.")
@click.option("--sort", metavar="FIELD", help="What to sort by.")
@page_options()
@talks
def databases(
    asked: Asked, search: str | None, only: str | None, sort: str | None, limit: int | None, cursor: str | None
) -> None:
    """The databases, with what is known of each.

    SEARCH is a part of the name.
    """
    found = asked.api.get("/api/databases", search=search, only=only, sort=sort, limit=limit, cursor=cursor)
    if asked.screen.json:
        asked.screen.body(found)
        return
    columns = ("DATABASE", "STATE", "DOCUMENTS>", "SIZE>", "CONFLICTS>", "LAG>", "LAST BACKUP")
    asked.screen.table(columns, (_database(row, asked.now) for row in found["databases"]))
    asked.screen.say(f"{words.number(found.get('matching'))} of {words.number(found.get('total'))} databases")
    asked.screen.more(found.get("next"))


def _links(asked: Asked, database: str | None) -> Body:
    """The API's own body, with the links of all pages."""
    whole = page = asked.api.get("/api/replication/status", database=database, limit=PAGE)
    while page.get("next"):
        page = asked.api.get("/api/replication/status", database=database, limit=PAGE, cursor=page["next"])
        whole["links"] += page["links"]
    return {**whole, "next": None}


def _well(link: Body) -> bool:
    return link.get("state") in _WELL and not link.get("last_error") and not link.get("doc_write_failures")


def _quiet(link: Body) -> bool:
    return _well(link) and link.get("lag") == 0 and link.get("state") != "behind"


def _all_well(replication: Body) -> bool:
    """What is not known is not well. (The cluster's status is `unknown` where the last sweep was too long ago.)"""
    seen = replication.get("observed_at") and replication.get("mode")
    apart = replication.get("removed") or replication.get("security_differs")
    return bool(seen) and not apart and all(map(_well, replication["links"]))


def _bound(settings: Body) -> float:
    """Seconds after which the last look at a link is old: as many as the API's own figures go by, and a minute."""
    return float(6 * settings["REPLICATION_RETRY_SECONDS"] + 3 * settings["HEALTH_INTERVAL"] + 60)


def _is_known(link: Body, swept: Any, bound: float) -> bool:
    """By the clocks of the workers alone. It may be that sweeps go on, and links are not looked at any more."""
    seen = link.get("observed_at")
    if link.get("lag") is None or not (swept and seen):
        return False
    return words.epoch(swept) - words.epoch(seen) <= bound


def _counted(links: list[Body], known: Callable[[Body], bool]) -> str:
    bad = sum(not _well(link) for link in links)
    behind = sum(bool(link.get("lag")) for link in links)
    unknown = sum(_well(link) and not known(link) for link in links)
    told = f"{words.number(len(links))}, {words.number(bad)} not well, {words.number(behind)} with changes on the way"
    return f"{told}, {words.number(unknown)} not known" if unknown else told


def _row(link: Body) -> tuple[object, ...]:
    wrong = [link.get("last_error"), link.get("remedy")]
    if link.get("doc_write_failures"):
        wrong.append(f"{words.count(link['doc_write_failures'], 'document')} refused")
    state = link.get("state") or "unknown"
    return (
        *(link[key] for key in ("database", "source", "target")),
        state,
        words.number(link.get("lag")),
        ". ".join(filter(None, wrong)),
    )


def _notes(asked: Asked, replication: Body) -> None:
    for database, nodes in (replication.get("removed") or {}).items():
        asked.screen.line(
            f"{database} was deleted on {', '.join(nodes)}; nbr setup {words.typed(database)} makes it there again"
        )
    for database, nodes in (replication.get("security_differs") or {}).items():
        asked.screen.line(f"{database} has another _security on {', '.join(nodes)}")


def _parts(system: Body) -> str:
    """Of the answer to somebody without a token there is only the status."""
    if "redis" not in system:
        return ""
    redis, beat = ("answers" if system["redis"]["ok"] else "does not answer"), ("ticks", "is silent")
    jobs = system.get("jobs") or {}
    told = [
        f"Redis {redis}",
        words.count((system.get("workers") or {}).get("count"), "worker"),
        f"beat {beat[0] if (system.get('beat') or {}).get('ok') else beat[1]}",
        words.count((system.get("watcher") or {}).get("count"), "watcher"),
        f"{words.number(jobs.get('queued'))} queued, {words.number(jobs.get('running'))} running",
    ]
    return f"   ({', '.join(told)})"


def _verdict(node: Body, now: float) -> tuple[object, ...]:
    latency, version = _latency(node.get("latency_ms")), node.get("version")
    return node["name"], node["state"], words.ago(node["since"], now), latency, version, node.get("reason") or ""


def _latency(milliseconds: float | None) -> str:
    return words.UNKNOWN if milliseconds is None else f"{milliseconds:.1f} ms"


def _database(row: Body, now: float) -> tuple[object, ...]:
    conflicts = row.get("conflicts") or {}
    backup = row.get("last_backup") or {}
    least = "≥ " if conflicts.get("at_least") else ""
    return (
        row["name"],
        row.get("state"),
        words.number(row.get("documents")),
        words.size(row.get("file_bytes")),
        f"{least}{words.number(conflicts.get('count'))}",
        words.number(row.get("lag")),
        words.ago(backup.get("at"), now) if backup else "none known",
    )


def _exit(well: bool) -> None:
    if not well:
        raise click.exceptions.Exit(Exit.NOT_WELL)
