"""Has a server admin of a node one of the passwords that everybody tries first?

By the hashes in the node's configuration where it shows them to us: nothing is tried, nobody is locked out. Only where
it does not are two logins tried, once a day, and never as the user that is ours: CouchDB locks a user out after five
wrong passwords.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worker.core.audit.observed import Admin, Sections, Unknown
from worker.core.errors import Forbidden, LockedOut, ReplicationError, Unauthorized
from worker.core.model import Credentials, NodeKind
from worker.core.passwords import DEFAULT_LOGINS, Budget, guess, stored
from worker.couch.server import ASK_TIMEOUT, Server

TRY_AGAIN = 86_400.0  # seconds


@dataclass(frozen=True)
class Tried:
    """When default logins were tried on a node, and the user of the one that was taken."""

    at: float
    taken: str | None


def admins_of(server: Server, sections: Sections | Unknown) -> tuple[Admin, ...] | Unknown:
    if isinstance(sections, Unknown):
        return sections
    budget = Budget()
    ours = server.node.credentials
    # ours first: its hash costs one attempt, and the budget may not last for all
    named = sorted(sections.get("admins", {}).items(), key=lambda item: (ours is None or item[0] != ours.user, item[0]))
    return tuple(_admin(name, value, budget, ours) for name, value in named)


def _admin(name: str, value: str, budget: Budget, ours: Credentials | None) -> Admin:
    kept = stored(value)
    known = [ours.password] if ours is not None and ours.user == name else []
    return Admin(name, kept.scheme, kept.rounds, kept.weak, guess(name, kept, budget, known))


def default_login(
    server: Server, kind: NodeKind | Unknown, admins: tuple[Admin, ...] | Unknown, before: Tried | None, now: float
) -> tuple[str | Unknown | None, Tried | None]:
    """The user of a default login that is taken, None where none is, or why none was tried; and what to remember."""
    if not isinstance(admins, Unknown):
        return Unknown("its admins are known by their hashes"), None
    if kind is not NodeKind.COUCHDB:
        return Unknown(admins.why), before
    ours = server.node.credentials
    if ours is not None and ours.user in {user for user, _ in DEFAULT_LOGINS}:
        return Unknown(f"a wrong password for our own user would count against it; {admins.why}"), before
    if before is not None and 0 <= now - before.at < TRY_AGAIN:
        return before.taken, before
    return _try(server, now)


def _try(server: Server, now: float) -> tuple[str | Unknown | None, Tried | None]:
    for user, password in DEFAULT_LOGINS:
        try:
            said = _session(server, Credentials(user, password))
        except (Unauthorized, Forbidden):
            continue
        except LockedOut as error:
            return Unknown(f"a default login could not be tried: {error.detail}"), Tried(now, None)
        except ReplicationError as error:
            return Unknown(f"a default login could not be tried: {error.slug}: {error.detail}"), None
        if (said.get("userCtx") or {}).get("name") == user:
            return user, Tried(now, user)
    return None, Tried(now, None)


def _session(server: Server, credentials: Credentials | None) -> Mapping[str, Any]:
    said = server.client.acting_as(credentials).get("_session", tries=1, within=ASK_TIMEOUT)
    return said if isinstance(said, dict) else {}
