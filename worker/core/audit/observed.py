"""What was seen of a node and of our own settings, as far as the rules of the security report need it. Pure.

`Unknown` is what could not be asked, with the reason: no rule may take it for good. Passwords, hashes and the cookie
secret are in here, because rules judge them; they are in no repr, and no rule puts them into what it says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from worker.core.model import NodeKind

Sections = Mapping[str, Mapping[str, str]]  # of a node's configuration


@dataclass(frozen=True)
class Unknown:
    why: str


@dataclass(frozen=True)
class Admin:
    """A server admin of a node. `default`: its password is one that anybody tries first; None: not all were tried."""

    name: str
    scheme: str
    rounds: int
    weak_hash: bool
    default: bool | None


@dataclass(frozen=True)
class OpenDatabase:
    """One whose `_security` names no members. `anybody`: it answers without credentials; None: that was not asked."""

    name: str
    anybody: bool | None


@dataclass(frozen=True)
class Databases:
    """`total` there are, at `looked_at` of them was looked now. `last`: where the next look goes on."""

    total: int
    looked_at: int
    open: tuple[OpenDatabase, ...] = ()
    last: str = ""


@dataclass(frozen=True)
class Replications:
    """Of one replicator database: the ids of documents with credentials in a URL or a header."""

    database: str
    inline: tuple[str, ...]
    looked_at: int
    all: bool = True  # False: there are more documents than are looked at


@dataclass(frozen=True)
class Anonymous:
    """What the node does for a request without credentials."""

    admin: bool | Unknown
    welcomed: bool | Unknown
    names: bool | Unknown


@dataclass(frozen=True)
class NodeSeen:
    """`default_login`: the user of a default login that was taken, or None; Unknown where none was tried. `peers`: the
    URLs by which it calls its peers."""

    name: str
    url: str
    peer_url: str
    peers: tuple[str, ...]
    kind: NodeKind | Unknown
    version: str | Unknown
    anonymous: Anonymous
    configuration: Sections | Unknown = field(repr=False)
    admins: tuple[Admin, ...] | Unknown
    default_login: str | Unknown | None
    databases: Databases | Unknown
    replications: tuple[Replications, ...] | Unknown


@dataclass(frozen=True)
class Login:
    """A user and a password of our settings. `where`: the variable it stands in."""

    where: str
    user: str
    password: str = field(repr=False)
    node: str | None = None


@dataclass(frozen=True)
class Store:
    """A Redis. `host` None: a socket on this machine."""

    where: str
    host: str | None
    tls: bool
    password: bool


@dataclass(frozen=True)
class OwnSeen:
    """Our settings. `plain_tokens`: how many are written out. `receivers`: scheme, host and port of each webhook
    receiver."""

    logins: tuple[Login, ...]
    replication_user: bool
    stores: tuple[Store, ...]
    api_tokens: bool
    plain_tokens: int
    anonymous_role: str  # empty: none
    api_host: str
    flower_password: bool
    flower_host: str
    backups: bool
    sealed: bool
    receivers: tuple[str, ...]
