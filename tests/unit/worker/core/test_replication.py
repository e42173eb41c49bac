from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from tests.builders import node
from worker.core.model import Credentials, Link, Node, PullStats
from worker.core.replication import (
    database_url,
    link_document,
    pull_body,
    pull_stats,
    repair_url,
    selective_body,
    shape,
)

A, B = node("a"), node("b")


def session(read: int, written: int, failures: int = 0) -> dict[str, Any]:
    return {"docs_read": read, "docs_written": written, "doc_write_failures": failures, "recorded_seq": "1-x"}


def test_credentials_are_in_auth_and_never_in_a_url() -> None:
    body = pull_body("pdfs", A, B, tuned=True)

    for side in ("source", "target"):
        assert "@" not in body[side]["url"]
        assert body[side]["auth"]["basic"] == {"username": "admin", "password": "fake-secret-1"}


def test_peers_are_named_as_peers_reach_them_with_what_they_may_use() -> None:
    source = Node("a", "http://127.0.0.1:1", "http://couch-a:5984", Credentials("us", "1"), Credentials("peer", "2"))

    side = pull_body("a/b+c", source, B, tuned=True)["source"]

    assert side == {
        "url": "http://couch-a:5984/a%2Fb%2Bc",
        "auth": {"basic": {"username": "peer", "password": "2"}},
    }


def test_the_same_pull_has_the_same_body_so_that_it_can_be_joined() -> None:
    assert pull_body("pdfs", A, B, tuned=True) == pull_body("pdfs", A, B, tuned=True)
    assert "nodelay" in pull_body("pdfs", A, B, tuned=True)["socket_options"]
    assert "socket_options" not in pull_body("pdfs", A, B, tuned=False)


def test_a_name_cannot_leave_its_place_in_a_url() -> None:
    assert database_url(A, "a/../_users").endswith("/a%2F..%2F_users")


def test_a_links_document_is_recognised_whatever_couchdb_added() -> None:
    wanted = link_document(Link("pdfs", "a", "b"), A, B)

    assert wanted["_id"] == "nbr:a:b:pdfs"
    assert wanted["continuous"] is True
    known = shape(wanted, "pdfs")
    assert shape({**wanted, "_rev": "1-x", "owner": "admin", "_replication_state": "triggered"}, "pdfs") == known
    for field in ("source", "target", "continuous", "socket_options"):
        assert shape({**wanted, field: "something else"}, "pdfs") != known
        assert shape({key: value for key, value in wanted.items() if key != field}, "pdfs") != known
    assert shape({**wanted, "filter": "somebody/elses"}, "pdfs") != known


def test_documents_of_one_pair_and_rule_have_one_shape_whatever_the_database() -> None:
    """So a hundred thousand links are compared with one that was worked out."""
    names = ("pdfs", "a/b+c", "x")
    told = {shape(link_document(Link(name, "a", "b"), A, B), name) for name in names}
    narrow = {shape(link_document(Link(name, "a", "b"), A, B, selector={"type": "x"}), name) for name in names}
    back = {shape(link_document(Link(name, "b", "a"), B, A), name) for name in names}

    assert [len(told), len(narrow), len(back)] == [1, 1, 1]
    assert len(told | narrow | back) == 3


def test_a_link_to_another_database_of_the_same_name_ending_is_not_as_wanted() -> None:
    wanted = link_document(Link("pdfs", "a", "b"), A, B)
    other = link_document(Link("old-pdfs", "a", "b"), A, B)

    assert shape({**wanted, "source": other["source"]}, "pdfs") != shape(wanted, "pdfs")


def test_new_credentials_are_another_shape_that_does_not_show_them() -> None:
    changed = Node("a", A.url, A.peer_url, A.credentials, Credentials("peer", "new-secret"))
    told = shape(link_document(Link("pdfs", "a", "b"), changed, B), "pdfs")

    assert told != shape(link_document(Link("pdfs", "a", "b"), A, B), "pdfs")
    assert "new-secret" not in told


def test_a_selector_is_part_of_a_pull_and_of_a_link() -> None:
    selector = {"type": "invoice"}

    assert pull_body("pdfs", A, B, tuned=True, selector=selector)["selector"] == selector
    assert link_document(Link("pdfs", "a", "b"), A, B, selector=selector)["selector"] == selector
    assert "selector" not in pull_body("pdfs", A, B, tuned=True)


@pytest.mark.parametrize(
    ("history", "wanted"),
    [
        ([session(5, 5)], (5, 5, 0, 0)),
        ([session(7, 6, 1), session(5, 5)], (2, 1, 1, 1)),
        # refused long ago: not by this call, but not forgotten
        ([session(7, 6, 1), session(7, 6, 1), session(5, 5)], (0, 0, 0, 1)),
        ([session(7, 6, 1), session(5, 5), session(1, 1)], (2, 1, 1, 1)),
        # counters that began anew (the server forgot): they are this session's own
        ([session(2, 2), session(9, 9)], (2, 2, 0, 0)),
    ],
)
def test_figures_are_this_sessions_share(history: list[dict[str, Any]], wanted: tuple[int, int, int, int]) -> None:
    answer = {"ok": True, "source_last_seq": "9-x", "history": history}

    assert pull_stats(answer, joined=False) == PullStats("9-x", *wanted)


def test_no_changes_counts_only_where_an_earlier_call_of_ours_was_joined() -> None:
    answer = {"ok": True, "no_changes": True, "source_last_seq": "9-x", "history": [session(5, 5)]}

    assert pull_stats(answer, joined=False) == PullStats("9-x", 0, 0, 0)
    assert pull_stats(answer, joined=True) == PullStats("9-x", 5, 5, 0)


def test_an_empty_source_has_no_checkpoint_yet() -> None:
    assert pull_stats({"ok": True, "no_changes": True}, joined=True) == PullStats("0", 0, 0, 0)


def test_a_standins_own_figures_stand_at_the_top() -> None:
    answer = {"ok": True, "docs_read": 3, "docs_written": 2, "doc_write_failures": 1, "last_seq": 12}

    assert pull_stats(answer, joined=False) == PullStats("12", 3, 2, 1)


def test_named_documents_are_pulled_without_checkpoints_and_under_a_spelling_of_their_own() -> None:
    body = selective_body("pdfs", A, B, ["one", "two"], tuned=True)

    assert (body["doc_ids"], body["use_checkpoints"]) == (["one", "two"], False)
    assert body["source"]["url"] == repair_url(A, "pdfs") == "http://a.test:5984/%70dfs"
    assert body["source"]["auth"]["basic"]["username"] == "admin"
    assert body["target"] == pull_body("pdfs", A, B, tuned=True)["target"]
    assert unquote(urlsplit(repair_url(A, "a/b+c")).path) == "/a/b+c"
    assert body == selective_body("pdfs", A, B, ["one", "two"], tuned=True)
