"""Setup where not all is well, and the parts it shares with sync."""

from __future__ import annotations

import threading
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import builders
from tests.builders import Listener, fake_cluster
from tests.fakes.couchdb import Request
from worker.core.errors import Cancelled, MixedNodeKinds, NotEnoughNodes, Unreachable, Unsupported
from worker.core.rules import Rule, Rules
from worker.couch.cluster import Cluster
from worker.ops.control import Unattended
from worker.ops.ensure import same_security
from worker.ops.setup import Wanted, setup
from worker.ops.setup_result import SetupResult
from worker.ops.sync import sync


def run(cluster: Cluster, *names: str, **wanted: Any) -> SetupResult:
    return setup(cluster, Wanted(databases=names or None, **wanted), Listener())


def test_without_names_all_that_the_globs_select() -> None:
    couch, cluster = fake_cluster("a", "b")
    for name in ("pdfs", "pdfs-old", "categories"):
        couch["a"].create(name)
    couch["b"].create("only-b")

    result = run(cluster, rules=Rules(exclude=("*-old",)))

    assert list(result.databases) == ["categories", "only-b", "pdfs"]
    assert "_users" not in result.databases
    assert "pdfs-old" not in couch["b"].databases


def test_a_node_that_is_away_is_skipped_and_named_and_set_up_later() -> None:
    couch, cluster = fake_cluster("a", "b", "c")
    couch["b"].fail("refused")

    first = run(cluster, "pdfs")
    couch["b"].heal()
    second = run(cluster, "pdfs")

    assert first.nodes == ["a", "c"]
    assert list(first.skipped) == ["b"]
    assert second.databases["pdfs"].created_on == ["b"]
    # links are planned over all nodes: those that others pull from the missing one wait for it
    assert sorted(first.databases["pdfs"].links["created"]) == ["a -> c", "b -> a", "b -> c", "c -> a"]
    assert sorted(first.databases["pdfs"].links["not_written"]) == ["a -> b", "c -> b"]
    assert sorted(second.databases["pdfs"].links["created"]) == ["a -> b", "c -> b"]
    assert sorted(second.databases["pdfs"].links["unchanged"]) == ["a -> c", "b -> a", "b -> c", "c -> a"]


def test_of_a_single_node_that_is_left_the_links_from_the_others_go() -> None:
    couch, cluster = fake_cluster("a", "b")
    run(cluster, "pdfs")
    left = builders.cluster(couch, [builders.node("a")])

    result = setup(left, Wanted(None, asked=False), Listener())

    assert result.applied.deleted == [("a", "nbr:b:a:pdfs")]


def test_where_nothing_is_to_travel_by_itself_links_go_when_somebody_asks() -> None:
    _, cluster = fake_cluster("a", "b")
    run(cluster, "pdfs")

    by_itself = run(cluster, "pdfs", continuous=False, asked=False)
    asked = run(cluster, "pdfs", continuous=False)

    assert by_itself.applied.deleted == []
    assert sorted(asked.databases["pdfs"].links["deleted"]) == ["a -> b", "b -> a"]
    assert asked.as_json()["mode"] == "off"


def test_a_dry_run_lists_the_steps_in_their_order_and_why() -> None:
    couch, cluster = fake_cluster("a", "b")
    couch["a"].create("pdfs")

    steps = run(cluster, "pdfs", dry_run=True).as_json()["steps"]

    assert steps[0] == "create pdfs on b, like on a"
    assert sorted(steps[1:]) == ["write a -> b of pdfs: missing", "write b -> a of pdfs: missing"]


def test_too_few_nodes() -> None:
    couch, cluster = fake_cluster("a", "b")
    couch["a"].fail("401")
    with pytest.raises(NotEnoughNodes):
        run(cluster, "pdfs")
    assert "pdfs" not in couch["b"].databases

    couch["b"].fail("refused")
    with pytest.raises(Unreachable):
        run(cluster, "pdfs")


def test_mixed_kinds_are_refused() -> None:
    couch, _ = fake_cluster("a", "b")
    couch["b"].standin = True

    with pytest.raises(MixedNodeKinds):
        run(builders.cluster(couch, [builders.node("a"), builders.node("b")]), "pdfs")
    assert "pdfs" not in couch["a"].databases


def test_security_is_made_the_same_where_the_database_was_already() -> None:
    couch, cluster = fake_cluster("a", "b", "c")
    databases = builders.databases(cluster, "pdfs")
    databases["a"].set_security({"members": {"names": ["ann"], "roles": []}})

    report = run(cluster, "pdfs").databases["pdfs"]

    assert (report.security.copied_to, report.security.differs_on) == (["b", "c"], [])
    assert couch["c"].databases["pdfs"].security == {"members": {"names": ["ann"], "roles": []}}


def test_security_that_somebody_made_is_never_overwritten() -> None:
    couch, cluster = fake_cluster("a", "b", "c")
    databases = builders.databases(cluster, "pdfs")
    databases["b"].set_security({"members": {"names": ["ann"], "roles": []}})
    databases["c"].set_security({"members": {"names": ["bob"], "roles": []}})

    report = run(cluster, "pdfs").databases["pdfs"]

    assert (report.security.copied_to, report.security.differs_on) == (["a"], ["c"])
    assert couch["c"].databases["pdfs"].security["members"]["names"] == ["bob"]
    assert run(cluster, "pdfs").as_json()["changed"] is False


def test_a_database_that_was_locked_down_stays_so() -> None:
    """With documents in it, the default of a new database was meant: nobody is let in again by a setup or a sync."""
    couch, cluster = fake_cluster("a", "b")
    databases = builders.databases(cluster, "pdfs")
    databases["a"].set_security({"members": {"names": ["ann"], "roles": []}})
    before = couch["b"].databases["pdfs"].security
    for database in databases.values():
        database.put({"_id": "one"})

    report = run(cluster, "pdfs").databases["pdfs"]
    result = sync(cluster, "pdfs", Unattended())

    assert (report.security.copied_to, report.security.differs_on) == ([], ["b"])
    assert (result.security.copied_to, result.security.differs_on) == ([], ["b"])
    assert couch["b"].databases["pdfs"].security == before


def test_an_open_database_is_never_spread() -> None:
    couch, cluster = fake_cluster("a", "b")
    databases = builders.databases(cluster, "pdfs")
    databases["a"].set_security({})

    assert run(cluster, "pdfs").databases["pdfs"].security.copied_to == []
    assert couch["b"].databases["pdfs"].security


def test_links_are_not_made_where_they_are_not_wanted() -> None:
    _, cluster = fake_cluster("a", "b")

    result = run(cluster, "pdfs", continuous=False)

    assert result.mode == "off"
    assert result.databases["pdfs"].links == {}
    assert result.databases["pdfs"].created_on == ["a", "b"]


@pytest.mark.parametrize(
    ("continuous", "standin", "mode"),
    [(True, False, "continuous"), (True, True, "on-change"), (False, False, "off"), (False, True, "off")],
)
def test_the_mode_in_force(continuous: bool, standin: bool, mode: str) -> None:
    _, cluster = fake_cluster("a", "b", standin=standin)

    result = run(cluster, "pdfs", continuous=continuous)

    assert result.mode == result.databases["pdfs"].mode == mode


def test_a_selector_is_refused_where_nodes_cannot_follow_it() -> None:
    couch, cluster = fake_cluster("a", "b", standin=True)

    with pytest.raises(Unsupported):
        run(cluster, "pdfs", rules=Rules((Rule(selector={"type": "x"}),)))
    assert "pdfs" not in couch["a"].databases


def test_a_step_that_fails_is_told_with_its_node_and_done_by_the_next_setup() -> None:
    couch, cluster = fake_cluster("a", "b", "c")
    couch["b"].fail("500", path="pdfs")

    first = run(cluster, "pdfs").as_json()
    couch["b"].heal()
    second = run(cluster, "pdfs").as_json()

    assert first["complete"] is False
    assert first["counts"]["failed"] >= 1
    assert any("pdfs not made on b: server-fault" in failure for failure in first["failures"])
    assert second["complete"] is True
    assert second["databases"]["pdfs"]["created_on"] == ["b"]
    assert run(cluster, "pdfs").as_json()["changed"] is False


def test_links_that_cannot_be_written_are_told_and_written_by_the_next_setup() -> None:
    couch, cluster = fake_cluster("a", "b")
    cluster["b"].capabilities()
    run(cluster)
    couch["b"].fail("500", path="_bulk_docs")

    first = run(cluster, "pdfs").as_json()
    couch["b"].heal()
    second = run(cluster, "pdfs").as_json()

    assert any("1 links not written on b" in failure for failure in first["failures"])
    assert first["databases"]["pdfs"]["links"]["created"] == ["b -> a"]
    assert second["databases"]["pdfs"]["links"] == {"created": ["a -> b"], "unchanged": ["b -> a"]}


def test_setup_can_be_stopped_between_two_databases_and_goes_on_where_it_was() -> None:
    couch, cluster = fake_cluster("a", "b")
    names = [f"db-{i:02}" for i in range(40)]
    stopping = Listener(lambda listener: Cancelled() if ("create", 5, 80, "databases") in listener.told else None)
    asked, go_on = count(1), threading.Event()

    def hold_after_twenty(request: Request) -> None:
        if request.method == "PUT" and request.path[0] in names and next(asked) > 20:
            go_on.wait(5)

    couch.on_request = hold_after_twenty
    with pytest.raises(Cancelled):
        setup(cluster, Wanted(names), stopping)
    go_on.set()
    made = sum(name in node.databases for node in couch.nodes.values() for name in names)
    result = setup(cluster, Wanted(names), Listener())

    assert 5 <= made < 80
    assert stopping.phases == ["observe", "plan", "create"]
    assert result.as_json()["complete"] is True
    assert all(name in node.databases for node in couch.nodes.values() for name in names)


def test_the_result_tells_what_changed() -> None:
    _, cluster = fake_cluster("a", "b")

    told = [run(cluster, "pdfs").as_json() for _ in range(2)]

    assert [row["changed"] for row in told] == [True, False]
    assert told[1]["databases"]["pdfs"]["already_on"] == ["a", "b"]


lists = st.lists(st.sampled_from(["ann", "bob", "readers"]), unique=True)
members = st.fixed_dictionaries({"names": lists, "roles": lists})


@given(members, members, st.randoms())
def test_securities_are_equal_whatever_the_order(admins: dict[str, Any], others: dict[str, Any], chance: Any) -> None:
    security = {"admins": admins, "members": others}
    shuffled = {
        part: {key: chance.sample(names, len(names)) for key, names in value.items()}
        for part, value in security.items()
    }

    assert same_security(security, shuffled)
    assert not same_security(security, {**security, "admins": {**admins, "names": [*admins["names"], "eve"]}})


def test_a_security_without_empty_lists_is_the_same() -> None:
    assert same_security({"members": {"names": [], "roles": ["_admin"]}}, {"members": {"roles": ["_admin"]}})


def test_a_security_with_fields_of_others_is_compared_too() -> None:
    """CouchDB keeps whatever object it is given beside admins and members."""
    assert same_security({"limits": {"per_hour": 5}}, {"limits": {"per_hour": 5}})
