from __future__ import annotations

from worker.core.difference import all_leaves, behind, differing, standing, transfers

ONE, TWO, THREE = "1-aa", "2-bb", "3-cc"


def test_documents_that_differ_are_told_with_what_each_node_has() -> None:
    nodes = {
        "a": {"same": (ONE,), "newer": (TWO,), "only-a": (ONE,)},
        "b": {"same": (ONE,), "newer": (ONE,), "conflict": (ONE, TWO)},
        "c": {"same": (ONE,), "newer": (ONE,), "conflict": (ONE,)},
    }

    assert differing(nodes) == {
        "newer": {"a": (TWO,), "b": (ONE,), "c": (ONE,)},
        "only-a": {"a": (ONE,), "b": (), "c": ()},
        "conflict": {"a": (), "b": (ONE, TWO), "c": (ONE,)},
    }
    assert differing({"a": {}, "b": {}}) == {}
    assert all_leaves({"a": (TWO, ONE), "b": (), "c": (TWO, THREE)}) == [ONE, TWO, THREE]


def test_a_document_that_left_somebody_behind_stands() -> None:
    first = {"x": {"a": (TWO,), "b": (ONE,)}, "y": {"a": (ONE,), "b": ()}}

    assert behind({"a": {}, "b": {"x": [TWO]}, "c": {"x": [TWO]}}) == {"x"}
    assert standing(first, {"x"}, {}) == {"x": first["x"]}


def test_a_document_that_moved_on_and_took_everybody_with_it_is_in_step() -> None:
    first = {"x": {"a": (TWO,), "b": (ONE,)}}

    assert standing(first, set(), {"x": {"a": (THREE,), "b": (TWO,)}}) == {}


def test_a_difference_of_which_nobody_lacks_anything_stands_where_it_has_not_moved() -> None:
    first = {"x": {"a": (ONE, TWO), "b": (TWO,), "c": (TWO,)}}

    assert standing(first, set(), first) == first
    without_c = {"x": {"a": (ONE, TWO), "b": (TWO,)}}
    assert standing(first, set(), without_c) == without_c  # a node that dropped out is no movement


def test_each_leaf_is_sent_once_from_the_first_node_that_has_it() -> None:
    found = {
        "x": {"a": (ONE,), "b": (ONE,), "c": ()},
        "y": {"a": (ONE,), "b": (TWO,), "c": (THREE,)},
    }
    lacking = {"a": {"y": [TWO, THREE]}, "b": {"y": [ONE, THREE]}, "c": {"x": [ONE], "y": [ONE, TWO]}}

    assert transfers(found, lacking) == {
        ("b", "a"): ["y"],
        ("c", "a"): ["y"],
        ("a", "b"): ["y"],
        ("c", "b"): ["y"],
        ("a", "c"): ["x", "y"],
        ("b", "c"): ["y"],
    }


def test_an_ancestor_is_not_sent() -> None:
    """b lacks what a has, and a knows what b has."""
    assert transfers({"x": {"a": (TWO,), "b": (ONE,)}}, {"a": {}, "b": {"x": [TWO]}}) == {("a", "b"): ["x"]}
