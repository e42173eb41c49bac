"""What a set-up or a reconcile did, or would do, as it is told to people and programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from worker.core.model import Link
from worker.core.names import parse_replication_document_id
from worker.core.plan import Plan
from worker.core.rules import Mode
from worker.ops.apply import Applied
from worker.ops.ensure import Security

MOST_TOLD = 500  # databases, where nobody named them

_NO_SECURITY = Security([], [])


@dataclass
class DatabaseReport:
    """What was found and changed for one database. Links are told as "source -> target". `turned`: which way it goes
    from now on, where it went otherwise before."""

    mode: str
    turned: str | None = None
    created_on: list[str] = field(default_factory=list)
    already_on: list[str] = field(default_factory=list)
    removed_on: list[str] = field(default_factory=list)
    security: Security = _NO_SECURITY
    links: dict[str, list[str]] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        made = [link for kind in ("created", "updated", "kicked", "deleted") for link in self.links.get(kind, [])]
        return bool(self.created_on or self.security.copied_to or made or self.turned)


@dataclass
class SetupResult:
    """`named`: the databases that somebody asked for; None where it was about all. `turned`: database -> whether it
    goes one way from now on, of those that went otherwise."""

    nodes: list[str]
    skipped: dict[str, str]
    plan: Plan
    named: Sequence[str] | None
    applied: Applied = field(default_factory=Applied)
    tuned: list[str] = field(default_factory=list)
    turned: Mapping[str, bool] = field(default_factory=dict)
    dry_run: bool = False

    @property
    def mode(self) -> str:
        return overall(self.plan.modes.values())

    @property
    def changed(self) -> bool:
        done = self.applied
        return bool(
            done.created
            or (self.turned and not self.dry_run)
            or done.deleted
            or any(done.written.values())
            or any(security.copied_to for security in done.security.values())
        )

    @property
    def databases(self) -> dict[str, DatabaseReport]:
        """Of every database that was looked at."""
        found = {name: DatabaseReport(mode.value) for name, mode in sorted(self.plan.modes.items())}
        for name, kind, link in self._links():
            if name in found:
                found[name].links.setdefault(kind, []).append(link)
        planned: dict[str, list[str]] = {}
        for step in self.plan.creates:
            planned.setdefault(step.database, []).append(step.node)
        created = planned if self.dry_run else self.applied.created
        for name, report in found.items():
            report.turned = _way(self.turned[name]) if name in self.turned else None
            report.created_on = [node for node in self.nodes if node in created.get(name, [])]
            report.removed_on = self.plan.removed.get(name, [])
            missing = {*planned.get(name, []), *report.removed_on}
            report.already_on = [node for node in self.nodes if node not in missing]
            report.security = self.applied.security.get(name, _NO_SECURITY)
        return found

    def as_json(self) -> dict[str, Any]:
        reports = self.databases
        told = reports if self.named is not None else {n: r for n, r in reports.items() if r.changed or r.removed_on}
        most = max(MOST_TOLD, len(self.named or ()))  # whoever names some is told of each
        return {
            "nodes": self.nodes,
            "skipped": [{"node": node, "reason": why} for node, why in self.skipped.items()],
            "mode": self.mode,
            "complete": not self.skipped and not self.applied.failed,
            "changed": self.changed,
            "dry_run": self.dry_run,
            "counts": self.counts(),
            "removed": dict(list(self.plan.removed.items())[:MOST_TOLD]),
            "failures": self.applied.failures,
            "tuned": self.tuned,
            "databases": {name: _told(report) for name, report in list(told.items())[:most]},
            "databases_left_out": len(reports) - min(len(told), most),
            "steps": self._steps() if self.dry_run else [],
        }

    def _steps(self) -> list[str]:
        """What would be done, in the order in which it would be, as far as a list can be read."""
        planned = self.plan
        steps = [f"from now on {name} goes {_way(one_way)}" for name, one_way in self.turned.items()]
        steps += [f"set {line}" for line in self.tuned]
        steps += [
            f"create {step.database} on {step.node}, like on {step.like or 'no node'}" for step in planned.creates
        ]
        steps += [f"delete {step.document} on {step.node}: {step.why}" for step in planned.deletes]
        steps += [f"start {step.link} of {step.link.database} anew" for step in planned.kicks]
        steps += [f"write {step.link} of {step.link.database}: {step.why}" for step in planned.writes]
        return steps[:MOST_TOLD]

    def counts(self) -> dict[str, int]:
        """How many steps of each kind were done (or, in a dry run, would be), and what was as it should be."""
        planned, done = self.plan, self.applied
        steps = {
            "databases_turned": len(self.turned),
            "databases_created": len(planned.creates) if self.dry_run else sum(map(len, done.created.values())),
            "links_deleted": len(planned.deletes) if self.dry_run else len(done.deleted),
            "links_created": sum(not step.revision for step in planned.writes) if self.dry_run else 0,
            "links_updated": sum(bool(step.revision) for step in planned.writes) if self.dry_run else 0,
            "links_kicked": len(planned.kicks) if self.dry_run else 0,
        }
        for kind, links in done.written.items():
            steps[f"links_{kind}"] += len(links)
        unwritten = sum(len(names) for _, _, names in planned.unwritten)
        kept = {"links_unchanged": planned.links_kept, "links_not_written": unwritten, "failed": done.failed}
        return {"databases": len(planned.modes), **steps, **kept}

    def _links(self) -> Iterable[tuple[str, str, str]]:
        """(database, what became of it, link)"""
        for kind, links in self._written().items():
            yield from ((link.database, kind, str(link)) for link in links)
        for _, document in self._deleted():
            parsed = parse_replication_document_id(document)
            if parsed is not None:
                yield parsed[2], "deleted", f"{parsed[0]} -> {parsed[1]}"
        for kind, pairs in (("unchanged", self.plan.kept), ("not_written", self.plan.unwritten)):
            for source, target, names in pairs:
                yield from ((name, kind, f"{source} -> {target}") for name in names)

    def _written(self) -> dict[str, list[Link]]:
        if not self.dry_run:
            return self.applied.written
        created = [step.link for step in self.plan.writes if not step.revision]
        updated = [step.link for step in self.plan.writes if step.revision]
        return {"created": created, "updated": updated, "kicked": [step.link for step in self.plan.kicks]}

    def _deleted(self) -> list[tuple[str, str]]:
        return [(step.node, step.document) for step in self.plan.deletes] if self.dry_run else self.applied.deleted


def overall(modes: Iterable[Mode]) -> str:
    """One word for how changes travel: that of all databases, or "mixed"."""
    seen = Counter(modes)
    if len(seen) > 1:
        return "mixed"
    return next(iter(seen), Mode.ON_CHANGE).value


def _way(one_way: bool) -> str:
    return "one way, from the primary" if one_way else "as the rules say"


def _told(report: DatabaseReport) -> dict[str, Any]:
    return {
        "changed": report.changed,
        "mode": report.mode,
        "turned": report.turned,
        "created_on": report.created_on,
        "already_on": report.already_on,
        "removed_on": report.removed_on,
        "security_copied_to": report.security.copied_to,
        "security_differs_on": report.security.differs_on,
        "links": report.links,
    }
