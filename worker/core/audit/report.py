"""From what was seen to the security report, and what in it is new. Pure.

A report is JSON from the start: a job's result, what Redis keeps and what the API answers are the same thing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from worker.core import advisories
from worker.core.audit import configuration, content, node, own
from worker.core.audit.checks import CHECKS, Grade, Scope, of_scope
from worker.core.audit.observed import NodeSeen, OwnSeen, Unknown
from worker.core.audit.verdict import Flaw, Verdict

NODE_RULES = {**node.RULES, **configuration.RULES, **content.RULES}
ORDER = list(Grade)
WORTH_TELLING = (Grade.CRITICAL, Grade.HIGH)
Json = dict[str, Any]


def report(nodes: Sequence[NodeSeen], ours: OwnSeen, now: float) -> Json:
    judged = [_judged(seen.name, Scope.NODE, lambda slug, seen=seen: NODE_RULES[slug](seen)) for seen in nodes]  # type: ignore[misc]
    judged.append(_judged(None, Scope.OWN, lambda slug: own.RULES[slug](ours)))
    findings = sorted((one for each in judged for one in each.pop("findings")), key=_by_grade)
    counts = {grade.value: sum(one["severity"] == grade for one in findings) for grade in Grade}
    extent = {seen.name: _extent(seen) for seen in nodes}
    return {
        "observed_at": now,
        "advisories_as_of": advisories.AS_OF,
        "counts": counts,
        "findings": findings,
        "checked": [{**each, "databases": extent.get(each["node"])} for each in judged],
    }


def _judged(name: str | None, scope: Scope, judge: Callable[[str], Verdict]) -> Json:
    """Of one node, or (None) of our own settings: each check is in one of the lists, or in `failed` and `unknown`."""
    told: Json = {"node": name, "passed": [], "failed": [], "unknown": [], "not_applicable": [], "findings": []}
    for check in of_scope(scope):
        verdict = judge(check.slug)
        if verdict.flaws:
            told["failed"].append(check.slug)
            told["findings"] += [_finding(check.slug, name, flaw) for flaw in verdict.flaws]
        if verdict.unknown is not None:
            told["unknown"].append({"check": check.slug, "why": verdict.unknown})
        if verdict.not_applicable is not None:
            told["not_applicable"].append({"check": check.slug, "why": verdict.not_applicable})
        if verdict.passed:
            told["passed"].append(check.slug)
    return told


def _finding(slug: str, name: str | None, flaw: Flaw) -> Json:
    check = CHECKS[slug]
    grade = flaw.grade or check.grade
    assert grade is not None  # noqa: S101 - a test holds each rule to it
    return {
        "check": slug,
        "severity": grade.value,
        "node": flaw.node or name,
        "database": flaw.database,
        "detail": flaw.detail,
        "remedy": flaw.remedy or check.remedy,
        "data": dict(flaw.data),
    }


def _by_grade(finding: Json) -> tuple[int, str, str, str, str]:
    rank = ORDER.index(Grade(finding["severity"]))
    return rank, finding["check"], finding["node"] or "", finding["database"] or "", finding["detail"]


def _extent(seen: NodeSeen) -> Json | None:
    found = seen.databases
    return None if isinstance(found, Unknown) else {"total": found.total, "looked_at": found.looked_at}


def key(finding: Mapping[str, Any]) -> str:
    """The same as long as the same thing is wrong, however it is told."""
    data = finding["data"]
    about = data.get("id") or data.get("admin") or data.get("section") or data.get("setting") or ""
    return "|".join((finding["check"], finding["node"] or "", finding["database"] or "", str(about)))


def _place(told: str) -> tuple[str, str]:
    check, name, *_ = told.split("|")
    return check, name


def grave(made: Mapping[str, Any]) -> list[Json]:
    """Its findings that people should be told of."""
    return [one for one in made["findings"] if one["severity"] in WORTH_TELLING]


def fresh(made: Mapping[str, Any], told: Collection[str]) -> list[list[Json]]:
    """Grave findings that were not told of before, those of one check and node together."""
    together: dict[tuple[str, str], list[Json]] = {}
    for one in grave(made):
        if key(one) not in told:
            together.setdefault((one["check"], one["node"] or ""), []).append(one)
    return list(together.values())


def told_of(made: Mapping[str, Any], before: Iterable[str]) -> list[str]:
    """What counts as told from now on. What could not be looked at this time is not new when it is seen again."""
    unsure = {(row["check"], each["node"] or "") for each in made["checked"] for row in each["unknown"]}
    kept = {one for one in before if _place(one) in unsure}
    return sorted(kept | {key(one) for one in grave(made)})
