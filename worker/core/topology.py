"""Topologies: which node pulls from which."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import StrEnum

from worker.core.model import Link


class Topology(StrEnum):
    MESH = "mesh"  # every node pulls from every other: n(n-1) links, survives any node's loss
    STAR = "star"  # all pull from the first and it pulls from all: 2(n-1) links
    RING = "ring"  # each pulls from the one before (and after, where bidirectional)


def links(database: str, nodes: Sequence[str], topology: Topology, *, bidirectional: bool = True) -> list[Link]:
    """The continuous links of one database, in a stable order.

    `nodes[0]` is the primary: the hub of a star and, where not `bidirectional`, the only source of a mesh
    or star; a one-way ring goes round once.
    """
    hub, others = nodes[0], nodes[1:]
    if topology is Topology.RING and len(nodes) > 2:
        forward = [(nodes[i - 1], node) for i, node in enumerate(nodes)]
        pairs = forward + [(target, source) for source, target in forward] if bidirectional else forward
    elif topology is Topology.MESH and bidirectional:
        pairs = [(source, target) for source in nodes for target in nodes if source != target]
    else:
        pairs = [(hub, node) for node in others]
        if bidirectional:
            pairs += [(node, hub) for node in others]
    return [Link(database, source, target) for source, target in pairs]


def connected(nodes: Sequence[str], topology: Topology, down: Collection[str]) -> bool:
    """Whether changes still get by links from each of the nodes that are left to each other. A star that has lost its
    hub carries nothing, and a ring falls apart where it has lost two."""
    left = [node for node in nodes if node not in down]
    pairs = [
        (link.source, link.target) for link in links("", nodes, topology) if not {link.source, link.target} & {*down}
    ]
    reached, fresh = set(left[:1]), set(left[:1])
    # links of a topology that goes both ways come in pairs: who reaches all is reached by all
    while fresh:
        fresh = {target for source, target in pairs if source in fresh} - reached
        reached |= fresh
    return reached >= set(left)
