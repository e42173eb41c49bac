"""What one sweep sees of nodes that are well, or fail in every way we know."""

from __future__ import annotations

import pytest

from tests.builders import Listener, fake_cluster
from worker.core.disk import Round
from worker.core.health import Failure
from worker.couch.server import DBS_INFO_BATCH
from worker.ops.own import ensure_own_database
from worker.ops.setup import Wanted, setup
from worker.ops.sweep import sweep

# --- a node that is well


def test_a_healthy_node_is_seen_with_all_it_has() -> None:
    _, cluster = fake_cluster("a", "b")
    setup(cluster, Wanted(["pdfs"]), Listener())

    seen = sweep(cluster, 1.0)["b"]

    assert (seen.look.ok, seen.look.version, seen.look.uuid, seen.look.kind) == (True, "3.5.0", "uuid-of-b", "couchdb")
    assert (seen.look.failure, seen.look.reason, seen.errors) == (None, None, ())
    assert seen.look.latency_ms is not None
    assert seen.look.uptime == 3_600
    assert seen.databases == ["pdfs", "_users"]  # not our own, nor CouchDB's, but for its users


def test_its_work_is_counted() -> None:
    couch, cluster = fake_cluster("a", "b")
    setup(cluster, Wanted(["pdfs"]), Listener())
    shard = "shards/80000000-ffffffff/a/b.1795548206"
    couch["b"].tasks = [
        {"type": "indexer", "database": shard, "progress": 40},
        {"type": "indexer", "database": "other", "progress": 7},
        {"type": "database_compaction", "database": shard, "progress": 5},
    ]

    details = sweep(cluster, 1.0)["b"].details

    assert details.active_tasks == {
        "counts": {"database_compaction": 1, "indexer": 2, "replication": 1},
        "slowest": {"type": "database_compaction", "database": "a/b", "progress": 5},
    }
    assert details.replication_jobs == {"running": 1, "pending": 0, "crashed": 0, "total": 1}
    assert details.load == {"run_queue": 3, "messages": 7, "memory_bytes": 2_111}


def test_what_a_node_lacks_of_its_own_is_told() -> None:
    couch, cluster = fake_cluster("a")
    assert sweep(cluster, 1.0)["a"].look.own is False
    ensure_own_database(cluster["a"])
    del couch["a"].databases["_users"]

    seen = sweep(cluster, 1.0)["a"]

    assert seen.look.own is True
    assert seen.details.system_databases_missing == ["_users", "_global_changes"]


def test_a_stand_in_tells_what_it_can() -> None:
    couch, cluster = fake_cluster("a", standin=True)
    couch["a"].create("pdfs")

    seen = sweep(cluster, 1.0)["a"]

    assert (seen.look.ok, seen.look.kind, seen.look.version) == (True, "stand-in", "express-pouchdb 3.5.0")
    assert (seen.look.uptime, seen.look.own, seen.databases, seen.errors) == (None, False, ["pdfs"], ())
    assert vars(seen.details) == {
        "active_tasks": {"counts": {}, "slowest": None},
        "replication_jobs": None,
        "load": None,
        "disk": None,
        "system_databases_missing": None,
    }


@pytest.mark.parametrize("names", [["b"], []])
def test_only_the_nodes_that_are_named_are_asked(names: list[str]) -> None:
    couch, cluster = fake_cluster("a", "b")

    assert list(sweep(cluster, 1.0, names)) == names
    assert {request.node for request in couch.requests} == set(names)


def test_a_look_asks_seven_things_and_not_again_what_the_node_can() -> None:
    couch, cluster = fake_cluster("a")

    for _ in range(2):
        couch.requests.clear()
        sweep(cluster, 1.0)
        assert len(couch.requests) == 7


# --- a node that fails


@pytest.mark.parametrize(
    ("how", "failure", "slug"),
    [
        ("refused", Failure.REFUSED, "unreachable"),
        ("dns", Failure.DNS, "unreachable"),
        ("timeout", Failure.TIMED_OUT, "timed-out"),
        ("tls", Failure.TLS, "tls-refused"),
        ("401", Failure.UNAUTHORIZED, "unauthorized"),
        ("403", Failure.FORBIDDEN, "forbidden"),
        ("locked", Failure.LOCKED_OUT, "locked-out"),
        ("500", Failure.SERVER_FAULT, "server-fault"),
        ("monitor", Failure.DISK, "disk-full"),
        ("html", Failure.NOT_COUCHDB, "bad-answer"),
        ("strange", Failure.NOT_COUCHDB, "bad-answer"),
        ("404", Failure.NOT_COUCHDB, "not-found"),
    ],
)
def test_a_failing_node_is_seen_with_its_reason_and_others_without_it(how: str, failure: Failure, slug: str) -> None:
    couch, cluster = fake_cluster("a", "b")
    couch["a"].fail(how)

    seen = sweep(cluster, 1.0)

    assert (seen["a"].look.ok, seen["a"].look.failure) == (False, failure)
    assert (seen["a"].look.reason or "").startswith(f"{slug}: ")
    assert (seen["a"].databases, seen["a"].look.latency_ms) == (None, None)
    assert seen["b"].look.ok


def test_a_node_in_maintenance_is_not_well_but_its_figures_are_known() -> None:
    couch, cluster = fake_cluster("a")
    couch["a"].fail("maintenance", path="_up")

    look = sweep(cluster, 1.0)["a"].look

    assert (look.ok, look.failure, look.version) == (False, Failure.MAINTENANCE_MODE, "3.5.0")
    assert "maintenance" in (look.reason or "")


def test_a_server_without_up_is_up_when_it_answers() -> None:
    couch, cluster = fake_cluster("a")
    couch["a"].fail("404", path="_up")

    assert sweep(cluster, 1.0)["a"].look.ok


def test_a_slow_node_is_told_with_all_its_figures() -> None:
    _, cluster = fake_cluster("a")

    seen = sweep(cluster, 1.0, slow_ms=0.0)["a"]

    assert (seen.look.ok, seen.look.failure) == (False, Failure.SLOW)
    assert "more than HEALTH_SLOW_MS" in (seen.look.reason or "")
    assert (seen.look.uuid, seen.databases) == ("uuid-of-a", ["_users"])


def test_a_refused_password_is_not_sent_at_every_sweep() -> None:
    couch, cluster = fake_cluster("a")
    cluster["a"].capabilities()
    couch["a"].password = "changed-secret-1"
    sweep(cluster, 1.0)
    asked = len(couch.requests)

    for _ in range(3):
        assert sweep(cluster, 1.0)["a"].look.failure is Failure.UNAUTHORIZED

    assert len(couch.requests) == asked


def test_another_server_at_the_same_place_is_seen_at_once() -> None:
    couch, cluster = fake_cluster("a")
    sweep(cluster, 1.0)
    assert cluster["a"].capabilities().scheduler
    couch["a"].standin = True

    assert sweep(cluster, 1.0)["a"].look.kind == "stand-in"
    assert not cluster["a"].capabilities().scheduler


# --- details that cannot be had


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("_system", "load"),
        ("_active_tasks", "active_tasks"),
        ("_stats", "replication_jobs"),
        ("_dbs_info", "disk"),
        ("_all_dbs", "system_databases_missing"),
    ],
)
@pytest.mark.parametrize("how", ["500", "timeout", "html", "number", "refused"])
def test_a_detail_that_fails_is_unknown_and_told_and_the_look_is_good(how: str, path: str, field: str) -> None:
    couch, cluster = fake_cluster("a")
    couch["a"].fail(how, path=path)

    seen = sweep(cluster, 1.0)["a"]

    assert seen.look.ok
    assert getattr(seen.details, field) is None
    assert len(seen.errors) == 1
    if path == "_all_dbs":
        assert (seen.databases, seen.look.own) == (None, None), "unknown, not none"


@pytest.mark.parametrize("how", ["404", "401", "403"])
@pytest.mark.parametrize("path", ["_node", "_active_tasks", "_dbs_info"])
def test_what_a_node_does_not_offer_us_is_unknown_without_a_word(path: str, how: str) -> None:
    couch, cluster = fake_cluster("a")
    couch["a"].fail(how, path=path)

    for _ in range(2):
        seen = sweep(cluster, 1.0)["a"]
        assert (seen.look.ok, seen.errors) == (True, ())
    assert None in vars(seen.details).values()


# --- sizes, a hundred a sweep


def test_sizes_are_asked_for_one_call_a_sweep_and_told_when_all_are_known() -> None:
    couch, cluster = fake_cluster("a")
    names = [f"db-{number:03}" for number in range(2 * DBS_INFO_BATCH)]  # and CouchDB's own
    for number, name in enumerate(names):
        couch["a"].create(name)
        for document in range(number % 7):
            couch["a"].databases[name].write({"_id": f"{document}"})
    carried: dict[str, Round] = {}
    told = []
    for _ in range(4):
        couch.requests.clear()
        seen = sweep(cluster, 1.0, carried=carried)["a"]
        assert len([request for request in couch.requests if request.path == ("_dbs_info",)]) == 1
        assert seen.disk_round is not None
        carried = {"a": seen.disk_round}
        told.append(seen.details.disk)

    assert told[:2] == [None, None]
    assert told[2] is not None
    assert told[2]["databases"] == len(couch["a"].databases)
    documents = sum(number % 7 for number in range(len(names)))
    assert told[2]["active_bytes"] == 500 * documents
    assert told[3] == told[2], "until the next round is complete"


def test_sizes_stay_known_with_their_time_while_a_node_is_away() -> None:
    couch, cluster = fake_cluster("a")
    seen = sweep(cluster, 1.0)["a"]
    assert seen.disk_round is not None
    couch["a"].fail("refused")

    away = sweep(cluster, 1.0, carried={"a": seen.disk_round})["a"]

    assert seen.details.disk is not None
    assert (away.details.disk, away.disk_round) == (seen.details.disk, seen.disk_round)
