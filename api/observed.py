"""From the last sweep's record and the settings to what the API says about nodes. Pure.

The configured nodes are always listed: one that no sweep has seen is `unknown`, never left out. A node that
only the sweep knows (the workers' settings are newer than ours) is listed too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr

from api.schemas import NodeBody, NodeHealth, NodeInfo, NodeVerdict, ReplicationInfo, RuleInfo, WatcherInfo
from config.settings import Settings
from tasks.replication_seen import ReplicationSeen
from tasks.rules import rules_of
from worker.core.health import ClusterState, NodeState
from worker.core.rules import Mode, Rule, Rules

# user names are half of a credential; node URLs are shown node by node, without what may be written in them
HIDDEN_SETTINGS = frozenset({"couchdb_url", "replication_nodes", "couchdb_user", "replication_user"})

Sweep = Mapping[str, Any]


def nodes(settings: Settings, sweep: Sweep | None, lag: Mapping[str, int | None] | None = None) -> list[NodeBody]:
    """`lag`: of the nodes where it is known."""
    seen: dict[str, Any] = {node["name"]: node for node in (sweep or {}).get("nodes", [])}
    configured = {node.name: {"name": node.name, "url": node.url} for node in settings.nodes}
    unknown = {"state": NodeState.UNKNOWN, "since": None}
    both = {**configured, **seen}  # configured first, in their order
    more = {name: {"lag": (lag or {}).get(name)} for name in both}
    return [
        NodeBody.model_validate({**unknown, **configured.get(name, {}), **both[name], **more[name]}) for name in both
    ]


def verdicts(settings: Settings, sweep: Sweep | None) -> list[NodeVerdict]:
    return [NodeVerdict.model_validate(vars(node)) for node in nodes(settings, sweep)]


def healths(settings: Settings, sweep: Sweep | None) -> list[NodeHealth]:
    return [NodeHealth.model_validate(vars(node)) for node in nodes(settings, sweep)]


def cluster(settings: Settings, sweep: Sweep | None, now: float) -> ClusterState:
    """The sweep's verdict, while it is recent and of these nodes: an hour-old "healthy" is not knowledge."""
    if sweep is None or now - sweep["observed_at"] > settings.stale_after:
        return ClusterState.UNKNOWN
    if {(node["name"], node["url"]) for node in sweep["nodes"]} != {(node.name, node.url) for node in settings.nodes}:
        return ClusterState.UNKNOWN
    return ClusterState(sweep["cluster"])


def needs_watcher(settings: Settings, seen: ReplicationSeen) -> bool:
    """Whether databases travel on change on nodes that have feeds. (Without feeds the periodic pass does it alone.)"""
    known = seen.reconcile() or {}
    return bool(
        settings.continuous_replication and known.get("schedulers") and known["modes"].get(Mode.ON_CHANGE.value)
    )


def mode(settings: Settings, reconcile: Mapping[str, Any] | None) -> tuple[str | None, str | None]:
    """How changes travel, and why."""
    if not settings.continuous_replication:
        return Mode.OFF.value, "CONTINUOUS_REPLICATION is false: databases are synced only when asked"
    known = reconcile or {}
    return known.get("mode"), known.get("reason")


def info(settings: Settings, shown: Mapping[str, Any], seen: ReplicationSeen, now: float) -> ReplicationInfo:
    known = seen.reconcile() or {}
    in_force, reason = mode(settings, known)
    options = known.get("configuration", {})
    rules = rules_of(settings)
    return ReplicationInfo(
        mode=in_force,
        mode_reason=reason,
        topology=settings.replication_topology,
        continuous_replication=settings.continuous_replication,
        modes=known.get("modes", {}),
        rules=[RuleInfo.model_validate({**vars(rule), "databases": [*rule.databases]}) for rule in _all(rules)],
        watchers=[
            WatcherInfo(name=name, leads=entry["leads"], feeds=entry["feeds"])
            for name, entry in sorted(seen.watchers(now).items())
        ],
        nodes=[
            NodeInfo(
                name=node.name,
                url=node.url,
                peer_url=node.peer_url if node.peer_url != node.url else None,
                role="replica" if position else "primary",
                replicator=options.get(node.name),
            )
            for position, node in enumerate(settings.nodes)
        ],
        settings=dict(shown),
        observed_at=known.get("observed_at"),
    )


def _all(rules: Rules) -> list[Rule]:
    return [*rules.rules, rules.default]


def shown_settings(settings: Settings) -> dict[str, Any]:
    """Every setting that holds no credential, by the name of its variable. A new secret must be a SecretStr."""
    return {
        name.upper(): value
        for name, value in settings.model_dump(mode="json").items()
        if name not in HIDDEN_SETTINGS and not isinstance(getattr(settings, name), SecretStr)
    }
