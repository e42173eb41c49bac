"""Which rule a database goes by, and whether it is replicated at all."""

from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.names import selected
from worker.core.rules import Direction, Mode, Rule, Rules
from worker.core.topology import Topology

names = st.from_regex(r"[a-c][a-c/_-]{0,4}", fullmatch=True)
globs = st.text("abc-/*?[]!", min_size=1, max_size=5)


def of(*given: tuple[str, ...]) -> Rules:
    """A rule for each tuple of globs."""
    return Rules(tuple(Rule(one) for one in given))


def test_a_rule_that_says_nothing_is_for_all_and_as_always() -> None:
    rule = Rule()
    assert (rule.topology, rule.direction, rule.mode, rule.selector) == (
        Topology.MESH,
        Direction.BOTH,
        Mode.AUTO,
        None,
    )
    assert rule.matches("anything/at-all")


def test_the_words_are_those_of_the_file() -> None:
    assert [str(one) for one in Direction] == ["both", "one-way"]
    assert [str(one) for one in Mode] == ["auto", "continuous", "on-change", "off"]


def test_the_first_rule_that_matches_counts() -> None:
    rules = of(("pdfs", "maps"), ("pdf*",), ("*",))
    assert [rules.of(name) for name in ("maps", "pdfs", "pdf-old", "notes")] == [
        rules.rules[0],
        rules.rules[0],
        rules.rules[1],
        rules.rules[2],
    ]


def test_what_no_rule_matches_goes_by_the_default() -> None:
    default = Rule(topology=Topology.STAR)
    rules = Rules((Rule(("pdfs",)),), default=default)
    assert rules.of("notes") is default
    assert Rules().of("notes") == Rule()


def test_a_rule_without_globs_matches_nothing() -> None:
    assert not Rule(()).matches("")
    assert not Rule(()).matches("a")


@pytest.mark.parametrize("glob", ["*", "?users", "[_]users", "*users"])
def test_a_rule_for_all_is_not_meant_for_users(glob: str) -> None:
    rules = Rules((Rule((glob, "a"), selector={"type": "note"}), Rule(("b", "_users"), mode=Mode.CONTINUOUS)))
    assert rules.of("_users").mode is Mode.CONTINUOUS
    assert rules.of("a").selector is not None


@given(st.lists(st.lists(globs, max_size=3).map(tuple), max_size=4), names)
def test_globs_are_those_of_fnmatch(written: list[tuple[str, ...]], name: str) -> None:
    rules = of(*written)
    wanted = next((rule for rule in rules.rules if any(fnmatch.fnmatchcase(name, g) for g in rule.databases)), None)
    assert rules.of(name) is (wanted or rules.default)


@given(st.lists(globs, max_size=3).map(tuple), st.lists(globs, max_size=3).map(tuple), names)
def test_include_and_exclude_select_where_no_rule_says_off(
    include: tuple[str, ...], exclude: tuple[str, ...], name: str
) -> None:
    rules = Rules((Rule(("a*",), mode=Mode.OFF),), include, exclude)
    assert rules.selected(name) == (selected(name, include, exclude) and not name.startswith("a"))


def test_a_rule_brings_no_database_in() -> None:
    assert not Rules((Rule(("pdfs",), mode=Mode.CONTINUOUS),), include=("notes",)).selected("pdfs")


def test_the_default_may_be_off() -> None:
    rules = Rules((Rule(("pdfs",)),), default=Rule(mode=Mode.OFF))
    assert rules.selected("pdfs")
    assert not rules.selected("notes")


@pytest.mark.parametrize("users", [True, False])
def test_users_are_replicated_where_that_is_asked_for(users: bool) -> None:
    rules = Rules((), include=(), exclude=("*",), users=users)
    assert rules.selected("_users") is users
    assert not rules.selected("_replicator")


def test_a_rule_for_users_can_turn_them_off() -> None:
    assert not Rules((Rule(("_users",), mode=Mode.OFF),), users=True).selected("_users")
    assert Rules((Rule(("*",), mode=Mode.OFF),), users=True).selected("_users")


def test_a_rule_with_a_selector_can_be_kept_in_a_set() -> None:
    assert len({Rule(selector={"a": [1]}), Rule(selector={"a": [1]}), Rule(selector={"a": [2]})}) == 2
