"""YAML whose values still know their place: what a rules file is read with.

`yaml.safe_load` forgets lines, and of two equal keys it quietly takes the last. So what lies below it is read
(`yaml.compose`), which also builds no objects, whatever tags a file has. Scalars follow JSON, because a selector
is sent as JSON: YAML 1.1 would make a boolean of `on`, 8 of `010`, 90 of `1:30` and a date of `2026-01-31`.
Those are refused rather than guessed.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

_TAG = "tag:yaml.org,2002:"
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")  # RFC 8259, 6
_NO_NUMBER = frozenset({"NaN", "Infinity", "-Infinity"})  # text in YAML, but hardly meant so
_WORDS = {"true": True, "false": False}


class Problems:
    """All that is wrong with one file, so that it can be told at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: dict[tuple[int, int, str], None] = {}  # an alias leads to the same place twice

    def add(self, node: yaml.Node, words: str) -> None:
        self.add_at(node.start_mark, words)

    def add_at(self, mark: yaml.Mark, words: str) -> None:
        self._found[(mark.line + 1, mark.column + 1, words)] = None

    @property
    def words(self) -> list[str]:
        """All of them without their places, for what is no file."""
        return [words for _, _, words in sorted(self._found)]

    def refuse_any(self) -> None:
        """Raises ValueError with a line for each, in the order of the file, where there are any."""
        if self._found:
            told = [f"{self._path}:{line}:{column}: {words}" for line, column, words in sorted(self._found)]
            raise ValueError("\n".join(told))


def line(node: yaml.Node) -> int:
    return node.start_mark.line + 1


def compose(path: Path, problems: Problems) -> yaml.Node | None:
    """The root of a file; None where it is empty. Raises ValueError where it cannot be read or is no YAML."""
    try:
        return yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text") from None
    except yaml.MarkedYAMLError as error:
        words = ", ".join(part for part in (error.context, error.problem) if part)
        if "alias" in words:
            words += "; what begins with a * needs quotes"
        mark = error.problem_mark or error.context_mark
        if mark is None:
            raise ValueError(f"{path} is no YAML: {words}") from None
        problems.add_at(mark, f"no YAML: {words}")
        problems.refuse_any()
        raise
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is no YAML: {' '.join(str(error).split())}") from None


def fields(node: yaml.MappingNode, problems: Problems) -> dict[str, tuple[yaml.Node, yaml.Node]]:
    """Key -> (its node, its value's node). Keys must be text, each once."""
    _refuse_tag(node, "map", problems)
    found: dict[str, tuple[yaml.Node, yaml.Node]] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.tag != f"{_TAG}str":
            merge = key.tag == f"{_TAG}merge"
            what = "<< merges nothing here: repeat the lines" if merge else "a key must be text: put it in quotes"
            problems.add(key, what)
        elif key.value in found:
            problems.add(key, f"{key.value!r} is here a second time; the first is in line {line(found[key.value][0])}")
        else:
            found[key.value] = (key, value)
    return found


def json_value(node: yaml.Node, problems: Problems) -> Any:
    """What a node says, as JSON. None stands for what is refused, too."""
    if isinstance(node, yaml.MappingNode):
        return {name: json_value(value, problems) for name, (_, value) in fields(node, problems).items()}
    if isinstance(node, yaml.SequenceNode):
        _refuse_tag(node, "seq", problems)
        return [json_value(item, problems) for item in node.value]
    return _scalar(node, problems)


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean …?`, or nothing where nothing is near."""
    close = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def _scalar(node: yaml.Node, problems: Problems) -> Any:
    text, kind = str(node.value), node.tag.removeprefix(_TAG)
    plain = isinstance(node, yaml.ScalarNode) and not node.style
    if kind == "null":
        return None
    if kind == "bool" and text in _WORDS:
        return _WORDS[text]
    # to YAML 1.1, 1e3 is text
    if plain and _NUMBER.fullmatch(text) and (kind in {"int", "float"} or "e" in text.lower()):
        number = json.loads(text)
        if math.isfinite(number):
            return number
    elif kind == "str" and not (plain and text in _NO_NUMBER):
        return text
    problems.add(node, f"{text!r} is no JSON value: put it in quotes where text is meant, else write it as in JSON")
    return None


def _refuse_tag(node: yaml.Node, kind: str, problems: Problems) -> None:
    if node.tag != _TAG + kind:
        problems.add(node, f"the tag {node.tag.replace(_TAG, '!!')} has no meaning here: leave it out")
