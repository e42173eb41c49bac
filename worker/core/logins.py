"""Which of two passwords a node takes, while one is being changed into the other. Pure.

Both are in the settings meanwhile (COUCHDB_PASSWORD and COUCHDB_PASSWORD_PREVIOUS), so neither is ever lost, whatever
becomes of us in the middle. What has to be known is which of them each node has by now.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from worker.core.model import UNKNOWN, Credentials, Node


class Which(StrEnum):
    CURRENT = "current"
    PREVIOUS = "previous"

    @property
    def other(self) -> Which:
        return Which.PREVIOUS if self is Which.CURRENT else Which.CURRENT


class Whose(StrEnum):
    """Ours: with which we call the node. Peers': with which other nodes pull from it, where that is another user."""

    OURS = "ours"
    PEERS = "peers"


@dataclass(frozen=True)
class Login:
    """A user's two passwords."""

    current: Credentials
    previous: Credentials

    def of(self, which: Which) -> Credentials:
        return self.current if which is Which.CURRENT else self.previous


Logins = Mapping[Whose, Login]


def with_login(node: Node, logins: Logins, whose: Whose, which: Which | None) -> Node:
    """The node with the credentials that it takes. Peers that use our user change with us.

    None: nobody knows. Then it is not called, and peers are given none: a wrong password would count, and after five of
    them the right one is refused as well.
    """
    login = logins[whose]
    chosen = login.of(which) if which is not None else UNKNOWN
    if whose is Whose.PEERS:
        return replace(node, peer_credentials=chosen)
    shared = Whose.PEERS not in logins and node.peer_credentials in {login.current, login.previous, UNKNOWN}
    return replace(node, credentials=chosen, peer_credentials=chosen if shared else node.peer_credentials)
