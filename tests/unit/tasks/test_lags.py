from __future__ import annotations

import pytest

from tasks.lags import node_lags, on_change

NODES = ["primary", "replica1"]
NO_LINKS = {"lag": {}}
PASS = {"changed": {"pdfs": NODES}, "lag": {"pdfs": {"primary": 3, "replica1": 0}}, "unseen": []}


@pytest.mark.parametrize("reconcile", [None, {}, {"modes": {"continuous": 4}}], ids=["never", "empty", "links alone"])
def test_nothing_travels_on_change(reconcile: dict[str, dict[str, int]] | None) -> None:
    assert on_change(reconcile) == 0


def test_before_the_first_pass_over_databases_nothing_is_known_of_them() -> None:
    passes = on_change({"modes": {"on-change": 2}})
    assert node_lags(NODES, NO_LINKS, None, passes=passes) == {"primary": None, "replica1": None}


def test_where_there_is_nothing_to_pass_over_the_links_tell_all() -> None:
    assert node_lags(NODES, {"lag": {"replica1": 4}}, None) == {"primary": 0, "replica1": 4}


def test_before_anything_is_known_nothing_is_told() -> None:
    assert node_lags(NODES, None, None, passes=2) == {}


def test_what_a_pass_has_found_counts_for_the_nodes_that_lack_it() -> None:
    assert node_lags(NODES, NO_LINKS, PASS, passes=1) == {"primary": 0, "replica1": 3}


def test_what_a_node_that_the_pass_did_not_see_has_all_others_may_lack() -> None:
    away = {**PASS, "unseen": ["replica2"]}
    assert node_lags([*NODES, "replica2"], NO_LINKS, away, passes=1) == dict.fromkeys([*NODES, "replica2"])
    assert node_lags([*NODES, "replica2"], {"lag": {"replica1": 1}}, {**away, "changed": {}}) == {
        "primary": 0,
        "replica1": 1,
        "replica2": None,
    }
