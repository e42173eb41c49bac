"""Carry out a plan (worker.core.plan), step by step: databases, their `_security`, then links.

Links go in bulk, a node at a time. A step that fails on one node does not stop the others: it is named, and the next
reconcile finds it undone. Only a made database decides anything for later steps: links to it would crash without it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from worker.core.model import DatabaseInfo, Link
from worker.core.plan import CreateDatabase, Plan
from worker.core.replication import link_document
from worker.core.rules import Rules
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.couch.replicator import Replicator
from worker.ops import ensure
from worker.ops.control import Control
from worker.ops.look import describe, reason
from worker.ops.parallel import each, pooled, values

AT_ONCE = 8  # databases
MOST_FAILURES = 100  # that are told in words


@dataclass
class Applied:
    """What was done. `security`: database -> what became of it, where it was looked at. `failures`: in words;
    `failed`: how many steps were not done."""

    created: dict[str, list[str]] = field(default_factory=dict)
    security: dict[str, ensure.Security] = field(default_factory=dict)
    written: dict[str, list[Link]] = field(default_factory=lambda: {"created": [], "updated": [], "kicked": []})
    deleted: list[tuple[str, str]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    failed: int = 0

    def fail(self, what: str) -> None:
        self.failed += 1
        if len(self.failures) < MOST_FAILURES:
            self.failures.append(what)


def apply(cluster: Cluster, plan: Plan, rules: Rules, secured: Sequence[str], done: Applied, control: Control) -> None:
    """`secured`: databases whose `_security` is looked at and shared, besides those that are made. `done` is told what
    was done, and what failed: that does not stop the rest."""
    _create(cluster, plan.creates, done, control)
    _share_security(cluster, sorted({*secured, *done.created}), done, control)
    _links(cluster, plan, rules, done, control)


def _create(cluster: Cluster, steps: Sequence[CreateDatabase], done: Applied, control: Control) -> None:
    shapes = _shapes(cluster, steps, control)

    def create(step: CreateDatabase) -> bool:
        like = shapes.get((step.like, step.database)) if step.like else None
        return ensure.create(cluster, step.node, step.database, like)

    for number, outcome in enumerate(pooled(steps, create, AT_ONCE, control), start=1):
        control.report("create", number, len(steps), "databases")
        if outcome.error is not None:
            done.fail(f"{outcome.key.database} not made on {outcome.key.node}: {reason(outcome.error)}")
        elif outcome.value:
            done.created.setdefault(outcome.key.database, []).append(outcome.key.node)


def _shapes(
    cluster: Cluster, steps: Sequence[CreateDatabase], control: Control
) -> dict[tuple[str | None, str], DatabaseInfo]:
    """(node, database) -> what it is like there, in as few calls as the node allows."""
    wanted: dict[str, set[str]] = defaultdict(set)
    for step in steps:
        if step.like is not None:
            wanted[step.like].add(step.database)
    infos = values(each(wanted, lambda node: cluster[node].infos(sorted(wanted[node])), control))
    return {(node, name): info for node, found in infos.items() for name, info in found.items()}


def _share_security(cluster: Cluster, databases: Sequence[str], done: Applied, control: Control) -> None:
    def share(database: str) -> ensure.Security:
        made = done.created.get(database, [])
        looks = each(
            [name for name in cluster.names if name not in made], lambda name: _described(cluster, name, database)
        )
        found = {name: look.value for name, look in looks.items() if look.value is not None}
        return ensure.share_security(cluster, database, found, made)

    for number, outcome in enumerate(pooled(databases, share, AT_ONCE, control), start=1):
        control.report("security", number, len(databases), "databases")
        if outcome.error is not None:
            done.fail(f"_security of {outcome.key} not shared: {reason(outcome.error)}")
        elif outcome.value is not None:
            done.security[outcome.key] = outcome.value


def _described(cluster: Cluster, name: str, database: str) -> tuple[DatabaseInfo, dict[str, Any]] | None:
    cluster[name].capabilities()  # which remembers a refused password, and does not send it again
    return describe(Database(cluster[name], database))


def _links(cluster: Cluster, plan: Plan, rules: Rules, done: Applied, control: Control) -> None:
    """Deletions first: a rewritten topology must not run twice over."""
    removals: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for gone in plan.deletes:
        removals[gone.node].append({"_id": gone.document, "_rev": gone.revision, "_deleted": True})
    for kick in plan.kicks:
        document = kick.link.document_id
        removals[kick.link.target].append({"_id": document, "_rev": kick.revision, "_deleted": True})
    refused = _bulk(cluster, removals, done, control)
    done.deleted = [(gone.node, gone.document) for gone in plan.deletes if gone.document not in refused[gone.node]]

    writes: dict[str, list[dict[str, Any]]] = defaultdict(list)
    kinds: list[tuple[str, Link]] = []
    for step in plan.writes:
        kinds.append(("updated" if step.revision else "created", step.link))
        writes[step.link.target].append(_document(cluster, step.link, rules, step.revision))
    for kick in plan.kicks:
        if kick.link.document_id not in refused[kick.link.target]:
            kinds.append(("kicked", kick.link))
            writes[kick.link.target].append(_document(cluster, kick.link, rules, None))
    refused = _bulk(cluster, writes, done, control)
    for kind, link in kinds:
        if link.document_id not in refused[link.target]:
            done.written[kind].append(link)


def _document(cluster: Cluster, link: Link, rules: Rules, revision: str | None) -> dict[str, Any]:
    rule = rules.of(link.database)
    document = link_document(link, cluster[link.source].node, cluster[link.target].node, selector=rule.selector)
    return {**document, "_rev": revision} if revision else document


def _bulk(
    cluster: Cluster, documents: Mapping[str, list[dict[str, Any]]], done: Applied, control: Control
) -> dict[str, set[str]]:
    """Write them; returns node -> ids of those that were not written."""
    total = sum(len(each_node) for each_node in documents.values())
    control.report("links", 0, total, "links")
    outcomes = each(documents, lambda node: Replicator(cluster[node]).write(documents[node]), control)
    refused: dict[str, set[str]] = defaultdict(set)
    for node, outcome in outcomes.items():
        if outcome.error is not None:
            refused[node] = {str(document["_id"]) for document in documents[node]}
            done.fail(f"{len(documents[node])} links not written on {node}: {reason(outcome.error)}")
        for document, why in (outcome.value or {}).items():
            refused[node].add(document)
            done.fail(f"{document} not written on {node}: {why}")
    return refused
