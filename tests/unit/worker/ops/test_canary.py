"""What a canary says where it does not arrive, and what it leaves alone. Arrivals themselves are in tests/contract."""

from __future__ import annotations

import dataclasses
from itertools import permutations

import pytest

from tests.builders import Listener, fake_cluster
from tests.fakes.couchdb import FakeCouch, Request
from worker.core.errors import Cancelled, DiskFull, ReplicationError
from worker.core.failures import failure_of
from worker.core.health import Failure
from worker.core.names import OWN_DATABASE
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.ops import canary
from worker.ops.canary import Arrival, measure
from worker.ops.own import ensure_own_database

SOON = 0.25  # seconds, for what never comes
LATE = 30.0  # for what has to come before


def nodes(*names: str) -> tuple[FakeCouch, Cluster]:
    couch, cluster = fake_cluster(*names)
    for server in cluster.servers.values():
        ensure_own_database(server)
    couch.requests.clear()
    return couch, cluster


def run(cluster: Cluster, deadline: float) -> dict[tuple[str, str], Arrival]:
    found = measure(cluster, cluster.names, Listener(), deadline)
    assert [(one.source, one.target) for one in found] == list(permutations(cluster.names, 2))
    return {(one.source, one.target): one for one in found}


def carry(couch: FakeCouch, source: str, target: str) -> None:
    """The canary of `source`, as it is there now, to `target`; nothing where there is none yet."""
    with couch.lock:
        held = couch[source].databases[OWN_DATABASE]
        found = held.documents.get(f"canary:{source}")
        if found and not found.revisions[found.leaves()[0]].deleted:
            document = held.read(f"canary:{source}", None, attachments=False, revs=True)
            couch[target].databases[OWN_DATABASE].write_replicated(document)


def carry_before_looks(couch: FakeCouch, *ways: tuple[str, str]) -> None:
    """Just before a node is asked for its documents, those of these ways get there."""

    def look(request: Request) -> None:
        for source, target in ways:
            if request.node == target and request.path[1:] == ("_all_docs",):
                carry(couch, source, target)

    couch.on_request = look


def writes(couch: FakeCouch) -> list[Request]:
    return [request for request in couch.requests if request.method == "PUT"]


def looks(couch: FakeCouch, node: str) -> list[Request]:
    return [one for one in couch.requests if one.node == node and one.path[1:] == ("_all_docs",)]


# --- what arrives and what does not


def test_what_is_carried_arrives_and_what_is_not_is_overdue() -> None:
    couch, cluster = nodes("a", "b")
    carry_before_looks(couch, ("a", "b"))

    found = run(cluster, SOON)

    there, back = found["a", "b"], found["b", "a"]
    assert there.seconds is not None
    assert (there.overdue, there.error) == (None, None)
    assert (back.seconds, back.precision, back.error) == (None, None, None)
    assert back.overdue is not None
    assert 0 < back.overdue <= SOON


def test_it_ends_when_all_has_arrived() -> None:
    couch, cluster = nodes("a", "b", "c")
    carry_before_looks(couch, *permutations("abc", 2))

    found = run(cluster, LATE)

    assert all(arrival.seconds is not None for arrival in found.values())
    assert len(writes(couch)) == 3


def test_a_look_asks_for_all_that_is_missing_there_and_only_for_that() -> None:
    couch, cluster = nodes("a", "b", "c")
    carry_before_looks(couch, ("a", "b"), ("b", "a"), ("a", "c"), ("b", "c"), ("c", "a"))

    run(cluster, SOON)

    assert looks(couch, "b")[-1].body["keys"] == ["canary:c"]
    assert len(looks(couch, "b")) < 12, "the pauses grow"


def test_a_mark_that_was_seen_late_says_how_late_at_most() -> None:
    couch, cluster = nodes("a", "b")
    asked: list[Request] = []

    def third_time(request: Request) -> None:
        if request.body == {"keys": ["canary:b"]}:
            carry(couch, "b", "a")
        elif request.node == "b" and request.body == {"keys": ["canary:a"]}:
            asked.append(request)
            if len(asked) >= 3:
                carry(couch, "a", "b")

    couch.on_request = third_time

    arrival = run(cluster, LATE)["a", "b"]

    assert arrival.seconds is not None
    assert arrival.precision is not None
    assert arrival.seconds > arrival.precision > canary.FIRST_PAUSE


def test_a_node_alone_has_nobody_to_wait_for() -> None:
    _, cluster = nodes("a")
    assert measure(cluster, ["a"], Listener(), LATE) == []
    assert measure(cluster, [], Listener(), LATE) == []


# --- others who write


def test_a_conflict_is_written_again() -> None:
    couch, cluster = nodes("a", "b")
    carry_before_looks(couch, ("a", "b"), ("b", "a"))
    look, faster = couch.on_request, iter(["somebody was faster"])

    def write_first(request: Request) -> None:
        look(request)
        if request.node == "a" and request.method == "PUT" and next(faster, None):
            Database(cluster["a"], OWN_DATABASE).put({"_id": "canary:a", "marks": ["another"]})

    couch.on_request = write_first

    assert run(cluster, LATE)["a", "b"].seconds is not None
    held = Database(cluster["a"], OWN_DATABASE).get("canary:a")
    assert held is not None
    assert held["marks"][1:] == ["another"], "whoever waits for it still finds it"


def test_a_document_that_changes_all_the_time_is_given_up() -> None:
    couch, cluster = nodes("a", "b")
    couch["a"].fail("409", path="canary:a")

    found = run(cluster, SOON)

    assert found["a", "b"].error == "a: conflict: HTTP 409: Document update conflict."
    assert len([one for one in writes(couch) if one.node == "a"]) == canary.TRIES
    assert found["b", "a"].overdue is not None


def test_a_mark_that_was_overwritten_before_it_was_seen_has_arrived_all_the_same() -> None:
    """Two who measure at once."""
    couch, cluster = nodes("a", "b")
    carry_before_looks(couch, ("a", "b"), ("b", "a"))
    look = couch.on_request

    def overwrite(request: Request) -> None:
        with couch.lock:
            held = couch["a"].databases[OWN_DATABASE]
            if request.node == "b" and request.path[1:] == ("_all_docs",) and "canary:a" in held.documents:
                document = held.read("canary:a", None, attachments=False)
                held.write({**document, "marks": ["newer", *document["marks"]][: canary.KEPT]})
        look(request)

    couch.on_request = overwrite

    assert run(cluster, LATE)["a", "b"].seconds is not None


@pytest.mark.parametrize("marks", [None, "text", {"a": 1}, [1, None]])
def test_what_somebody_made_of_the_document_does_no_harm(marks: object) -> None:
    couch, cluster = nodes("a", "b")
    Database(cluster["a"], OWN_DATABASE).put({"_id": "canary:a", "marks": marks})
    carry_before_looks(couch, ("a", "b"), ("b", "a"))

    assert run(cluster, LATE)["a", "b"].seconds is not None


def test_a_deleted_document_is_written_anew() -> None:
    couch, cluster = nodes("a", "b")
    database = Database(cluster["a"], OWN_DATABASE)
    database.delete("canary:a", database.put({"_id": "canary:a"}))
    carry_before_looks(couch, ("a", "b"), ("b", "a"))

    assert run(cluster, LATE)["a", "b"].seconds is not None


# --- nodes that fail


@pytest.mark.parametrize("how", ["refused", "timeout", "500", "html", "401"])
def test_a_node_that_fails_is_named_and_the_others_are_measured(how: str) -> None:
    couch, cluster = nodes("a", "b", "c")
    carry_before_looks(couch, *permutations("ac", 2))
    couch["b"].fail(how)

    found = run(cluster, SOON)

    assert all(found[pair].seconds is not None for pair in [("a", "c"), ("c", "a")])
    for pair in permutations("abc", 2):
        if "b" in pair:
            assert (found[pair].seconds, found[pair].overdue) == (None, None)
            assert (found[pair].error or "").startswith("b: ")


def test_a_node_lost_after_its_write_is_a_source_and_no_target() -> None:
    couch, cluster = nodes("a", "b")

    def lose(request: Request) -> None:
        if request.node == "a" and request.body == {"keys": ["canary:b"]}:
            couch["a"].fail("refused")
        elif request.node == "b" and request.body == {"keys": ["canary:a"]}:
            carry(couch, "a", "b")

    couch.on_request = lose

    found = run(cluster, SOON)

    assert found["a", "b"].seconds is not None
    assert found["b", "a"] == Arrival("b", "a", error="a: unreachable: connection refused")


def test_a_node_that_comes_back_in_time_is_asked_again() -> None:
    couch, cluster = nodes("a", "b")
    carry_before_looks(couch, ("a", "b"), ("b", "a"))
    look = couch.on_request

    def stumble(request: Request) -> None:
        look(request)
        if request.body == {"keys": ["canary:b"]} and len(looks(couch, "a")) == 2:
            couch["a"].fail("500", times=1)

    couch.on_request = stumble

    assert run(cluster, LATE)["b", "a"].seconds is not None


def test_a_refused_password_is_not_tried_again() -> None:
    couch, cluster = nodes("a", "b")
    for server in cluster.servers.values():
        server.capabilities()
    couch["a"].password = "changed meanwhile"
    couch.requests.clear()

    found = run(cluster, SOON)
    again = run(cluster, SOON)

    assert len([request for request in couch.requests if request.node == "a"]) == 2, "one as before, one to be sure"
    assert all((one["a", "b"].error or "").startswith("a: unauthorized") for one in (found, again))


def test_no_database_is_made() -> None:
    couch, cluster = fake_cluster("a", "b")

    found = run(cluster, SOON)

    assert all("not-found" in (arrival.error or "") for arrival in found.values())
    assert OWN_DATABASE not in couch["a"].databases


# --- orders


def test_an_order_to_stop_is_heard_while_waiting() -> None:
    _, cluster = nodes("a", "b")
    listener = Listener(lambda listener: Cancelled() if listener.told else None)

    with pytest.raises(Cancelled):
        measure(cluster, cluster.names, listener, LATE)


def test_a_defect_of_ours_is_not_taken_for_a_nodes() -> None:
    couch, cluster = nodes("a", "b")

    def defect(request: Request) -> None:
        if request.method == "PUT":
            raise ZeroDivisionError

    couch.on_request = defect

    with pytest.raises(ZeroDivisionError):
        measure(cluster, cluster.names, Listener(), LATE)


def test_arrivals_are_plain_values() -> None:
    assert dataclasses.asdict(Arrival("a", "b", 1.0, 0.1)) == {
        "source": "a",
        "target": "b",
        "seconds": 1.0,
        "precision": 0.1,
        "overdue": None,
        "error": None,
    }


# --- whether a node takes writes


def writers(cluster: Cluster, deadline: float = SOON) -> dict[str, ReplicationError | None]:
    told: dict[str, ReplicationError | None] = {}
    measure(cluster, cluster.names, Listener(), deadline, wrote=told.__setitem__)
    return told


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canary, "CRASH_PAUSE", 0.01)


def test_each_node_is_told_to_have_taken_its_write() -> None:
    couch, cluster = nodes("a", "b")
    carry_before_looks(couch, ("a", "b"), ("b", "a"))

    assert writers(cluster, LATE) == {"a": None, "b": None}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("how", ["full-disk", "monitor"])
def test_a_full_disk_is_told_by_the_write_that_it_refuses(how: str) -> None:
    couch, cluster = nodes("a", "b")
    couch["b"].fail(how, path="canary:b")

    told = writers(cluster)

    assert told["a"] is None
    assert isinstance(told["b"], DiskFull)
    assert failure_of(told["b"]) is Failure.DISK


@pytest.mark.usefixtures("impatient")
def test_a_writer_that_crashes_once_is_no_full_disk() -> None:
    couch, cluster = nodes("a", "b")
    couch["b"].fail("full-disk", path="canary:b", times=1)

    assert writers(cluster) == {"a": None, "b": None}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("how", "path", "failure"),
    [
        ("500", "canary:b", Failure.SERVER_FAULT),
        ("full-disk", "_all_docs", Failure.SERVER_FAULT),  # it cannot read either
        ("refused", None, Failure.REFUSED),
        ("403", "canary:b", Failure.FORBIDDEN),
    ],
)
def test_other_failures_are_told_as_what_they_are(how: str, path: str | None, failure: Failure) -> None:
    couch, cluster = nodes("a", "b")
    couch["b"].fail(how, path=path)

    error = writers(cluster)["b"]

    assert error is not None
    assert failure_of(error) is failure
