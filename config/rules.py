"""Replication rules: the YAML file of REPLICATION_RULES, checked whole before anything starts.

A file of its own and no more variables: a rule is a record with a selector in it, and a list of those does not fit
into one line of an environment. Every mistake is told at once, as `file:line:column: what and how to mend it`.
docs/rules.md says what rules do; config/selectors.py reads their selectors.
"""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from config.marked import Problems, compose, fields, json_value, line, nearest
from config.selectors import read_selector

CHOICES = {
    "topology": ("mesh", "star", "ring"),
    "direction": ("both", "one-way"),
    "mode": ("auto", "continuous", "on-change", "off"),
}
KEYS = ("databases", *CHOICES, "selector")
USERS = "_users"
# what a database's name can be made of (worker/core/names.py), with the signs of globs
_GLOB = re.compile(r"(?:[a-z*?]|\[[^\]]+\])(?:[a-z0-9_$()+/*?-]|\[[^\]]+\])*")


@dataclass(frozen=True)
class RuleSetting:
    """One rule as written. None: what the setting of that name says. `line`: where it begins."""

    databases: tuple[str, ...]
    topology: str | None = None
    direction: str = "both"
    mode: str | None = None
    selector: dict[str, Any] | None = None
    line: int = 0


def read_rules(path: Path) -> tuple[RuleSetting, ...]:
    """The rules in their order. Raises ValueError with all that is wrong, a line each."""
    problems = Problems(path)
    try:
        rules = _rules(compose(path, problems), path, problems)
    except RecursionError:
        raise ValueError(f"{path}: nested too deeply, or an anchor that contains itself") from None
    problems.refuse_any()
    return rules


def _rules(root: yaml.Node | None, path: Path, problems: Problems) -> tuple[RuleSetting, ...]:
    if root is None:
        raise ValueError(f"{path} is empty: write rules: and a list of rules under it")
    found = fields(root, problems) if isinstance(root, yaml.MappingNode) else {}
    _refuse_unknown(found, ("rules",), problems)
    items = found["rules"][1] if "rules" in found else None
    if not isinstance(items, yaml.SequenceNode):
        problems.add(items or root, "there must be rules: with a list of rules under it, each beginning with a dash")
        return ()
    rules: list[RuleSetting] = []
    for item in items.value:
        rule = _rule(item, problems)
        if rule is not None:
            _refuse_unreachable(rule, rules, item, problems)
            rules.append(rule)
    return tuple(rules)


def _rule(node: yaml.Node, problems: Problems) -> RuleSetting | None:
    if not isinstance(node, yaml.MappingNode):
        problems.add(node, f"a rule must be a mapping with {', '.join(KEYS)}")
        return None
    found = {name: value for name, (_, value) in _refuse_unknown(fields(node, problems), KEYS, problems).items()}
    if "databases" not in found:
        problems.add(node, 'a rule needs databases: a glob such as "pdf*", or a list of globs')
    words = {name: _word(name, found[name], problems) for name in CHOICES if name in found}
    return RuleSetting(
        databases=_globs(found["databases"], problems) if "databases" in found else (),
        topology=words.get("topology"),
        direction=words.get("direction", "both"),
        mode=words.get("mode"),
        selector=read_selector(found["selector"], problems) if "selector" in found else None,
        line=line(node),
    )


def _refuse_unknown(
    found: dict[str, tuple[yaml.Node, yaml.Node]], known: tuple[str, ...], problems: Problems
) -> dict[str, tuple[yaml.Node, yaml.Node]]:
    for name in found.keys() - set(known):
        listed = f" (there is {', '.join(known)})"
        problems.add(found[name][0], f"{name!r} is no key here{nearest(name, known) or listed}")
    return found


def _word(name: str, node: yaml.Node, problems: Problems) -> str:
    """As it is written: to YAML 1.1 the plain word off is a boolean, to us it is the word."""
    text = str(node.value) if isinstance(node, yaml.ScalarNode) else ""
    if text not in CHOICES[name]:
        shown = f", not {text!r}{nearest(text, CHOICES[name])}" if text else ""
        problems.add(node, f"{name} must be one of {', '.join(CHOICES[name])}{shown}")
    return text


def _globs(node: yaml.Node, problems: Problems) -> tuple[str, ...]:
    items = node.value if isinstance(node, yaml.SequenceNode) else [node]
    if not items:
        problems.add(node, 'databases must name one at least; "*" stands for all')
    return tuple(glob for item in items if (glob := _glob(item, problems)) is not None)


def _glob(node: yaml.Node, problems: Problems) -> str | None:
    glob = json_value(node, problems) if isinstance(node, yaml.ScalarNode) else None
    if isinstance(glob, str) and (glob == USERS or _GLOB.fullmatch(glob)):
        return glob
    if isinstance(glob, str) and glob.startswith("_"):
        problems.add(node, f"of CouchDB's own databases only {USERS} can have a rule, not {glob!r}")
        return None
    shown = f" {glob!r} fits none;" if isinstance(glob, str) else ""
    problems.add(
        node,
        f"a glob of database names:{shown} names have lowercase letters, digits and _ $ ( ) + - / and begin with a "
        "letter; * ? [abc] stand for others; several globs are a list",
    )
    return None


def _refuse_unreachable(rule: RuleSetting, before: list[RuleSetting], node: yaml.Node, problems: Problems) -> None:
    takers = [next((one.line for one in before if _takes(one, glob)), None) for glob in rule.databases]
    if takers and all(takers):
        lines = " or ".join(str(taker) for taker in sorted({taker for taker in takers if taker}))
        problems.add(node, f"this rule is never reached: all of its databases go to the rule in line {lines}")


def _takes(rule: RuleSetting, glob: str) -> bool:
    """Whether `rule` surely matches whatever `glob` does: the same glob, a catch-all, or a plain name it matches."""
    if glob == USERS:  # as for hidden files, a * does not stand for a leading _
        return USERS in rule.databases
    plain = not re.search(r"[*?\[]", glob)
    return any(one == glob or set(one) == {"*"} or (plain and fnmatch.fnmatchcase(glob, one)) for one in rule.databases)
