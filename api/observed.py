"""From the last sweep's record and the settings to what the API says about nodes. Pure.

The configured nodes are always listed: one that no sweep has seen is `unknown`, never left out. A node that
only the sweep knows (the workers' settings are newer than ours) is listed too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr

from api.schemas import LinkBody, NodeBody, NodeHealth, NodeInfo, NodeVerdict, ReplicationInfo
from config.settings import Settings
from worker.core.health import ClusterState, NodeState

# user names are half of a credential; node URLs are shown node by node, without what may be written in them
HIDDEN_SETTINGS = frozenset({"couchdb_url", "replication_nodes", "couchdb_user", "replication_user"})
_STALE_INTERVALS = 6
_STALE_GRACE = 30.0  # seconds

Sweep = Mapping[str, Any]


def nodes(settings: Settings, sweep: Sweep | None) -> list[NodeBody]:
    seen: dict[str, Any] = {node["name"]: node for node in (sweep or {}).get("nodes", [])}
    configured = {node.name: {"name": node.name, "url": node.url} for node in settings.nodes}
    unknown = {"state": NodeState.UNKNOWN, "since": None}
    both = {**configured, **seen}  # configured first, in their order
    return [NodeBody.model_validate({**unknown, **configured.get(name, {}), **both[name]}) for name in both]


def verdicts(settings: Settings, sweep: Sweep | None) -> list[NodeVerdict]:
    return [NodeVerdict.model_validate(vars(node)) for node in nodes(settings, sweep)]


def healths(settings: Settings, sweep: Sweep | None) -> list[NodeHealth]:
    return [NodeHealth.model_validate(vars(node)) for node in nodes(settings, sweep)]


def links(sweep: Sweep | None, database: str | None) -> list[LinkBody]:
    found = (sweep or {}).get("links", [])
    return [LinkBody.model_validate(link) for link in found if database is None or link["database"] == database]


def cluster(settings: Settings, sweep: Sweep | None, now: float) -> ClusterState:
    """The sweep's verdict, while it is recent and of these nodes: an hour-old "healthy" is not knowledge."""
    if sweep is None or now - sweep["observed_at"] > stale_after(settings):
        return ClusterState.UNKNOWN
    if {(node["name"], node["url"]) for node in sweep["nodes"]} != {(node.name, node.url) for node in settings.nodes}:
        return ClusterState.UNKNOWN
    return ClusterState(sweep["cluster"])


def stale_after(settings: Settings) -> float:
    """Seconds after which a sweep no longer says how the cluster is."""
    return _STALE_INTERVALS * settings.health_interval + settings.health_timeout + _STALE_GRACE


def info(settings: Settings, shown: Mapping[str, Any], sweep: Sweep | None) -> ReplicationInfo:
    known = sweep or {}
    return ReplicationInfo(
        mode=known.get("mode"),
        mode_reason=known.get("mode_reason"),
        topology=settings.replication_topology,
        continuous_replication=settings.continuous_replication,
        nodes=[
            NodeInfo(
                name=node.name,
                url=node.url,
                peer_url=node.peer_url if node.peer_url != node.url else None,
                role="replica" if position else "primary",
            )
            for position, node in enumerate(settings.nodes)
        ],
        settings=dict(shown),
        observed_at=known.get("observed_at"),
    )


def shown_settings(settings: Settings) -> dict[str, Any]:
    """Every setting that holds no credential, by the name of its variable. A new secret must be a SecretStr."""
    return {
        name.upper(): value
        for name, value in settings.model_dump(mode="json").items()
        if name not in HIDDEN_SETTINGS and not isinstance(getattr(settings, name), SecretStr)
    }
