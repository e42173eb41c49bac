"""A node and settings on which all is well, to be changed in one thing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from worker.core.audit.observed import Admin, Anonymous, Databases, Login, NodeSeen, OwnSeen, Store
from worker.core.audit.report import NODE_RULES
from worker.core.audit.verdict import Verdict
from worker.core.model import NodeKind

PASSWORD = "Xk4-vQ9!zLpM"
WELL: Mapping[str, Mapping[str, str]] = {
    "chttpd": {"bind_address": "127.0.0.1", "port": "5984", "require_valid_user": "true"},
    "chttpd_auth": {"secret": "12704efe69ea53f6833cd3f23201c970", "allow_persistent_cookies": "false"},
    "replicator": {"verify_ssl_certificates": "true"},
    "log": {"level": "info"},
}
ADMIN = Admin("admin", "pbkdf2", 600_000, weak_hash=False, default=False)
NODE = NodeSeen(
    name="a",
    url="https://a.test:6984",
    peer_url="https://a.test:6984",
    peers=("https://b.test:6984",),
    kind=NodeKind.COUCHDB,
    version="3.5.0",
    anonymous=Anonymous(admin=False, welcomed=False, names=False),
    configuration=WELL,
    admins=(ADMIN,),
    default_login=None,
    databases=Databases(total=3, looked_at=3),
    replications=(),
)
OWN = OwnSeen(
    logins=(Login("COUCHDB_PASSWORD", "nbr", PASSWORD),),
    replication_user=True,
    stores=(Store("REDIS_URL", "127.0.0.1", tls=False, password=False),),
    api_tokens=True,
    plain_tokens=0,
    anonymous_role="",
    api_host="127.0.0.1",
    flower_password=True,
    flower_host="127.0.0.1",
    backups=True,
    sealed=True,
    receivers=("https://hook.example.com",),
)


def node(**more: Any) -> NodeSeen:
    return replace(NODE, **more)


def own(**more: Any) -> OwnSeen:
    return replace(OWN, **more)


def configured(section: str, **values: str) -> NodeSeen:
    """With these values in this section, beside those of WELL."""
    sections = {**WELL, section: {**WELL.get(section, {}), **values}}
    return node(configuration=sections)


def judged(slug: str, seen: NodeSeen) -> Verdict:
    return NODE_RULES[slug](seen)
