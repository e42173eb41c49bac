"""What is seen of nodes, and which databases have changed."""

from __future__ import annotations

import pytest

from tests import builders
from tests.builders import Listener, fake_cluster
from worker.core.topology import Topology
from worker.ops.drift import find_drift
from worker.ops.setup import Wanted, setup
from worker.ops.sweep import sweep


def test_a_healthy_node_is_seen_with_all_it_has() -> None:
    _, cluster = fake_cluster("a", "b")
    setup(cluster, Wanted(["pdfs"], True, Topology.MESH, True), Listener())

    seen = sweep(cluster, 1.0)["b"]

    assert (seen.look.ok, seen.look.version, seen.look.uuid, seen.look.kind) == (True, "3.5.0", "uuid-of-b", "couchdb")
    assert seen.look.latency_ms is not None
    assert seen.databases == ["pdfs"]
    assert seen.links is not None
    assert [(link["source"], link["target"], link["database"], link["state"]) for link in seen.links] == [
        ("a", "b", "pdfs", "running")
    ]
    assert seen.links[0]["lag"] is None


def test_links_of_other_people_are_not_ours() -> None:
    couch, cluster = fake_cluster("a", "b")
    ends = {"source": {"url": f"{couch['a'].url}/x"}, "target": {"url": f"{couch['b'].url}/x"}}
    couch["b"].databases["_replicator"].write({"_id": "theirs", "continuous": True, **ends})

    assert sweep(cluster, 1.0)["b"].links == []


@pytest.mark.parametrize(
    ("how", "slug"),
    [
        ("refused", "unreachable"),
        ("timeout", "timed-out"),
        ("401", "unauthorized"),
        ("locked", "locked-out"),
        ("500", "server-fault"),
        ("html", "bad-answer"),
        ("tls", "tls-refused"),
    ],
)
def test_a_failing_node_is_seen_with_its_reason_and_others_without_it(how: str, slug: str) -> None:
    couch, cluster = fake_cluster("a", "b")
    couch["a"].fail(how)

    seen = sweep(cluster, 1.0)

    assert not seen["a"].look.ok
    assert (seen["a"].look.reason or "").startswith(f"{slug}: ")
    assert (seen["a"].databases, seen["a"].links, seen["a"].look.latency_ms) == (None, None, None)
    assert seen["b"].look.ok


def test_a_node_in_maintenance_is_not_healthy() -> None:
    couch, cluster = fake_cluster("a")
    couch["a"].fail("maintenance", path="_up")

    look = sweep(cluster, 1.0)["a"].look

    assert not look.ok
    assert "maintenance" in (look.reason or "")


@pytest.mark.parametrize("path", ["_all_dbs", "_scheduler"])
def test_what_cannot_be_read_is_unknown_and_not_empty(path: str) -> None:
    couch, cluster = fake_cluster("a")
    cluster["a"].capabilities()
    couch["a"].fail("500", path=path)

    seen = sweep(cluster, 1.0)["a"]

    assert seen.look.ok
    assert seen.links is None
    assert (seen.databases is None) is (path == "_all_dbs")
    assert seen.errors


def test_a_standin_has_no_links_and_that_is_known() -> None:
    _, cluster = fake_cluster("a", standin=True)

    seen = sweep(cluster, 1.0)["a"]

    assert (seen.scheduler, seen.links, seen.look.kind) == (False, [], "stand-in")


# --- drift


@pytest.mark.parametrize("standin", [False, True])
def test_databases_that_changed_since_their_last_sync(standin: bool) -> None:
    couch, cluster = fake_cluster("a", "b", "c", standin=standin)
    builders.databases(cluster, "still")
    builders.databases(cluster, "moved")
    builders.databases(cluster, "new")
    builders.databases(cluster, "lonely", ["a"])
    builders.databases(cluster, "other", ["a", "b"])
    recorded = {name: {node: cluster[node].sequences([name])[name] for node in "abc"} for name in ("still", "moved")}
    couch["b"].databases["moved"].write({"_id": "one"})

    found = find_drift(cluster, recorded, ["*"], ["other"])

    assert found.changed == {"moved": ["a", "b", "c"], "new": ["a", "b", "c"]}
    assert found.in_step == {"still": ["a", "b", "c"]}


def test_a_node_that_is_away_is_no_change() -> None:
    couch, cluster = fake_cluster("a", "b", "c")
    builders.databases(cluster, "pdfs")
    recorded = {"pdfs": {node: cluster[node].sequences(["pdfs"])["pdfs"] for node in "abc"}}
    couch["c"].fail("refused")

    assert find_drift(cluster, recorded, ["*"], []).in_step == {"pdfs": ["a", "b"]}


def test_a_recreated_database_is_a_change() -> None:
    couch, cluster = fake_cluster("a", "b")
    builders.databases(cluster, "pdfs")
    recorded = {"pdfs": {node: cluster[node].sequences(["pdfs"])["pdfs"] for node in "ab"}}
    del couch["b"].databases["pdfs"]
    couch["b"].create("pdfs")

    assert find_drift(cluster, recorded, ["*"], []).changed == {"pdfs": ["a", "b"]}


def test_no_node_at_all_is_no_drift() -> None:
    couch, cluster = fake_cluster("a", "b")
    for name in "ab":
        couch[name].fail("refused")

    found = find_drift(cluster, {}, ["*"], [])

    assert (found.changed, found.in_step) == ({}, {})
