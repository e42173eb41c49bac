"""Which nodes a backup is read from, by what the last sweep saw."""

from __future__ import annotations

from tasks.wiring import Parts
from worker.core.backup_nodes import Candidate, best_first, fallen_behind
from worker.core.health import NodeState
from worker.couch.cluster import Cluster


def candidates(parts: Parts, cluster: Cluster) -> list[str]:
    """The nodes that may be read from, the best first; in configured order where nothing is known yet."""
    return ranked(parts, cluster)[0]


def ranked(parts: Parts, cluster: Cluster) -> tuple[list[str], frozenset[str]]:
    """And which of them only where no other can be."""
    sweep = parts.seen.sweep() or {"nodes": []}
    nodes = {node["name"]: node for node in sweep["nodes"]}
    standings = parts.seen.standings()

    def candidate(place: int, name: str) -> Candidate:
        node = nodes.get(name, {})
        return Candidate(
            name,
            place,
            NodeState(node.get("state", NodeState.UNKNOWN)),
            standings.get(name, {}).get("lag"),
            (node.get("load") or {}).get("run_queue"),
        )

    found = [candidate(place, name) for place, name in enumerate(cluster.names)]
    most = parts.settings.ready_max_lag
    # with none that is fit, one that is not is still worth asking: it may just have come back
    return best_first(found, most) or cluster.names, fallen_behind(found, most)
