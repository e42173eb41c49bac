"""The rules about what is in a node: who may open its databases, and what its replication documents hold. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from worker.core.audit.node import NOT_COUCHDB, NodeRule, is_standin
from worker.core.audit.observed import Databases, NodeSeen, OpenDatabase, Replications
from worker.core.audit.verdict import MOST_NAMED, Flaw, Verdict, known, not_applicable

REPLICATOR, USERS = "_replicator", "_users"
_USERINFO = re.compile(r"^\s*[a-zA-Z][a-zA-Z0-9+.-]*://[^/?#]*@")


def is_open(security: Mapping[str, Any]) -> bool:
    """Whether CouchDB lets everybody in: no name and no role is a member. Admins who are named change nothing."""
    members = security.get("members") or security.get("readers") or {}
    return not members.get("names") and not members.get("roles")


def has_inline_credentials(document: Mapping[str, Any]) -> bool:
    """Whether its source or target has a user in the URL, or an Authorization header. `auth` is where they belong."""
    return any(_inline(document.get(end)) for end in ("source", "target"))


def _inline(end: Any) -> bool:
    if isinstance(end, str):
        return bool(_USERINFO.match(end))
    if not isinstance(end, Mapping):
        return False
    headers = end.get("headers")
    named = headers.keys() if isinstance(headers, Mapping) else ()
    return _inline(end.get("url")) or any(str(name).lower() == "authorization" for name in named)


def is_replicator(name: str) -> bool:
    """CouchDB runs replications of any database that is called so."""
    return name == REPLICATOR or name.endswith(f"/{REPLICATOR}")


def _apart(found: Databases) -> str | None:
    """What was not looked at."""
    left = found.total - found.looked_at
    return f"looked at {found.looked_at} of {found.total} databases; the next reports go on" if left else None


def _open(node: NodeSeen, *, anybody: bool) -> Verdict:
    """Those that answered without credentials, or the others."""

    def judge(found: Databases) -> Verdict:
        plain = [one for one in found.open if one.name != USERS and not is_replicator(one.name)]
        wanted = [one for one in plain if (one.anybody is not False) is anybody]
        return Verdict(_named(wanted), unknown=_apart(found))

    return known(node.databases, judge)


def _named(wanted: list[OpenDatabase]) -> list[Flaw]:
    flaws = [Flaw(_words(one), database=one.name) for one in wanted[:MOST_NAMED]]
    if rest := len(wanted) - len(flaws):
        flaws.append(Flaw(f"{rest} more databases are as open", {"count": rest}))
    return flaws


def _words(one: OpenDatabase) -> str:
    asked = {
        True: "it answers without credentials",
        False: "it answers whoever can log in",
        None: "whether it answers without credentials was not asked",
    }[one.anybody]
    return f"its _security names no members; {asked}"


def _system(node: NodeSeen, name: str) -> Verdict:
    if is_standin(node):
        return not_applicable(f"{NOT_COUCHDB}: its system databases have another meaning")

    def judge(found: Databases) -> Verdict:
        # these are looked at each time
        named = [one for one in found.open if one.name == name or (name == REPLICATOR and is_replicator(one.name))]
        return Verdict([Flaw("its _security names no members", database=one.name) for one in named])

    return known(node.databases, judge)


def _inline_credentials(node: NodeSeen) -> Verdict:
    def judge(found: tuple[Replications, ...]) -> Verdict:
        flaws = [_of(one) for one in found if one.inline]
        short = [f"only {one.looked_at} documents of {one.database} were looked at" for one in found if not one.all]
        return Verdict(flaws, unknown="; ".join(short) or None)

    return known(node.replications, judge)


def _of(one: Replications) -> Flaw:
    listed = list(one.inline[:MOST_NAMED])
    data = {"count": len(one.inline), "ids": listed, "truncated": len(one.inline) > len(listed)}
    return Flaw(f"{len(one.inline)} replication documents have credentials inline", data, database=one.database)


RULES: Mapping[str, NodeRule] = {
    "database-open": lambda node: _open(node, anybody=True),
    "database-open-to-users": lambda node: _open(node, anybody=False),
    "replicator-open": lambda node: _system(node, REPLICATOR),
    "users-open": lambda node: _system(node, USERS),
    "inline-credentials": _inline_credentials,
}
