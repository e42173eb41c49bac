"""How the report is put together, and which of its findings are new."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.worker.core.audit.seen import NODE, OWN, node, own
from worker.core.audit.checks import CHECKS, Grade, Scope, of_scope
from worker.core.audit.observed import Anonymous, Databases, NodeSeen, OpenDatabase, Unknown
from worker.core.audit.report import fresh, grave, key, report, told_of

AWAY = Unknown("unreachable: connection refused")
NOW = 1_795_446_000.0


def open_on(name: str, *databases: str) -> NodeSeen:
    return node(name=name, databases=Databases(9, 9, tuple(OpenDatabase(one, True) for one in databases)))


def away(name: str) -> NodeSeen:
    return node(
        name=name, kind=AWAY, version=AWAY, anonymous=Anonymous(AWAY, AWAY, AWAY), configuration=AWAY, admins=AWAY,
        default_login=AWAY, databases=AWAY, replications=AWAY,
    )  # fmt: skip


def made(*nodes: NodeSeen) -> dict[str, Any]:
    return report(nodes, OWN, NOW)


def test_where_all_is_well_there_are_no_findings() -> None:
    found = made(NODE)

    assert (found["observed_at"], found["findings"]) == (NOW, [])
    assert found["counts"] == {grade.value: 0 for grade in Grade}
    of_node, of_own = found["checked"]
    assert [row["check"] for row in of_node["unknown"]] == ["erlang-cookie"]
    assert of_node["databases"] == {"total": 3, "looked_at": 3}
    assert (of_own["node"], of_own["databases"], of_own["unknown"]) == (None, None, [])
    assert set(of_own["passed"]) == {check.slug for check in of_scope(Scope.OWN)}


@pytest.mark.parametrize("seen", [NODE, open_on("a", "pdfs"), away("a"), node(version="1.6.0", configuration={})])
def test_every_check_is_told_of_every_node(seen: NodeSeen) -> None:
    told = made(seen)["checked"][0]
    listed = [*told["passed"], *told["failed"]]
    listed += [row["check"] for name in ("unknown", "not_applicable") for row in told[name]]

    assert set(listed) == {check.slug for check in of_scope(Scope.NODE)}
    assert not set(told["passed"]) & {*told["failed"], *(row["check"] for row in told["unknown"])}


def test_the_worst_come_first_with_the_severity_and_the_remedy_of_their_check() -> None:
    seen = node(anonymous=Anonymous(admin=True, welcomed=True, names=True), databases=open_on("a", "pdfs").databases)
    found = report([seen], own(sealed=False), NOW)

    severities = [Grade(one["severity"]) for one in found["findings"]]
    assert severities == sorted(severities, key=list(Grade).index)
    worst = found["findings"][0]
    assert (worst["check"], worst["severity"], worst["node"]) == ("admin-party", "critical", "a")
    assert worst["remedy"] == CHECKS["admin-party"].remedy
    assert found["counts"] == {"critical": 1, "high": 1, "medium": 2, "low": 1, "info": 0}
    assert {one["node"] for one in found["findings"]} == {"a", None}


def test_an_advisory_brings_its_own_severity() -> None:
    found = made(node(version="3.2.1"))

    assert found["counts"]["critical"] == 1
    assert found["findings"][0]["data"]["id"] == "CVE-2022-24706"


def test_a_node_that_is_away_is_told_as_not_looked_at() -> None:
    found = made(away("b"))

    told = found["checked"][0]
    assert found["findings"] == []
    assert told["passed"] == ["plain-http", "plain-http-between-nodes"]
    assert {AWAY.why in row["why"] for row in told["unknown"] if row["check"] != "erlang-cookie"} == {True}
    assert told["databases"] is None


def test_all_grave_findings_of_the_first_report_are_new_and_those_of_one_check_and_node_come_together() -> None:
    found = made(open_on("a", "pdfs", "notes"), open_on("b", "pdfs"), node(name="c", version="3.3.3"))

    assert [(len(group), group[0]["node"]) for group in fresh(found, [])] == [(2, "a"), (1, "b")]
    assert {one["severity"] for one in grave(found)} == {"high"}


def test_what_was_told_is_not_new_and_what_went_and_came_is() -> None:
    told = told_of(made(open_on("a", "pdfs")), [])

    assert fresh(made(open_on("a", "pdfs")), told) == []
    assert [one[0]["database"] for one in fresh(made(open_on("a", "pdfs", "notes")), told)] == ["notes"]
    mended = told_of(made(open_on("a")), told)
    assert mended == []
    assert len(fresh(made(open_on("a", "pdfs")), mended)) == 1


def test_what_could_not_be_looked_at_meanwhile_is_not_new() -> None:
    told = told_of(made(open_on("a", "pdfs")), [])
    meanwhile = told_of(made(away("a")), told)

    assert meanwhile == told
    assert fresh(made(open_on("a", "pdfs")), meanwhile) == []


def test_databases_that_had_no_turn_are_not_new_when_they_have_one() -> None:
    told = told_of(made(open_on("a", "pdfs")), [])
    meanwhile = told_of(made(node(databases=Databases(10_000, 2_000))), told)

    assert fresh(made(open_on("a", "pdfs")), meanwhile) == []


def test_findings_have_different_keys() -> None:
    found = made(open_on("a", "pdfs", "notes"), open_on("b", "pdfs"), node(name="c", version="1.6.0"))

    keys = [key(one) for one in found["findings"]]
    assert len(set(keys)) == len(keys)
