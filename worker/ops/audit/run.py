"""The security report: look at every node at once, then judge. Nodes that are away are in it as not looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worker.core.audit.observed import OwnSeen
from worker.core.audit.report import report
from worker.couch.cluster import Cluster
from worker.ops.audit.look import Memory, look
from worker.ops.control import Control
from worker.ops.parallel import each, values


@dataclass(frozen=True)
class Audited:
    """`memory`: node -> what the next look at it has to know."""

    report: dict[str, Any]
    memory: Mapping[str, Memory]


def audit(cluster: Cluster, ours: OwnSeen, memory: Mapping[str, Memory], now: float, control: Control) -> Audited:
    control.report("look", 0, len(cluster.names), "nodes")

    def ask(name: str) -> Any:
        peers = tuple(server.node.peer_url for other, server in cluster.servers.items() if other != name)
        return look(cluster[name], peers, memory.get(name, Memory()), now, control)

    found = values(each(cluster.names, ask, control))
    control.report("judge")
    made = report([seen for seen, _ in found.values()], ours, now)
    return Audited(made, {name: kept for name, (_, kept) in found.items()})
