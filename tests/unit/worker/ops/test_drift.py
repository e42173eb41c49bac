"""Which databases have changed since their last sync, and by how much."""

from __future__ import annotations

import pytest

from tests import builders
from tests.builders import fake_cluster
from worker.core.names import selected
from worker.ops.drift import find_drift, same, sequences


def users(name: str) -> bool:
    return not name.startswith("_")


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

    found = find_drift(cluster, recorded, lambda name: selected(name, ["*"], ["other"]))

    assert found.changed == {"moved": ["a", "b", "c"], "new": ["a", "b", "c"]}
    assert found.in_step == {"still": ["a", "b", "c"]}
    assert found.unseen == []


@pytest.mark.parametrize("standin", [False, True])
def test_the_lag_of_what_changed_is_counted_from_the_last_sync(standin: bool) -> None:
    couch, cluster = fake_cluster("a", "b", standin=standin)
    builders.databases(cluster, "moved")
    builders.databases(cluster, "new")
    recorded = {"moved": {node: cluster[node].sequences(["moved"])["moved"] for node in "ab"}}
    for number in range(3):
        couch["b"].databases["moved"].write({"_id": f"doc-{number}"})

    found = find_drift(cluster, recorded, users)

    # a stand-in does not count: 1 is "at least one". What was never in step has no known lag
    assert found.lag == {"moved": {"a": 0, "b": 1 if standin else 3}}


def test_lag_that_nobody_could_tell_is_left_out() -> None:
    couch, cluster = fake_cluster("a", "b")
    builders.databases(cluster, "moved")
    recorded = {"moved": {node: cluster[node].sequences(["moved"])["moved"] for node in "ab"}}
    couch["b"].databases["moved"].write({"_id": "one"})
    couch["b"].fail("500", path="_changes")

    assert find_drift(cluster, recorded, users).lag == {"moved": {"a": 0}}


def test_a_pass_over_databases_that_stand_still_asks_for_them_in_bulk() -> None:
    couch, cluster = fake_cluster("a", "b")
    names = [f"db-{number:03}" for number in range(150)]
    for name in names:
        builders.databases(cluster, name)
    recorded = {name: sequences(cluster, name)[0] for name in names}
    couch.requests.clear()

    found = find_drift(cluster, recorded, users)

    assert len(found.in_step) == 150
    assert len(couch.requests) <= 2 * 3  # _all_dbs, and _dbs_info twice, on each node


def test_sequences_now_are_those_of_the_nodes_that_answer_and_have_it() -> None:
    couch, cluster = fake_cluster("a", "b", "c")
    builders.databases(cluster, "pdfs", ["a", "b"])
    recorded, silent = sequences(cluster, "pdfs")
    assert silent == []
    couch["a"].fail("refused")

    now, silent = sequences(cluster, "pdfs")

    assert silent == ["a"]
    assert list(recorded) == ["a", "b"]
    assert now == {"b": recorded["b"]}
    assert same(recorded, now)
    assert not same({}, now)


def test_a_node_that_is_away_is_no_change() -> None:
    couch, cluster = fake_cluster("a", "b", "c")
    builders.databases(cluster, "pdfs")
    recorded = {"pdfs": {node: cluster[node].sequences(["pdfs"])["pdfs"] for node in "abc"}}
    couch["c"].fail("refused")

    found = find_drift(cluster, recorded, users)

    assert found.in_step == {"pdfs": ["a", "b"]}
    assert found.unseen == ["c"]


def test_a_recreated_database_is_a_change() -> None:
    couch, cluster = fake_cluster("a", "b")
    builders.databases(cluster, "pdfs")
    recorded = {"pdfs": {node: cluster[node].sequences(["pdfs"])["pdfs"] for node in "ab"}}
    del couch["b"].databases["pdfs"]
    couch["b"].create("pdfs")

    assert find_drift(cluster, recorded, users).changed == {"pdfs": ["a", "b"]}


def test_no_node_at_all_is_no_drift() -> None:
    couch, cluster = fake_cluster("a", "b")
    for name in "ab":
        couch[name].fail("refused")

    found = find_drift(cluster, {}, users)

    assert (found.changed, found.in_step) == ({}, {})
