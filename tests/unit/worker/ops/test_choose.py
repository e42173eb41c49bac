"""Which databases a backup takes, and from where each can be read."""

from __future__ import annotations

import pytest

from tests import builders
from tests.fakes.couchdb import FakeCouch
from worker.core.errors import Cancelled, NotFound, Unauthorized, Unreachable
from worker.core.names import OWN_DATABASE, SCRATCH
from worker.core.selecting import backed_up
from worker.couch.cluster import Cluster
from worker.ops.backup.choose import databases
from worker.ops.control import Unattended

NODES = ("b", "a", "c")  # as they are preferred


@pytest.fixture
def site() -> tuple[FakeCouch, Cluster]:
    """pdfs and notes on all nodes but c, which has drafts alone."""
    couch, cluster = builders.fake_cluster("a", "b", "c")
    for name in ("a", "b"):
        couch[name].create("pdfs")
        couch[name].create("notes")
        couch[name].create(OWN_DATABASE)
    couch["a"].create(f"{SCRATCH}1")
    couch["c"].create("drafts")
    return couch, cluster


def chosen(cluster: Cluster, *globs: str, exclude: tuple[str, ...] = ()) -> dict[str, list[str]]:
    return databases(cluster, NODES, globs, exclude, Unattended()).databases


# which


@pytest.mark.parametrize(
    ("globs", "exclude", "taken"),
    [
        ("*", "", "drafts notes pdfs"),
        ("* _users", "", "_users drafts notes pdfs"),
        ("_*", "", "_users"),
        ("_users", "", "_users"),
        ("pdfs", "", "pdfs"),
        ("p* ?otes", "", "notes pdfs"),
        ("[dn]*", "", "drafts notes"),
        ("*", "p*", "drafts notes"),
        ("* _users", "*", "_users"),
        ("* _users", "_users", "drafts notes pdfs"),
        ("* _users", "_*", "drafts notes pdfs"),
        ("pdfs", "pdfs", ""),
        ("PDFS", "", ""),
        ("", "", ""),
    ],
)
def test_globs_choose(globs: str, exclude: str, taken: str) -> None:
    there = ["drafts", "notes", "pdfs", "_users", "_replicator", "_global_changes", OWN_DATABASE, f"{SCRATCH}9"]

    found = [name for name in there if backed_up(name, globs.split(), exclude.split())]

    assert sorted(found) == taken.split()


@pytest.mark.parametrize("name", ["_replicator", "_global_changes", OWN_DATABASE, f"{SCRATCH}1"])
def test_what_is_made_anew_by_whoever_uses_it_is_never_taken(name: str) -> None:
    assert not backed_up(name, ["*", "_*", name], [])


# from where


def test_each_is_read_from_the_nodes_that_have_it_in_their_order(site: tuple[FakeCouch, Cluster]) -> None:
    _, cluster = site

    assert chosen(cluster, "*") == {"drafts": ["c"], "notes": ["b", "a"], "pdfs": ["b", "a"]}
    assert chosen(cluster, "_users") == {"_users": ["b", "a", "c"]}


def test_a_node_that_does_not_answer_is_not_read_from(site: tuple[FakeCouch, Cluster]) -> None:
    couch, cluster = site
    couch["b"].fail("refused")

    assert chosen(cluster, "pdfs") == {"pdfs": ["a"]}


def test_where_no_node_answers_each_says_why(site: tuple[FakeCouch, Cluster]) -> None:
    couch, cluster = site
    couch["a"].fail("refused")
    couch["b"].fail("401")
    couch["c"].fail("refused")

    with pytest.raises(Unreachable, match=r"no node answers: b \(.*\), a \(.*connection refused\), c \("):
        chosen(cluster, "*")


def test_the_trouble_of_a_single_node_is_told_as_it_is(site: tuple[FakeCouch, Cluster]) -> None:
    couch, cluster = site
    couch["a"].fail("401")

    with pytest.raises(Unauthorized):
        databases(cluster, ["a"], ["*"], [], Unattended())


# names that lead nowhere


def test_a_name_that_no_node_has_is_told_with_the_nearest(site: tuple[FakeCouch, Cluster]) -> None:
    _, cluster = site

    with pytest.raises(NotFound, match=r"no node that answers has a database 'pdf'; did you mean pdfs\?") as missed:
        chosen(cluster, "notes", "pdf")
    assert missed.value.database == "pdf"
    with pytest.raises(NotFound, match=r"has a database 'something-else'$"):
        chosen(cluster, "something-else")


def test_globs_that_match_nothing_at_all_are_a_mistake_where_a_person_wrote_them(
    site: tuple[FakeCouch, Cluster],
) -> None:
    _, cluster = site

    with pytest.raises(NotFound, match=r"invoices-\*"):
        chosen(cluster, "invoices-*")
    assert databases(cluster, NODES, ["invoices-*", "gone"], [], Unattended(), asked=False).databases == {}
    assert chosen(cluster, "pdfs", "x?", "y[12]") == {"pdfs": ["b", "a"]}


def test_users_may_be_missing() -> None:
    """A stand-in has none, and the default asks for it."""
    couch, cluster = builders.fake_cluster("a", standin=True)
    couch["a"].create("pdfs")

    assert databases(cluster, ["a"], ["*", "_users"], [], Unattended()).databases == {"pdfs": ["a"]}


@pytest.mark.parametrize("name", ["_replicator", "_global_changes", OWN_DATABASE])
def test_who_asks_for_what_is_never_taken_is_told_so(site: tuple[FakeCouch, Cluster], name: str) -> None:
    _, cluster = site

    with pytest.raises(NotFound, match=f"{name} is never backed up"):
        chosen(cluster, name)


def test_orders_to_stop_are_obeyed(site: tuple[FakeCouch, Cluster]) -> None:
    couch, cluster = site
    couch["a"].hang()
    control = builders.Listener(stop_when=lambda _: Cancelled())

    with pytest.raises(Cancelled):
        databases(cluster, NODES, ["*"], [], control)
    couch["a"].heal()
