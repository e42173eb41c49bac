"""GET /api/replication/topology: the whole as one picture, small however many databases there are.

Links are counted by the workers that look at them (worker.core.lag.summarise); what travels on change has no links, and
what the last periodic pass found of it is counted here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flask import Blueprint, Response

from api import observed, reading
from api.answers import answer
from api.context import Context, context
from api.openapi import Answer, Operation, operation
from api.schemas import NoQuery
from api.topology_schemas import PairBody, PairState, PictureNode, TopologyBody
from tasks.fresh import fresh_canary
from tasks.lags import node_lags, on_change, seen_at
from worker.core.lag import BROKEN, LinkState, added
from worker.core.routing import Way

blueprint = Blueprint("topology", __name__, url_prefix="/api/replication/topology")

Known = Mapping[str, Any]
Pair = tuple[str, str]  # source, target
_FAILING, _BEHIND, _IN_STEP = "failing", "behind", "in-step"
_BROKEN = frozenset({*(state.value for state in BROKEN), _FAILING})


@blueprint.get("")
@operation(
    Operation("Nodes, and what travels between each two of them.", {200: Answer("The picture.", TopologyBody)}, (503,),
              query=NoQuery)
)  # fmt: skip
def look() -> Response:
    reading.query(NoQuery)
    return answer(picture(context()))


def picture(parts: Context) -> TopologyBody:
    """Raises StoreUnavailable."""
    settings, now = parts.settings, parts.clock()
    sweep, primary, standings = parts.seen.sweep(), parts.seen.primary(), parts.seen.standings()
    summary, last_pass, reconcile = (
        parts.replication.links_summary(),
        parts.seen.last_pass(),
        parts.replication.reconcile(),
    )
    known = reconcile or {}
    names = [node.name for node in settings.nodes]
    passes = on_change(reconcile)
    lags = node_lags(names, summary, last_pass, passes=passes)
    verdicts = {node.name: node for node in observed.verdicts(settings, sweep)}
    measured = parts.replication.canary()
    arrivals = measured["arrivals"] if measured and fresh_canary(measured, settings, now) else []
    canary = {(one["source"], one["target"]): one for one in arrivals}
    links = [
        *of_links(summary or {}, canary),
        *of_passes(
            names, passes, last_pass, parts.replication.on_change_failures(), canary, len(known.get("removed", {}))
        ),
    ]
    return TopologyBody(
        observed_at=(sweep or {}).get("observed_at"),
        links_observed_at=seen_at(summary, last_pass),
        status=observed.cluster(settings, sweep, now),
        mode=observed.mode(settings, reconcile)[0],
        topology=settings.replication_topology,
        primary=primary,
        nodes=[
            PictureNode(
                **vars(verdicts[name]),
                role="replica" if position else "primary",
                acting=name == primary,
                clients=Way(standings[name]["way"]) if name in standings else None,
                lag=lags.get(name),
            )
            for position, name in enumerate(names)
        ],
        links=[one for one in merged(links) if {one.source, one.target} <= set(names)],
    )


def of_links(summary: Known, canary: Mapping[Pair, Known]) -> Iterator[PairBody]:
    """CouchDB's continuous links, counted by pair."""
    for target, sources in summary.get("pairs", {}).items():
        for source, states in sources.items():
            behind = summary["behind"].get(target, {})
            lag = behind.get(source, 0)
            yield _pair((source, target), states, lag, canary)


def of_passes(
    names: Sequence[str],
    databases: int,
    found: Known | None,
    failures: Mapping[str, Any],
    canary: Mapping[Pair, Known],
    removed: int = 0,
) -> Iterator[PairBody]:
    """What travels on change, between each two nodes. `databases`: how many do. `found`: by the last pass. `removed`:
    how many somebody deleted on a node, so that they may be on one alone."""
    if not databases:
        return
    last = found or {}
    behind, lags = _by_source(last, failures)
    away = set(found["unseen"]) if found else set(names)
    # the pass compares what two nodes have: of what a single one has, or was made since, it says nothing
    compared = last.get("in_step_count", 0) + len(last.get("changed", {}))
    unknown = max(0, databases - compared - removed)
    for source in names:
        for target in names:
            if source == target:
                continue
            if away & {source, target}:
                yield _pair((source, target), {LinkState.UNKNOWN.value: databases}, None, canary)
                continue
            states = {_FAILING: len(failures), _BEHIND: behind[source], LinkState.UNKNOWN.value: unknown}
            states[_IN_STEP] = max(0, databases - sum(states.values()))
            yield _pair((source, target), states, None if unknown else lags.get(source, 0), canary)


def _by_source(found: Known, failures: Mapping[str, Any]) -> tuple[Counter[str], dict[str, int | None]]:
    """Node -> how many databases have changes that others lack, but for those that fail; and how many changes."""
    behind: Counter[str] = Counter()
    lags: dict[str, int | None] = {}
    for database, nodes in found.get("changed", {}).items():
        measured = found["lag"].get(database, {})
        for source in nodes:
            lag = measured.get(source)
            if lag == 0:
                continue
            lags[source] = added(lags.get(source, 0), lag)
            behind[source] += database not in failures
    return behind, lags


def _pair(pair: Pair, states: Mapping[str, int], lag: int | None, canary: Mapping[Pair, Known]) -> PairBody:
    there = {state: count for state, count in states.items() if count}
    return PairBody(
        source=pair[0],
        target=pair[1],
        state=state_of(there, lag),
        databases=sum(there.values()),
        states=there,
        lag=lag,
        seconds=canary.get(pair, {}).get("seconds"),
    )


def state_of(states: Mapping[str, int], lag: int | None) -> PairState:
    if _BROKEN & states.keys():
        return PairState.BROKEN
    if lag or _BEHIND in states:  # by how much may not be known, as of the other databases
        return PairState.BEHIND
    return PairState.UNKNOWN if lag is None or LinkState.UNKNOWN.value in states else PairState.WELL


def merged(found: Sequence[PairBody]) -> list[PairBody]:
    """One for each pair, where some databases have links and others travel on change."""
    by_pair: dict[Pair, PairBody] = {}
    for one in found:
        pair = (one.source, one.target)
        other = by_pair.get(pair)
        if other is None:
            by_pair[pair] = one
            continue
        states = dict(Counter(one.states) + Counter(other.states))
        by_pair[pair] = _pair(pair, states, added(one.lag, other.lag), {pair: {"seconds": one.seconds}})
    return [by_pair[pair] for pair in sorted(by_pair)]
