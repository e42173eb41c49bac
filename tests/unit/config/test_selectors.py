"""Mango selectors: CouchDB's operators with their operands, and nothing that is no JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from config.marked import Problems
from config.selectors import COMBINING, OPERATORS, read_selector


def check(text: str) -> tuple[Any, list[str]]:
    """The selector in YAML or JSON -> what is read, and what is wrong with it."""
    problems = Problems(Path("f"))
    found = read_selector(yaml.compose(text, Loader=yaml.SafeLoader), problems)
    try:
        problems.refuse_any()
    except ValueError as refused:
        return found, [told.removeprefix("f:") for told in str(refused).splitlines()]
    return found, []


def wrong(text: str) -> str:
    (told,) = check(text)[1]
    return told


# --- what CouchDB takes, is taken as it is

GOOD: list[dict[str, Any]] = [
    {"type": "note"},
    {"type": "note", "n": {"$gt": 1, "$lte": 2.5}},
    {"imdb": {"rating": 8}},
    {"imdb.rating": {"$ne": None}},
    {"\\$price": {"$exists": False}},
    {"a": {}},
    {"a": []},
    {"a": {"$eq": {"$not": "an operator here"}}},
    {"$and": [{"a": 1}, {"$or": [{"b": 2}, {"c": {"$in": [1, "x", None]}}]}]},
    {"$nor": [{"year": 1901}], "b": {"$nin": []}},
    {"$not": {"year": {"$gte": 1900}}},
    {"year": {"$not": {"$eq": 1}}},
    {"year": {"$and": [{"$gte": 1900}, {"$lt": 2000}]}},
    {"genre": {"$all": ["Comedy", "Short"]}},
    {"genre": {"$elemMatch": {"$eq": "Horror"}}},
    {"genre": {"$allMatch": {"name": {"$regex": "^H"}}}},
    {"cameras": {"$keyMapMatch": {"$eq": "secondary"}}},
    {"a": {"$type": "object"}},
    {"a": {"$size": 0}},
    {"a": {"$mod": [-4, 1]}},
    {"a": {"$regex": "(?i)^[[:alpha:]]+\\p{L}(?|x|y)(?<n>a)$"}},
    {"a": {"$beginsWith": "ü"}},
]


@pytest.mark.parametrize("selector", GOOD, ids=json.dumps)
def test_couchdbs_own_examples_are_taken(selector: dict[str, Any]) -> None:
    assert check(json.dumps(selector)) == (selector, [])
    assert check(yaml.safe_dump(selector)) == (selector, [])


def test_there_is_an_example_of_every_operator() -> None:
    shown = json.dumps(GOOD)
    assert all(f'"{name}"' in shown for name in OPERATORS)


# --- operators and their operands


@pytest.mark.parametrize("name", ["$eql", "$AND", "$where", "$text", "$default", "$"])
def test_an_unknown_operator_is_refused(name: str) -> None:
    told = wrong(f"a: {{{name}: 1}}")
    assert told.startswith(f"1:5: {name} is no Mango operator")


def test_the_nearest_operator_is_named() -> None:
    assert "did you mean $elemMatch?" in wrong("a: {$elemmatch: {b: 1}}")


@pytest.mark.parametrize(
    ("operand", "says"),
    [
        ("$and: {a: 1}", "a list of selectors"),
        ("$or: []", "with something in it"),
        ("$nor: [1]", "$nor takes a selector"),
        ("$not: 1", "takes a selector"),
        ("$not: {}", "with something in it"),
        ("$elemMatch: [1]", "takes a selector"),
        ("$allMatch: x", "takes a selector"),
        ("$keyMapMatch: x", "takes a selector"),
        ("$exists: 1", "true or false"),
        ("$exists: 'true'", "true or false"),
        ("$type: int", "null, boolean, number"),
        ("$type: strng", "did you mean string?"),
        ("$type: null", "in quotes"),
        ("$type: [string]", "takes one of"),
        ("$in: 1", "a list"),
        ("$nin: {a: 1}", "a list"),
        ("$all: x", "a list"),
        ("$size: -1", "0 or more"),
        ("$size: 1.0", "whole number"),
        ("$size: true", "whole number"),
        ("$mod: 2", "[divisor, remainder]"),
        ("$mod: [2]", "[divisor, remainder]"),
        ("$mod: [0, 1]", "divisor not 0"),
        ("$mod: [true, 1]", "whole numbers"),
        ("$regex: 1", "as a string"),
        ("$regex: '*.pdf'", "nothing to repeat"),
        ("$regex: 'a{2}{3}'", "multiple repeat"),
        ("$regex: '(a'", "missing )"),
        ("$regex: 'a)'", "unbalanced"),
        ("$regex: '[a'", "unterminated"),
        ("$beginsWith: [a]", "a string"),
    ],
)
def test_an_operand_of_another_kind_is_refused(operand: str, says: str) -> None:
    told = wrong(f"a:\n  {operand}\n")
    assert told.startswith("2:")
    assert says in told


@pytest.mark.parametrize("name", sorted(OPERATORS.keys() - COMBINING))
def test_an_operator_needs_a_field_to_look_at(name: str) -> None:
    operand = {"$exists": "true", "$type": "string", "$size": "1", "$mod": "[2, 1]"}.get(name, "{a: 1}")
    operand = {"$all": "[1]", "$in": "[1]", "$nin": "[1]", "$regex": "a", "$beginsWith": "a"}.get(name, operand)
    for text in (f"{name}: {operand}", f"$and: [{{$not: {{{name}: {operand}}}}}]"):
        assert "stands without a field" in wrong(text)
    assert check(f"$and: [{{a: {{$not: {{{name}: {operand}}}}}}}]")[1] == []


def test_a_field_has_a_name() -> None:
    assert "needs a name" in wrong('"": 1')


# --- only JSON


DATES = ["2026-01-31", "2026-01-31T10:00:00Z"]
NUMBERS = ["010", "0x1F", "1_000", "1:30", ".5", "1.", "+1", ".inf", ".nan", "NaN", "-Infinity", "1e999"]


@pytest.mark.parametrize("value", ["on", "No", "YES", "True", *NUMBERS, *DATES, "!!binary aGk=", "!!x:y z", "!mine x"])
def test_what_yaml_makes_of_a_value_is_not_guessed(value: str) -> None:
    told = wrong(f"a: {value}")
    assert told.startswith("1:4: ")
    assert "quotes" in told


@pytest.mark.parametrize("value", ["on", "010", "1:30", "NaN", "2026-01-31", "1e3", "null", ""])
def test_in_quotes_everything_is_text(value: str) -> None:
    assert check(f"a: '{value}'") == ({"a": value}, [])


@pytest.mark.parametrize(
    ("written", "value"), [("1e3", 1000.0), ("-0", 0), ("1.5E-2", 0.015), ("~", None), ("", None), ("x y", "x y")]
)
def test_plain_values_are_those_of_json(written: str, value: object) -> None:
    assert check(f"a: {written}") == ({"a": value}, [])


@pytest.mark.parametrize("text", ["a: !!set {b, c}", "a: {$in: !!omap [b: 1]}"])
def test_yamls_other_collections_are_refused(text: str) -> None:
    assert "has no meaning here" in check(text)[1][0]


def test_equal_keys_are_refused_wherever_they_are() -> None:
    assert wrong("a:\n  b: [{c: 1, c: 2}]").startswith("2:14: 'c' is here a second time; the first is in line 2")


def test_a_mistake_behind_an_anchor_is_told_once() -> None:
    assert wrong("$or: [&x {a: on}, *x]").startswith("1:14: ")


# YAML knows no surrogate pairs, with which JSON may write the signs beyond
texts = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]), max_size=9)
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(json_values)
def test_json_is_read_as_json(value: Any) -> None:
    assert check(json.dumps({"a": {"$eq": value}})) == ({"a": {"$eq": value}}, [])
