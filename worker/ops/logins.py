"""Which password a node takes, and giving it another: the calls, one node at a time."""

from __future__ import annotations

import secrets
from typing import Any

from worker.core.errors import NotFound, Unauthorized, Unsupported
from worker.core.logins import Login, Which
from worker.core.model import Credentials
from worker.core.passwords import MOST_ROUNDS, matches, rewritten, stored
from worker.couch.database import Database
from worker.couch.server import ASK_TIMEOUT, Server
from worker.ops.own import put_over

USERS = "_users"
_ADMINS = ("_node", "_local", "_config", "admins")


def taken(server: Server, login: Login, first: Which) -> Which | None:
    """Which of the two this node takes; None where it takes neither. The likelier is tried first: five wrong ones, and
    CouchDB takes the right one for minutes no more. Raises what the node fails with."""
    for which in (first, first.other):
        if lets_in(server, login.of(which)):
            return which
    return None


def lets_in(server: Server, who: Credentials) -> bool:
    try:
        server.client.acting_as(who).get("_session", tries=1, within=ASK_TIMEOUT)
    except Unauthorized:
        return False
    return True


def require_changeable(server: Server, user: str) -> None:
    """Raise Unsupported where this node cannot be told another password for this user."""
    members = _members(server)
    if members > 1:
        raise Unsupported(
            f"it is a cluster of {members} CouchDB servers, and only the one that answers would be changed: change "
            f"[admins] {user} on each of them by hand",
            node=server.node.name,
        )
    kept = _kept(server, user)
    if kept is None and _document(server, user) is None:
        raise Unsupported(
            f"it has no user {user!r}, neither among its server admins nor in {USERS}", node=server.node.name
        )
    if kept is not None and stored(kept).rounds > MOST_ROUNDS:
        raise Unsupported(
            f"it keeps the password of {user!r} by more than {MOST_ROUNDS} rounds of hashing", node=server.node.name
        )


def change(server: Server, user: str, password: str) -> None:
    """Give a server admin, or else a user of `_users`, this password. Raises what the node fails with; what has become
    of it then, `taken` tells."""
    kept = _kept(server, user)
    if kept is None:
        _change_user(server, user, password)
        return
    if matches(stored(kept), password):
        return
    value = rewritten(stored(kept), password, secrets.token_hex(16))
    # within: a node that hangs has perhaps taken it, and is asked again
    server.client.put(*_ADMINS, user, json=value or password, tries=1, within=ASK_TIMEOUT)


def _members(server: Server) -> int:
    """CouchDB servers of the cluster that answers here."""
    try:
        said = server.client.get("_membership", within=ASK_TIMEOUT)
    except NotFound:
        return 1
    return len(said.get("cluster_nodes", ())) or 1


def _kept(server: Server, user: str) -> str | None:
    """How the node keeps the password of a server admin; None where it has none of this name."""
    try:
        return str(server.client.get(*_ADMINS, user, within=ASK_TIMEOUT))
    except NotFound:
        return None


def _document(server: Server, user: str) -> dict[str, Any] | None:
    return Database(server, USERS).get(f"org.couchdb.user:{user}", within=ASK_TIMEOUT)


def _change_user(server: Server, user: str, password: str) -> None:
    document = _document(server, user)
    if document is None:
        raise Unsupported(f"it has no user {user!r}", node=server.node.name)
    # CouchDB hashes it, and drops it, before it is written; another revision may come by replication meanwhile
    put_over(Database(server, USERS), {**document, "password": password}, within=ASK_TIMEOUT)
