"""What a sync does when things go wrong on its way. What it promises when all is well is in tests/contract."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

import pytest

from tests import builders
from tests.builders import Listener, fake_cluster
from tests.fakes.couchdb import FakeCouch, Request
from worker.core.errors import (
    BadAnswer,
    DocumentsRefused,
    MixedNodeKinds,
    NotEnoughNodes,
    NotFound,
    OneNodeOnly,
    ServerFault,
    TlsRefused,
    Unauthorized,
    Unreachable,
)
from worker.core.model import Credentials, Link
from worker.couch.cluster import Cluster
from worker.ops.sync import MAX_ROUNDS, SyncResult, sync

REPLICATE = ("_replicate",)


def filled(*names: str, standin: bool = False) -> tuple[FakeCouch, Cluster]:
    """A document from each node, on that node."""
    couch, cluster = fake_cluster(*names, standin=standin)
    for name, database in builders.databases(cluster, "pdfs").items():
        database.put({"_id": f"from-{name}"})
    return couch, cluster


def run(cluster: Cluster) -> SyncResult:
    return sync(cluster, "pdfs", Listener())


def ids(couch: FakeCouch, node: str) -> set[str]:
    return set(couch[node].databases["pdfs"].documents)


def asks_for_lag(request: Request) -> bool:
    return request.path[1:] == ("_changes",) and request.params.get("limit") == "0"


def once(couch: FakeCouch, when: Callable[[Request], bool], then: Callable[[], object]) -> None:
    """`then`, just before the first request of which `when` is true is answered."""
    done: list[Request] = []

    def look(request: Request) -> None:
        if not done and when(request):
            done.append(request)
            then()

    couch.on_request = look


# --- nodes that go


@pytest.mark.parametrize("how", ["refused", "timeout", "500"])
def test_a_hub_lost_in_gather_is_replaced(quick: None, how: str) -> None:
    couch, cluster = filled("a", "b", "c")
    once(couch, lambda request: request.path == REPLICATE, lambda: couch["a"].fail(how))

    result = run(cluster)

    assert (result.hub, result.nodes) == ("b", ["b", "c"])
    assert list(result.skipped) == ["a"]
    assert result.skipped["a"].startswith("lost in mid-sync: ")
    assert result.caught_up
    assert ids(couch, "b") == ids(couch, "c") >= {"from-b", "from-c"}


def test_a_hub_lost_in_scatter_is_replaced_and_what_it_gathered_is_not_claimed() -> None:
    couch, cluster = filled("a", "b", "c")
    once(couch, lambda request: request.path == REPLICATE and request.node != "a", lambda: couch["a"].fail("refused"))

    result = run(cluster)

    assert (result.hub, result.nodes) == ("b", ["b", "c"])
    assert result.caught_up
    assert set(result.lag) == {Link("pdfs", "b", "c"), Link("pdfs", "c", "b")}
    assert ids(couch, "b") == ids(couch, "c")


def test_a_hub_lost_in_check_is_replaced() -> None:
    couch, cluster = filled("a", "b", "c")
    once(couch, asks_for_lag, lambda: couch["a"].fail("refused"))

    result = run(cluster)

    assert result.nodes == ["b", "c"]
    assert result.caught_up
    assert set(result.after) == {"b", "c"}


@pytest.mark.parametrize("how", ["refused", "timeout"])
def test_a_node_lost_on_the_way_is_skipped_and_named(quick: None, how: str) -> None:
    couch, cluster = filled("a", "b", "c")
    once(couch, lambda request: request.path == REPLICATE, lambda: couch["c"].fail(how))

    result = run(cluster)

    assert (result.hub, result.nodes) == ("a", ["a", "b"])
    assert list(result.skipped) == ["c"]
    assert result.caught_up
    assert ids(couch, "a") == ids(couch, "b")


@pytest.mark.parametrize("how", ["refused", "timeout", "401", "locked", "500", "html", "tls"])
def test_a_node_that_is_away_from_the_start_is_skipped_with_the_reason(how: str) -> None:
    couch, cluster = filled("a", "b", "c")
    couch["a"].fail(how)

    result = run(cluster)

    assert (result.hub, result.nodes, list(result.skipped)) == ("b", ["b", "c"], ["a"])
    assert ":" in result.skipped["a"]
    assert [row["node"] for row in result.as_json()["skipped"]] == ["a"]


def test_a_node_that_came_back_takes_part_again() -> None:
    couch, cluster = filled("a", "b", "c")
    couch["a"].fail("refused")
    run(cluster)
    couch["a"].heal()

    assert run(cluster).nodes == ["a", "b", "c"]
    assert ids(couch, "a") == {"from-a", "from-b", "from-c"}


def test_one_node_alone_is_not_enough() -> None:
    couch, cluster = filled("a", "b", "c")
    couch["a"].fail("refused")
    couch["c"].fail("401")

    with pytest.raises(NotEnoughNodes) as error:
        run(cluster)

    assert "only b can take part" in error.value.detail
    assert "a (unreachable" in error.value.detail
    assert "c (unauthorized" in error.value.detail


def test_one_node_left_in_mid_sync_is_not_enough() -> None:
    couch, cluster = filled("a", "b")
    once(couch, lambda request: request.path == REPLICATE, lambda: couch["b"].fail("refused"))

    with pytest.raises(NotEnoughNodes, match="only a can take part"):
        run(cluster)


def test_a_cluster_of_one_node_says_what_to_do() -> None:
    _, cluster = filled("a")

    with pytest.raises(OneNodeOnly, match="REPLICATION_NODES"):
        run(cluster)


def test_no_node_at_all_is_unreachable_and_not_an_unknown_database() -> None:
    couch, cluster = filled("a", "b")
    for name in ("a", "b"):
        couch[name].fail("refused")

    with pytest.raises(Unreachable, match="no node answers"):
        run(cluster)


def test_an_unknown_database_names_the_nodes_that_could_not_be_asked() -> None:
    couch, cluster = filled("a", "b", "c")
    couch["c"].fail("refused")

    with pytest.raises(NotFound) as error:
        sync(cluster, "pfds", Listener())

    assert "did you mean pdfs?" in error.value.detail
    assert "c (unreachable" in error.value.detail


# --- pulls that break


def test_a_pull_that_breaks_for_no_fault_of_a_node_is_tried_again() -> None:
    couch, cluster = filled("a", "b", "c")
    couch["a"].fail("500", path="_replicate", times=2)

    result = run(cluster)

    assert result.caught_up
    assert result.nodes == ["a", "b", "c"]
    assert ids(couch, "a") == ids(couch, "b") == ids(couch, "c")


def test_a_pull_that_keeps_breaking_fails_the_sync_and_names_its_node() -> None:
    couch, cluster = filled("a", "b")
    couch["a"].fail("500", path="_replicate")

    with pytest.raises(ServerFault) as error:
        run(cluster)

    assert (error.value.node, error.value.database) == ("a", "pdfs")
    assert sum(request.path == REPLICATE for request in couch.requests) == 3


def test_a_pull_that_is_refused_for_good_is_not_tried_again() -> None:
    couch, _ = filled("a", "b")
    nodes = [
        builders.node("a"),
        dataclasses.replace(builders.node("b"), peer_credentials=Credentials("admin", "old-one")),
    ]

    with pytest.raises(Unauthorized) as error:
        run(builders.cluster(couch, nodes))

    assert error.value.database == "pdfs"
    assert "old-one" not in str(error.value)
    assert sum(request.path == REPLICATE for request in couch.requests) == 1


def test_refused_documents_fail_the_sync_with_what_was_done() -> None:
    couch, cluster = filled("a", "b", "c")
    couch["b"].refuses = lambda document: document["_id"] == "from-c"

    with pytest.raises(DocumentsRefused) as error:
        run(cluster)

    assert "b lacks 1 of a (from-c)" in error.value.detail
    told = error.value.result
    assert told is not None
    assert told["caught_up"] is False
    assert told["missing"] == [{"source": "a", "target": "b", "documents": 1, "ids": ["from-c"]}]
    pulls = {(pull["source"], pull["target"]): pull for pull in told["pulls"] if pull["round"] == 1}
    assert pulls["a", "b"]["doc_write_failures"] == 1
    assert pulls["a", "c"]["doc_write_failures"] == 0
    assert told["documents"] == {
        "a": {"before": 1, "after": 3},
        "b": {"before": 1, "after": 2},
        "c": {"before": 1, "after": 3},
    }


def test_documents_refused_long_ago_are_not_forgotten() -> None:
    """The target has confirmed them, so lag is 0 for ever; the history and the figures tell better."""
    couch, cluster = filled("a", "b")
    couch["b"].refuses = lambda document: document["_id"] == "from-a"
    with pytest.raises(DocumentsRefused):
        run(cluster)
    couch["b"].refuses = lambda document: False

    with pytest.raises(DocumentsRefused, match="b lacks 1 of a"):
        run(cluster)


def test_documents_that_were_refused_and_came_another_way_are_no_failure() -> None:
    couch, cluster = filled("a", "b")
    couch["b"].refuses = lambda document: document["_id"] == "from-a"
    with pytest.raises(DocumentsRefused):
        run(cluster)
    source = couch["a"].databases["pdfs"]
    couch["b"].databases["pdfs"].write_replicated(source.read("from-a", None, attachments=True, revs=True))

    assert run(cluster).caught_up


def test_a_document_that_was_purged_on_a_target_is_found_by_the_figures() -> None:
    couch, cluster = filled("a", "b", "c")
    run(cluster)
    purged = couch["c"].databases["pdfs"]
    del purged.documents["from-a"], purged.changed["from-a"]

    with pytest.raises(DocumentsRefused, match="c lacks 1 of a"):
        run(cluster)


def test_where_nothing_is_doubtful_documents_are_not_compared() -> None:
    couch, cluster = filled("a", "b", "c")
    run(cluster)

    assert not any("_revs_diff" in request.path for request in couch.requests)


def test_missing_documents_are_counted_and_the_first_are_named() -> None:
    couch, cluster = filled("a", "b")
    for i in range(30):
        couch["a"].databases["pdfs"].write({"_id": f"no-{i:02}"})
    couch["b"].refuses = lambda document: document["_id"].startswith("no-")

    with pytest.raises(DocumentsRefused) as error:
        run(cluster)

    told = error.value.result
    assert told is not None
    assert told["missing"][0]["documents"] == 30
    assert told["missing"][0]["ids"] == [f"no-{i:02}" for i in range(20)]


@pytest.mark.parametrize(("how", "kind"), [("401", Unauthorized), ("tls", TlsRefused), ("html", BadAnswer)])
def test_what_all_nodes_fail_with_for_good_is_told_and_not_retried(how: str, kind: type[Exception]) -> None:
    couch, cluster = filled("a", "b", "c")
    for name in "abc":
        couch[name].fail(how)

    with pytest.raises(kind):
        run(cluster)


def test_a_node_in_maintenance_takes_no_part() -> None:
    couch, cluster = filled("a", "b", "c")
    couch["b"].fail("maintenance", path="_up")

    result = run(cluster)

    assert result.nodes == ["a", "c"]
    assert "maintenance" in result.skipped["b"]
    assert result.as_json()["complete"] is False


def test_a_node_on_which_the_database_cannot_be_made_is_skipped() -> None:
    couch, cluster = fake_cluster("a", "b", "c")
    for name, database in builders.databases(cluster, "pdfs", ["a", "b"]).items():
        database.put({"_id": f"from-{name}"})
    once(couch, lambda request: request.method == "PUT", lambda: couch["c"].fail("401"))

    result = run(cluster)

    assert result.nodes == ["a", "b"]
    assert result.skipped["c"].startswith("database not made: unauthorized")


def test_mixed_kinds_are_refused_before_anything_is_done() -> None:
    couch, _ = fake_cluster("a", "b", "c")
    couch["c"].standin = True
    cluster = builders.cluster(couch, [builders.node(name) for name in "abc"])
    couch["a"].create("pdfs")

    with pytest.raises(MixedNodeKinds, match="c is stand-in"):
        run(cluster)

    assert "pdfs" not in couch["b"].databases
    assert not any(request.path == REPLICATE for request in couch.requests)


# --- writes meanwhile


def test_a_write_in_between_is_taken_along_in_the_next_round() -> None:
    couch, cluster = filled("a", "b", "c")

    def write() -> None:
        couch["c"].databases["pdfs"].write({"_id": "late"})

    once(couch, lambda request: request.node == "c" and asks_for_lag(request), write)

    result = run(cluster)

    assert result.caught_up
    assert "late" in ids(couch, "a") & ids(couch, "b")
    # the second round gathers and at once scatters it, the third confirms the echo
    assert result.rounds == 3


def test_writes_without_end_leave_their_lag_named_and_rounds_are_bounded() -> None:
    couch, cluster = filled("a", "b", "c")
    written: list[str] = []

    def keep_writing(request: Request) -> None:
        if asks_for_lag(request):
            written.append(f"late-{len(written)}")
            with couch.lock:
                couch["c"].databases["pdfs"].write({"_id": written[-1]})

    couch.on_request = keep_writing

    result = run(cluster)

    assert not result.caught_up
    assert result.rounds == MAX_ROUNDS <= 5
    assert result.lag[Link("pdfs", "c", "a")] >= 1
    assert result.as_json()["caught_up"] is False


def test_a_sync_of_what_is_in_step_asks_for_one_round_only() -> None:
    couch, cluster = filled("a", "b", "c")
    run(cluster)
    couch.requests.clear()

    result = run(cluster)

    assert result.rounds == 1
    assert sum(request.path == REPLICATE for request in couch.requests) == 4


def test_an_echo_ends_with_the_second_round() -> None:
    _, cluster = filled("a", "b", "c")

    result = run(cluster)

    assert result.rounds == 2
    assert {pull.phase for pull in result.pulls if pull.round == 2} == {"gather"}
    assert sum(pull.docs_written for pull in result.pulls if pull.round == 2) == 0


def test_standins_are_synced_as_well() -> None:
    couch, cluster = filled("a", "b", "c", standin=True)

    result = run(cluster)

    assert result.caught_up
    assert ids(couch, "a") == ids(couch, "b") == ids(couch, "c") == {"from-a", "from-b", "from-c"}


# --- what is told


def test_progress_is_told_phase_by_phase() -> None:
    _, cluster = filled("a", "b", "c")
    listener = Listener()

    sync(cluster, "pdfs", listener)

    assert listener.phases == ["look", "gather", "scatter", "check"]
    assert ("gather", 0, 2, "pulls") in listener.told


def test_the_result_is_json_and_has_no_credentials() -> None:
    _, cluster = filled("a", "b", "c")

    told = json.dumps(run(cluster).as_json())

    assert json.loads(told)["documents"]["c"] == {"before": 1, "after": 3}
    assert "fake-secret" not in told


def test_an_error_in_our_own_code_is_not_taken_for_a_nodes() -> None:
    couch, cluster = filled("a", "b")

    def defect(request: Request) -> None:
        if request.path == REPLICATE:
            raise ZeroDivisionError

    couch.on_request = defect

    with pytest.raises(ZeroDivisionError):
        run(cluster)
