"""Look at one node for the security report. What cannot be asked is Unknown, with the reason; nothing is changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from worker.core.audit.observed import Anonymous, Databases, NodeSeen, Sections, Unknown
from worker.core.errors import Forbidden, LockedOut, NotFound, ReplicationError, Unauthorized
from worker.core.failures import reason_of
from worker.couch.client import CouchClient
from worker.couch.server import ASK_TIMEOUT, Server
from worker.ops.audit import databases, documents
from worker.ops.audit.admins import Tried, admins_of, default_login
from worker.ops.control import Control

Value = TypeVar("Value")
MOST_WORDS = 300  # characters of a reason
OPTIONS: Mapping[str, Any] = {"tries": 1, "within": ASK_TIMEOUT}


@dataclass(frozen=True)
class Memory:
    """What a look leaves for the next one at the same node."""

    before: databases.Before = field(default_factory=databases.Before)
    tried: Tried | None = None


def look(
    server: Server, peers: tuple[str, ...], memory: Memory, now: float, control: Control
) -> tuple[NodeSeen, Memory]:
    """`peers`: the URLs by which it calls the other nodes."""
    try:
        capabilities = server.capabilities()  # which remembers a refused password, and does not send it again
    except (Unauthorized, LockedOut) as error:
        return _closed(server, peers, reason_of(error), _anonymous(server.client.acting_as(None))), memory
    except ReplicationError as error:
        why = Unknown(reason_of(error)[:MOST_WORDS])
        return _closed(server, peers, why.why, Anonymous(why, why, why)), memory
    sections = _configuration(server)
    admins = admins_of(server, sections)
    login, tried = default_login(server, capabilities.kind, admins, memory.tried, now)
    found = _asked(lambda: databases.look(server, memory.before, control))
    seen = NodeSeen(
        name=server.node.name,
        url=server.node.url,
        peer_url=server.node.peer_url,
        peers=peers,
        kind=capabilities.kind,
        version=capabilities.version,
        anonymous=_anonymous(server.client.acting_as(None)),
        configuration=sections,
        admins=admins,
        default_login=login,
        databases=found,
        replications=_asked(lambda: documents.look(server, control)),
    )
    return seen, Memory(_next(memory.before, found), tried)


def _closed(server: Server, peers: tuple[str, ...], why: str, anonymous: Anonymous) -> NodeSeen:
    """A node that does not answer, or does not take our password."""
    no = Unknown(why[:MOST_WORDS])
    node = server.node
    return NodeSeen(node.name, node.url, node.peer_url, peers, no, no, anonymous, no, no, no, no, no)


def _next(before: databases.Before, found: Databases | Unknown) -> databases.Before:
    if isinstance(found, Unknown):
        return before
    return databases.Before(found.last, tuple(one.name for one in found.open))


def _asked(ask: Callable[[], Value]) -> Value | Unknown:
    try:
        return ask()
    except ReplicationError as error:
        return Unknown(reason_of(error)[:MOST_WORDS])


def _configuration(server: Server) -> Sections | Unknown:
    """In one call. It has hashes and secrets in it, which go no further than the rules."""
    try:
        said = server.client.get("_node", "_local", "_config", **OPTIONS)
    except NotFound:
        return Unknown("it tells nothing of its configuration")
    except ReplicationError as error:
        return Unknown(f"its configuration cannot be read: {reason_of(error)}"[:MOST_WORDS])
    if not isinstance(said, dict):
        return Unknown("it tells nothing of its configuration")
    return {
        str(name): {str(key): str(value) for key, value in section.items()}
        for name, section in said.items()
        if isinstance(section, dict)
    }


def _anonymous(client: CouchClient) -> Anonymous:
    return Anonymous(
        admin=_let_in(lambda: _is_admin(client.get("_session", **OPTIONS))),
        welcomed=_let_in(lambda: bool(client.get(**OPTIONS))),
        names=_let_in(lambda: isinstance(client.get("_all_dbs", **OPTIONS), list)),
    )


def _is_admin(said: Any) -> bool:
    context = said.get("userCtx") if isinstance(said, dict) else None
    return "_admin" in ((context or {}).get("roles") or [])


def _let_in(ask: Callable[[], bool]) -> bool | Unknown:
    try:
        return ask()
    except (Unauthorized, Forbidden):
        return False
    except ReplicationError as error:
        return Unknown(reason_of(error)[:MOST_WORDS])
