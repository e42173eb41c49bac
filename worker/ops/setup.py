"""Make databases ready for replication on every node that answers; run twice, it changes nothing.

    look      who answers, and which databases are where
    create    each database where it is missing, with the shape it has elsewhere
    security  `_security` for nodes that have none of their own
    link      the continuous links' documents, each in the `_replicator` of its target

Links are planned over all configured nodes, not over those that answer just now: the primary's absence must
not make another node the hub of a star. A link whose source is away is written all the same, and waits; one
whose target is away is named in `links.not_written`.

On nodes without a scheduler there are no links to make: the periodic pass (worker.ops.drift) keeps them in step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from worker.core.model import DatabaseInfo, Link
from worker.core.names import selected
from worker.core.replication import link_document, same_link
from worker.core.topology import Topology, links
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.couch.replicator import DATABASE as REPLICATOR
from worker.couch.replicator import Replicator
from worker.ops import ensure
from worker.ops.control import Control
from worker.ops.look import LOOK_TIMEOUT, answers, describe, require_any, require_two
from worker.ops.parallel import batches, each, values

AT_ONCE = 8  # databases


@dataclass(frozen=True)
class Wanted:
    """What setup is to make. `databases` None means all that `include` and `exclude` (globs) select."""

    databases: Sequence[str] | None
    bidirectional: bool
    topology: Topology
    continuous: bool
    include: Sequence[str] = ("*",)
    exclude: Sequence[str] = ()


@dataclass
class DatabaseReport:
    """What setup found and changed for one database. Links are told as "source -> target"."""

    created_on: list[str] = field(default_factory=list)
    already_on: list[str] = field(default_factory=list)
    security: ensure.Security = field(default_factory=lambda: ensure.Security([], []))
    links: dict[str, list[str]] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        made = self.links.get("created", []) + self.links.get("updated", [])
        return bool(self.created_on or self.security.copied_to or made)


@dataclass
class SetupResult:
    nodes: list[str]
    skipped: dict[str, str]
    mode: str
    databases: dict[str, DatabaseReport] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {
            "nodes": self.nodes,
            "skipped": [{"node": node, "reason": why} for node, why in self.skipped.items()],
            "mode": self.mode,
            "complete": not self.skipped,
            "changed": any(report.changed for report in self.databases.values()),
            "databases": {
                name: {
                    "changed": report.changed,
                    "created_on": report.created_on,
                    "already_on": report.already_on,
                    "security_copied_to": report.security.copied_to,
                    "security_differs_on": report.security.differs_on,
                    "links": report.links,
                }
                for name, report in self.databases.items()
            },
        }


def setup(cluster: Cluster, wanted: Wanted, control: Control) -> SetupResult:
    """Raises NotEnoughNodes, OneNodeOnly, MixedNodeKinds, and what a node answered where it refused a step."""
    control.report("look")
    known, skipped = _known(cluster, control)
    names = list(known)
    require_any(names, skipped)
    cluster.refuse_unfit(names)
    require_two(cluster, names, skipped)
    chosen = _chosen(wanted, known)
    linked = wanted.continuous and all(cluster[name].capabilities().scheduler for name in names)
    result = SetupResult(names, skipped, mode(continuous=wanted.continuous, scheduler=linked))
    if linked:
        values(each(names, lambda name: Database(cluster[name], REPLICATOR).create(), control))
    for batch in batches(chosen, AT_ONCE):
        control.check()
        control.report("setup", len(result.databases), len(chosen), "databases")
        done = each(batch, lambda name: _setup_one(cluster, name, known, wanted, linked=linked), control)
        result.databases.update(values(done))
    return result


def mode(*, continuous: bool, scheduler: bool) -> str:
    """The way in force in which changes travel by themselves."""
    if not continuous:
        return "off"
    return "continuous" if scheduler else "periodic-pass"


def _known(cluster: Cluster, control: Control) -> tuple[dict[str, set[str]], dict[str, str]]:
    """Node -> its databases, for those that answer; and node -> why it does not, for the others."""

    def ask(name: str) -> set[str]:
        cluster[name].capabilities()
        return set(cluster[name].databases(read_timeout=LOOK_TIMEOUT))

    return answers(cluster, each(cluster.names, ask, control))


def _chosen(wanted: Wanted, known: dict[str, set[str]]) -> list[str]:
    if wanted.databases is not None:
        return list(dict.fromkeys(wanted.databases))
    everywhere = set().union(*known.values())
    return sorted(name for name in everywhere if selected(name, wanted.include, wanted.exclude))


def _setup_one(
    cluster: Cluster, database: str, known: dict[str, set[str]], wanted: Wanted, *, linked: bool
) -> DatabaseReport:
    has = [name for name in known if database in known[name]]
    lacks = [name for name in known if database not in known[name]]
    like: DatabaseInfo | None = Database(cluster[has[0]], database).info() if has else None
    report = DatabaseReport(already_on=has)
    made = values(each(lacks, lambda name: ensure.create(cluster, name, database, like)))
    report.created_on = [name for name, new in made.items() if new]
    looks = values(each(has, lambda name: describe(Database(cluster[name], database))))
    found = {name: look for name, look in looks.items() if look is not None}
    report.security = ensure.share_security(cluster, database, found, report.created_on)
    if linked:
        report.links = _link(cluster, database, list(known), wanted)
    return report


def _link(cluster: Cluster, database: str, answering: list[str], wanted: Wanted) -> dict[str, list[str]]:
    def put(link: Link) -> str:
        source, target = cluster[link.source], cluster[link.target]
        document = link_document(link, source.node, target.node)
        return Replicator(target).put_link(document, lambda found: same_link(document, found))

    told: dict[str, list[str]] = {"created": [], "updated": [], "unchanged": [], "not_written": []}
    plan = links(database, cluster.names, wanted.topology, bidirectional=wanted.bidirectional)
    done = values(each([link for link in plan if link.target in answering], put))
    for link in plan:
        told[done.get(link, "not_written")].append(str(link))
    return told
