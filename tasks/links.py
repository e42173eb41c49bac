"""The scheduled look at the continuous links: states, true lag, stalls, and which of them are to be started anew."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from config.logs import get
from tasks.wiring import Parts
from worker.core.lag import (
    BROKEN,
    FIRST_KICK_AFTER,
    JUST_BACK,
    STALLED_WHEN_BACK,
    Ends,
    Kicks,
    LinkLook,
    LinkState,
    LinkStatus,
    forgiven,
    judge,
    summarise,
    to_kick,
)
from worker.core.model import Link
from worker.core.remedies import End, Trouble, trouble
from worker.couch.cluster import Cluster
from worker.ops.links import look_at_links
from worker.ops.look import LOOK_TIMEOUT

log = get(__name__)


def run_links(parts: Parts, cluster: Cluster) -> None:
    answering = parts.seen.answering(cluster.names)
    if answering is None:
        return
    up = {name: name in answering for name in cluster.names}
    earlier = {link: status for links in parts.replication.all_links().values() for link, status in map(_read, links)}
    # one that has just hung must not keep the others waiting
    timeout = min(LOOK_TIMEOUT, parts.settings.couchdb_timeout)
    looks = look_at_links(cluster, answering, earlier, timeout, parts.rules.selector_of)
    now = time.time()
    back = _just_back(parts, now)
    usual = parts.settings.replication_stall_seconds
    stall = {link: min(usual, STALLED_WHEN_BACK) if back & {link.source, link.target} else usual for link in looks}
    statuses = {link: judge(earlier.get(link), look, now, stall[link]) for link, look in looks.items()}
    ends = {name: End(name, server.node.peer_url, up.get(name)) for name, server in cluster.servers.items()}
    troubles = {
        link: _trouble(status, ends[link.source], ends[link.target], now, parts.settings.secrets)
        for link, status in statuses.items()
        if link.source in ends and link.target in ends
    }
    _tell_changes(earlier, statuses)
    _plan_kicks(parts, statuses, troubles, up, back, now)
    found: dict[str, list[dict[str, Any]]] = {}
    for link, status in sorted(statuses.items()):
        found.setdefault(link.database, []).append(_told(link, status, troubles.get(link), now))
    summary = summarise({(link.database, link.source, link.target): status for link, status in statuses.items()})
    # nobody looked at the links of the others: what they lack is not known
    lag = {**summary.lag, **{name: None for name in cluster.names if name not in answering}}
    before = (parts.replication.links_summary() or {}).get("cut", {})
    cut = _cut(statuses, up, before, now)
    _tell_cuts(parts, before, cut, now)
    record = {**asdict(summary), "lag": lag, "broken": summary.broken, "cut": cut, "observed_at": now}
    parts.replication.save_links(found, record)


def _just_back(parts: Parts, now: float) -> set[str]:
    """The nodes that were brought up to date a moment ago, or are just being."""
    noted = parts.seen.rejoins()
    return {name for name, last in noted.items() if last["note"] is None and now - last["at"] < JUST_BACK}


def _trouble(status: LinkStatus, source: End, target: End, now: float, secrets: Sequence[str]) -> Trouble | None:
    if status.state is LinkState.STALLED:
        quiet = now - max(status.behind_since or now, status.moved_at or 0.0)
        return Trouble(
            "stalled",
            f"{target.name} has {status.look.lag} changes of {source.name} to carry and carried none for {quiet:.0f} s",
            "It is started anew by itself, at ever longer intervals. Where that does not help, look into the log of "
            f"{target.name}, and whether it reaches {source.url}.",
        )
    look = status.look
    return trouble(look.state.value, look.error, source, target, refused=look.refused, secrets=secrets)


def _plan_kicks(
    parts: Parts,
    statuses: Mapping[Link, LinkStatus],
    troubles: Mapping[Link, Trouble | None],
    up: Mapping[str, bool],
    back: Collection[str],
    now: float,
) -> None:
    """Which links the next reconcile is to start anew. Counted now: a kick that could not be done waits like one that
    did not help."""
    by_document = {link.document_id: link for link in statuses}
    keyed = {document: statuses[link] for document, link in by_document.items()}
    ends: dict[str, Ends] = {}
    for document, link in by_document.items():
        found = troubles.get(link)
        both_up = bool(up.get(link.source) and up.get(link.target))
        just_back = link.source in back or link.target in back
        ends[document] = Ends(both_up, found.kind if found else None, just_back)
    history = {name: Kicks(int(kick["count"]), kick["at"]) for name, kick in parts.replication.kicks().items()}
    chosen = to_kick(keyed, ends, history, now)
    kicks = {
        document: {"count": history[document].count + 1 if document in history else 1, "at": now} for document in chosen
    }
    parts.replication.save_kicks(kicks, forgiven(keyed, history, now))
    if chosen:
        log.warning("links will be started anew", links=chosen[:20], count=len(chosen))
        parts.replication.want_kicks(chosen)
        parts.publisher.soon("reconcile")


def _tell_changes(earlier: Mapping[Link, LinkStatus], statuses: Mapping[Link, LinkStatus]) -> None:
    for link, status in statuses.items():
        before = earlier.get(link)
        if before is None or before.state is status.state:
            continue
        tell = log.warning if status.state in BROKEN else log.info
        tell("link state", database=link.database, link=str(link), state=status.state.value, error=status.look.error)


def _cut(
    statuses: Mapping[Link, LinkStatus], up: Mapping[str, bool], before: Mapping[str, int], now: float
) -> dict[str, int]:
    """How many links of each pair ("source -> target") carry nothing, although both nodes answer us: not those that
    CouchDB will have tried again in a moment. While one of the two does not answer, nothing is known to have
    changed."""
    counts = {
        pair: count
        for pair, count in before.items()
        if all(name in up for name in pair.split(" -> ")) and not all(up[name] for name in pair.split(" -> "))
    }
    for link, status in statuses.items():
        lasting = status.state is LinkState.STALLED or now - status.since >= FIRST_KICK_AFTER
        if status.state in BROKEN and lasting and up.get(link.source) and up.get(link.target):
            counts[str(link)] = counts.get(str(link), 0) + 1
    return counts


def _tell_cuts(parts: Parts, before: Mapping[str, int], now_cut: Mapping[str, int], now: float) -> None:
    for pair in sorted({*before, *now_cut}):
        source, target = pair.split(" -> ")
        ends = {"source": source, "target": target}
        if pair not in before:
            count = now_cut[pair]
            detail = f"{count} of the links from {source} to {target} carry no changes (GET /api/replication/status)"
            parts.events.record(
                "links.broken", at=now, severity="warning", node=target, detail=detail, count=count, **ends
            )
        elif pair not in now_cut:
            detail = f"the links from {source} to {target} carry changes again"
            parts.events.record("links.mended", at=now, severity="info", node=target, detail=detail, **ends)


def _told(link: Link, status: LinkStatus, found: Trouble | None, now: float) -> dict[str, Any]:
    """As the API shows it; what only the next look needs is under `look`."""
    look = status.look
    return {
        "database": link.database,
        "source": link.source,
        "target": link.target,
        "state": status.state.value,
        "since": status.since,
        "lag": look.lag,
        "last_moved_at": status.moved_at,
        "behind_since": status.behind_since,
        "doc_write_failures": look.refused,
        "last_error": found.words if found else None,
        "error_kind": found.kind if found else None,
        "remedy": found.remedy if found else None,
        "observed_at": now,
        "look": asdict(look),
    }


def _read(told: Mapping[str, Any]) -> tuple[Link, LinkStatus]:
    known = {field.name for field in fields(LinkLook)}
    # what an older or newer version of ours wrote may have other fields
    kept = {name: value for name, value in told["look"].items() if name in known}
    look = LinkLook(**{**kept, "state": LinkState(told["look"]["state"])})
    status = LinkStatus(look, LinkState(told["state"]), told["since"], told["last_moved_at"], told["behind_since"])
    return Link(told["database"], told["source"], told["target"]), status
