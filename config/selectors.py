"""Mango selectors, checked before CouchDB sees them.

CouchDB looks at a selector only when a replication starts, and then tells of the first mistake without its place;
of `$type: strng` it never tells at all, and replicates nothing. Operators and their operands
are those of `norm_ops` in mango_selector.erl (CouchDB 3.5), documented under
https://docs.couchdb.org/en/stable/ddocs/mango.html#selectors . `$text` is missing on purpose: it needs an index.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from config.marked import Problems, fields, json_value, nearest

TYPES = ("null", "boolean", "number", "string", "array", "object")
# Mistakes that CouchDB's PCRE calls mistakes as well; about others the two dialects differ, and CouchDB decides
_REGEX_MISTAKES = (
    "missing )",
    "unbalanced parenthesis",
    "unterminated character set",
    "bad escape (end of pattern)",
    "nothing to repeat",
    "multiple repeat",
)
Operand = Callable[[str, yaml.Node, Problems, bool], Any]


def read_selector(node: yaml.Node, problems: Problems) -> dict[str, Any] | None:
    """The selector as JSON; what is wrong with it goes to `problems`."""
    if not isinstance(node, yaml.MappingNode):
        problems.add(node, 'a selector must be a mapping, such as {"type": "note"}')
        return None
    if not node.value:
        problems.add(node, "an empty selector would select everything: name a field, or leave the selector out")
    return _conditions(node, problems, named=False)


def selector_errors(selector: dict[str, Any]) -> list[str]:
    """What is wrong with a selector that came as JSON, which is YAML as well."""
    problems = Problems(Path("selector"))
    try:
        node = yaml.compose(json.dumps(selector), Loader=yaml.SafeLoader)
    except yaml.YAMLError:  # all that YAML does not take of JSON
        return ["has a field whose name is too long: at most 1,000 characters"]
    assert node is not None  # noqa: S101 - an object is never an empty document
    read_selector(node, problems)
    return problems.words


def _conditions(node: yaml.MappingNode, problems: Problems, *, named: bool) -> dict[str, Any]:
    """`named`: a field has been named on the way here, so that an operator has something to look at."""
    said: dict[str, Any] = {}
    for name, (key, value) in fields(node, problems).items():
        if name.startswith("$"):
            said[name] = _operator(name, key, value, problems, named)
            continue
        if not name:
            problems.add(key, "a field needs a name: Mango cannot ask for an empty one")
        # an object's members are conditions of their own; an empty object is compared as it is
        if isinstance(value, yaml.MappingNode) and value.value:
            said[name] = _conditions(value, problems, named=True)
        else:
            said[name] = json_value(value, problems)
    return said


def _operator(name: str, key: yaml.Node, value: yaml.Node, problems: Problems, named: bool) -> Any:
    if name not in OPERATORS:
        problems.add(key, f"{name} is no Mango operator{nearest(name, OPERATORS)} (a field of that name: \\{name})")
        return None
    if not named and name not in COMBINING:
        problems.add(key, f'{name} stands without a field: write {{"field": {{"{name}": …}}}}')
    return OPERATORS[name](name, value, problems, named)


def _selector(name: str, node: yaml.Node, problems: Problems, named: bool) -> Any:
    if isinstance(node, yaml.MappingNode) and node.value:
        return _conditions(node, problems, named=named)
    problems.add(node, f"{name} takes a selector, such as {{…}}, with something in it")
    return None


def _element(name: str, node: yaml.Node, problems: Problems, named: bool) -> Any:
    """A selector for each member of a field: the member itself is what its operators look at."""
    return _selector(name, node, problems, True)


def _selectors(name: str, node: yaml.Node, problems: Problems, named: bool) -> Any:
    if isinstance(node, yaml.SequenceNode) and node.value:
        return [_selector(name, item, problems, named) for item in node.value]
    problems.add(node, f"{name} takes a list of selectors, such as [{{…}}, {{…}}], with something in it")
    return None


def _json(name: str, node: yaml.Node, problems: Problems, named: bool) -> Any:
    return json_value(node, problems)


def _checked(fits: Callable[[Any], bool], wanted: str, name: str, node: yaml.Node, problems: Problems, _: bool) -> Any:
    value = json_value(node, problems)
    if not fits(value):
        problems.add(node, f"{name} takes {wanted}")
    return value


def _type(name: str, node: yaml.Node, problems: Problems, named: bool) -> Any:
    value = json_value(node, problems) if isinstance(node, yaml.ScalarNode) else None
    if value not in TYPES:
        hint = nearest(value, TYPES) if isinstance(value, str) else ""
        problems.add(node, f"{name} takes one of {', '.join(TYPES)}, in quotes{hint}")
    return value


def _regex(name: str, node: yaml.Node, problems: Problems, named: bool) -> Any:
    value = json_value(node, problems)
    if not isinstance(value, str):
        problems.add(node, f"{name} takes a regular expression as a string")
    elif mistake := _mistake(value):
        problems.add(node, f"{name} {value!r} is no regular expression: {mistake}")
    return value


def _mistake(pattern: str) -> str | None:
    try:
        with warnings.catch_warnings():  # PCRE's [[:alpha:]] makes Python wonder aloud
            warnings.simplefilter("ignore")
            re.compile(pattern)
    except re.error as error:
        if error.msg.startswith(_REGEX_MISTAKES):
            return str(error)
    return None


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_division(value: Any) -> bool:
    # CouchDB takes a divisor of 0, and fails on the first document with a number there
    return isinstance(value, list) and len(value) == 2 and all(map(_is_integer, value)) and value[0] != 0


_list = partial(_checked, lambda value: isinstance(value, list), "a list, such as [1, 2]")
OPERATORS: dict[str, Operand] = {
    "$and": _selectors,
    "$or": _selectors,
    "$nor": _selectors,
    "$not": _selector,
    "$all": _list,
    "$elemMatch": _element,
    "$allMatch": _element,
    "$keyMapMatch": _element,
    "$lt": _json,
    "$lte": _json,
    "$eq": _json,
    "$ne": _json,
    "$gte": _json,
    "$gt": _json,
    "$exists": partial(_checked, lambda value: isinstance(value, bool), "true or false"),
    "$type": _type,
    "$in": _list,
    "$nin": _list,
    "$size": partial(_checked, lambda value: _is_integer(value) and value >= 0, "a whole number, 0 or more"),
    "$mod": partial(_checked, _is_division, "[divisor, remainder], both whole numbers, the divisor not 0"),
    "$regex": _regex,
    "$beginsWith": partial(_checked, lambda value: isinstance(value, str), "a string"),
}
COMBINING = frozenset({"$and", "$or", "$nor", "$not"})
