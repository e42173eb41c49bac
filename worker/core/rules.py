"""Which rule a database goes by: the first whose globs match it. Pure.

What is asked for every database at every pass (a hundred thousand of them, perhaps) is compiled once: each rule's
globs into one regular expression. A glob does not match the underscore that CouchDB's own databases begin with, as
a shell's does not match hidden files: a rule for `*` is not meant for `_users`, and its selector even less.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

from worker.core.names import is_own, selected
from worker.core.topology import Topology

USERS = "_users"


class Direction(StrEnum):
    BOTH = "both"
    ONE_WAY = "one-way"  # from the primary outwards


class Mode(StrEnum):
    """How a database's changes travel by themselves."""

    AUTO = "auto"  # links while they fit into the scheduler, on-change beyond
    CONTINUOUS = "continuous"
    ON_CHANGE = "on-change"
    OFF = "off"


@dataclass(frozen=True)
class Rule:
    """How the databases that match one of these globs are replicated. `selector`: Mango; None carries all."""

    databases: tuple[str, ...] = ("*",)
    topology: Topology = Topology.MESH
    direction: Direction = Direction.BOTH
    mode: Mode = Mode.AUTO
    selector: Mapping[str, Any] | None = field(default=None, hash=False)  # a dict has no hash

    def matches(self, database: str) -> bool:
        return self._pattern.match(database) is not None

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        parts = []
        for glob in self.databases:
            shown = "" if glob.startswith("_") else "(?!_)"
            parts.append(shown + fnmatch.translate(glob))
        # without a glob it matches nothing
        return re.compile("|".join(parts) or r"(?!)")


@dataclass(frozen=True)
class Rules:
    """The rules in their order, and `default` for databases that none of them matches."""

    rules: tuple[Rule, ...] = ()
    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    users: bool = False
    default: Rule = field(default_factory=Rule)

    def of(self, database: str) -> Rule:
        if is_own(database):  # ours: a rule for "*" is not meant for it
            return self.default
        return next((rule for rule in self.rules if rule.matches(database)), self.default)

    def selector_of(self, database: str) -> Mapping[str, Any] | None:
        return self.of(database).selector

    def selected(self, database: str) -> bool:
        """Whether this database is replicated. `_users` goes by `users` alone, not by the globs of include."""
        wanted = self.users if database == USERS else selected(database, self.include, self.exclude)
        return wanted and self.of(database).mode is not Mode.OFF
