"""What HAProxy's agent-check is answered about a node. Pure: (question, what is known, now) -> one line.

HAProxy asks once a second and keeps the last word of an agent that does not answer any more, for ever. So what is said
while knowledge is fresh has to be taken back by whoever still lives once it is not: an agent without knowledge answers
`up ready`. One word outlives knowledge: a person's. What somebody took out stays out until somebody puts it back.

Two questions, because the proxy has two lists of nodes (haproxy/haproxy.cfg):

    NAME                may clients go there? By all we know: worker.core.routing.
    NAME last-resort    and where no node is left, or nobody to ask? Only what would be wrong even then is kept out:
                        an emptied node, which would answer that nothing exists, and one that a person has taken out.

The blank before `#` matters. HAProxy reads words, and takes `down#reason` for one that it does not know: it changes
nothing then, and does not log it either (2.6.12).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from worker.core.health import NodeState
from worker.core.routing import Way

ALIVE = "?"  # asks whether an agent is there
LAST_RESORT = "last-resort"
READY = "up ready"  # both words: HAProxy keeps health and drain apart, and `up` alone would not end a drain
DRAIN = "drain"
MOST_REASON = 100  # characters; HAProxy keeps 128


@dataclass(frozen=True)
class Known:
    """What was last said of one node, and when (seconds since the epoch)."""

    state: NodeState
    way: Way
    reason: str | None
    observed_at: float


def known(record: Mapping[str, Any]) -> Known | None:
    """From a record of the sweep; None where it cannot be read: knowledge that we do not have."""
    try:
        return Known(
            state=NodeState(record["state"]),
            way=Way(record["way"]),
            reason=record.get("way_reason") or record.get("reason"),
            observed_at=float(record["observed_at"]),
        )
    except (KeyError, TypeError, ValueError):
        return None


def answer(question: str, nodes: Collection[str], seen: Mapping[str, Known], now: float, stale_after: float) -> str:
    """The line for one question. `nodes`: those that are configured; a proxy that sends clients anywhere else has
    another list than we, and nothing is replicated there."""
    name, _, list_name = question.partition(" ")
    if name == ALIVE:
        return READY
    if nodes and name not in nodes:
        return _down("not a configured node")
    node = seen.get(name)
    if node is not None and node.state is NodeState.MAINTENANCE:
        return DRAIN
    if node is None or (now - node.observed_at > stale_after and node.state is not NodeState.REPLACED):
        return READY
    return _told(node, last_resort=list_name == LAST_RESORT)


def _told(node: Known, *, last_resort: bool) -> str:
    way = node.way
    if last_resort:
        way = Way.DOWN if node.state is NodeState.REPLACED else Way.READY
    if way is Way.DOWN:
        return _down(node.reason or node.state.value)
    return DRAIN if way is Way.DRAIN else READY


def _down(reason: str) -> str:
    """One line of plain ASCII; a `#` in it would begin another comment."""
    plain = "".join(letter if " " <= letter <= "~" and letter != "#" else " " for letter in reason)
    return f"down #{' '.join(plain.split())[:MOST_REASON]}".rstrip()
