"""The security report as a job, the watch that asks for one a day, and what people are told of."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tasks import audit
from tasks.audit import run_audit, run_watch
from tasks.audit_own import own_of
from tasks.events import EventFilter
from tasks.jobs import Kind, Request
from tests.fakes.couchdb import FakeCouch
from tests.unit.tasks.world import PASSWORD, World, job, settings
from worker.core.audit.observed import Store
from worker.core.events import EventType
from worker.couch.cluster import Cluster
from worker.ops.control import Unattended

OPEN: dict[str, Any] = {"members": {"names": [], "roles": []}}


def made(world: World, cluster: Cluster) -> dict[str, Any]:
    return run_audit(world.parts, cluster, job(audit.request()), Unattended())


def told(world: World) -> list[tuple[str | None, str | None, Any]]:
    """Newest first: node, database and check."""
    events = world.events.list(EventFilter(EventType.SECURITY_FINDING)).events
    return [(event.node, event.database, event.data["check"]) for event in events]


def findings(report: dict[str, Any], check: str) -> list[tuple[str | None, str | None]]:
    return [(one["node"], one["database"]) for one in report["findings"] if one["check"] == check]


def test_the_result_of_the_job_is_the_report_that_is_kept(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    couch["b"].create("pdfs").security = OPEN
    before = time.time()

    report = made(world, cluster)

    assert world.seen.audits.report() == report
    assert before <= report["observed_at"] <= time.time()
    assert findings(report, "database-open") == [("b", "pdfs")]
    assert [each["node"] for each in report["checked"]] == ["a", "b", "c", None]


def test_a_node_that_is_away_does_not_keep_the_report_from_being_made(
    world: World, couch: FakeCouch, cluster: Cluster
) -> None:
    couch["b"].fail("refused")

    report = made(world, cluster)

    (of_b,) = [each for each in report["checked"] if each["node"] == "b"]
    assert "admin-party" in {row["check"] for row in of_b["unknown"]}
    assert "admin-party" not in of_b["passed"]


def test_people_are_told_once_of_what_is_grave(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    made(world, cluster)
    world.redis.delete("nbr:events")
    couch["b"].create("pdfs").security = OPEN

    made(world, cluster)
    made(world, cluster)

    assert told(world) == [("b", "pdfs", "database-open")]
    (event,) = world.events.list(EventFilter()).events
    assert (event.severity, event.data["grade"], event.data["count"]) == ("warning", "high", 1)
    assert event.data["remedy"]


def test_several_of_a_kind_are_one_event(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    made(world, cluster)
    world.redis.delete("nbr:events")
    for name in ("pdfs", "notes"):
        couch["b"].create(name).security = OPEN

    made(world, cluster)

    assert told(world) == [("b", None, "database-open")]
    (event,) = world.events.list(EventFilter()).events
    assert "(and 1 more of the kind)" in event.detail
    assert event.data["count"] == 2


def test_a_node_that_was_away_meanwhile_is_not_news(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    couch["b"].create("pdfs").security = OPEN
    made(world, cluster)
    world.redis.delete("nbr:events")
    couch["b"].fail("refused")
    made(world, cluster)
    couch["b"].heal()

    report = made(world, cluster)

    assert findings(report, "database-open") == [("b", "pdfs")]
    assert told(world) == []


def test_what_was_mended_and_is_wrong_again_is_told_again(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    database = couch["b"].create("pdfs")
    for security in (OPEN, {"members": {"roles": ["_admin"]}}, OPEN):
        database.security = security
        made(world, cluster)

    assert told(world).count(("b", "pdfs", "database-open")) == 2


def test_an_admin_party_is_an_error(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    couch["c"].party = True

    made(world, cluster)

    (event,) = [one for one in world.events.list(EventFilter()).events if one.data["check"] == "admin-party"]
    assert (event.severity, event.node, event.data["grade"]) == ("error", "c", "critical")


def test_no_secret_is_in_what_is_kept(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    couch["a"].configuration["chttpd_auth"] = {"secret": "relax-relax"}
    couch["a"].configuration["admins"] = {"admin": PASSWORD, "bob": "-pbkdf2-abcdef,5a17,10"}
    couch["a"].databases["_replicator"].write(
        {"_id": "by-hand", "source": f"http://admin:{PASSWORD}@b.test/pdfs", "target": "pdfs"}
    )
    couch["b"].fail("401")

    made(world, cluster)

    kept = json.dumps([world.redis.hgetall("nbr:seen:audit"), world.redis.xrange("nbr:events")])
    assert "weak-cookie-secret" in kept
    assert "inline-credentials" in kept
    assert "plain-password" in kept
    for secret in (PASSWORD, "relax-relax", "abcdef", "5a17"):
        assert secret not in kept


def test_a_password_that_is_a_common_word_spoils_no_name(couch: FakeCouch) -> None:
    world = World(settings=settings(couchdb_password="admin"))
    for node in couch.nodes.values():
        node.password = "admin"
    couch["a"].configuration["admins"] = {"bob": "-pbkdf2-abcdef,5a17,10"}
    cluster = Cluster.from_settings(world.settings, couch)

    report = made(world, cluster)

    assert findings(report, "own-password-default") == [(None, None)]
    assert "admin-party" in report["checked"][0]["passed"]
    assert "the server admin 'bob'" in json.dumps(report)
    assert "***" not in json.dumps(report)


def test_where_the_last_look_ended_is_remembered(world: World, couch: FakeCouch, cluster: Cluster) -> None:
    couch["a"].create("pdfs").security = OPEN

    made(world, cluster)

    assert world.seen.audits.memory()["a"] == {"last": "pdfs", "open": ["pdfs"], "tried": None}
    made(world, cluster)
    assert world.seen.audits.memory()["a"]["open"] == ["pdfs"]


def test_default_logins_are_tried_once_however_often_a_report_is_made(couch: FakeCouch) -> None:
    world = World(settings=settings(couchdb_user="boss"))
    for node in couch.nodes.values():
        node.user, node.password = "boss", PASSWORD
        node.fail("403", path="_config")
    cluster = Cluster.from_settings(world.settings, couch)

    for _ in range(3):
        report = made(world, cluster)

    tried = [one for one in couch.requests if "YWRtaW46" in one.headers.get("Authorization", "")]
    assert len(tried) == 2 * 3, "two logins on each of three nodes"
    why = {row["check"]: row["why"] for row in report["checked"][0]["unknown"]}
    assert "two default logins are refused" in why["default-password"]


# --- the watch


def asked(world: World) -> list[str]:
    run_watch(world.parts)
    sent, world.publisher.sent = world.publisher.sent, []
    return sent


def test_the_first_start_has_one_made(world: World) -> None:
    (job_id,) = asked(world)

    assert world.job(job_id).kind is Kind.AUDIT
    assert asked(world) == [], "it is queued"


@pytest.mark.parametrize(("ago", "due"), [(60, False), (86_300, False), (86_500, True), (-3_600, True)])
def test_one_is_made_a_day_after_the_last_whoever_asked_for_that(world: World, ago: float, due: bool) -> None:
    world.seen.audits.save({"observed_at": time.time() - ago}, {}, [])

    assert bool(asked(world)) is due


@pytest.mark.parametrize(("ago", "due"), [(60, False), (3_700, True), (-60, True)])
def test_one_that_came_to_nothing_is_asked_for_again_an_hour_later(world: World, ago: float, due: bool) -> None:
    world.seen.audits.tried(time.time() - ago)

    assert bool(asked(world)) is due


def test_without_nodes_nothing_is_asked_for() -> None:
    assert asked(World(settings=settings(couchdb_url="", replication_nodes=""))) == []


def test_who_asks_while_one_is_queued_gets_that_one(world: World) -> None:
    first = world.jobs.submit(audit.request()).job

    assert world.jobs.submit(Request(Kind.AUDIT, None, {})).job.id == first.id


# --- our own settings


def test_our_settings_as_the_rules_see_them() -> None:
    own = own_of(
        settings(
            couchdb_url="http://root:secret-of-a@a.test:5984",
            replication_user="replicator",
            replication_password="secret-of-replicator",
            redis_url="rediss://:secret-of-redis@redis.test:6380/0",
            broker_url="unix:///run/redis.sock",
            api_tokens="a-token-of-sixteen-characters",
            flower_basic_auth="me:flower-secret",
            backup_url="memory://",
            webhook_urls="http://hook:hook-secret@hook.test:8080/x",
            webhook_secret="whsec_" + "QUFB" * 8,
        )
    )

    assert [(one.where, one.user, one.node) for one in own.logins] == [
        ("COUCHDB_PASSWORD", "admin", None),
        ("REPLICATION_PASSWORD", "replicator", None),
        ("COUCHDB_URL", "root", "primary"),
    ]
    assert own.stores == (
        Store("REDIS_URL", "redis.test", tls=True, password=True),
        Store("BROKER_URL", None, tls=False, password=False),
    )
    assert (own.api_tokens, own.flower_password, own.backups, own.sealed, own.replication_user) == (
        *(True, True, True),
        *(False, True),
    )
    assert own.receivers == ("http://hook.test:8080",)
    assert "secret" not in repr(own)
