"""What the picture of the whole is made of: nodes, and what travels between each two of them."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from api.schemas import Mode, NodeVerdict, Out, Time
from worker.core.health import ClusterState
from worker.core.routing import Way


class PairState(StrEnum):
    """From best to worst."""

    WELL = "well"  # all is carried, and nothing waits
    BEHIND = "behind"
    UNKNOWN = "unknown"
    BROKEN = "broken"  # something is not carried, and will not be without help or a long wait


class PictureNode(NodeVerdict):
    role: Literal["primary", "replica"]
    acting: bool = Field(description="Whether it acts as the primary now.")
    clients: Way | None = Field(description="What proxies are told: `ready`, `drain` or `down`; null: not known yet.")
    lag: int | None = Field(description="Changes of other nodes that it has not confirmed; null: unknown.")


class PairBody(Out):
    source: str
    target: str
    state: PairState
    databases: int = Field(description="How many travel from the source to the target.")
    states: dict[str, int] = Field(
        description="How many of them are in which state: those of `GET /api/replication/status`.",
        examples=[{"running": 3}],
    )
    lag: int | None = Field(description="Changes that the target has not confirmed; null: unknown.")
    seconds: float | None = Field(description="What a write of ours took lately; null: not arrived, or not known.")


class TopologyBody(Out):
    observed_at: Time | None = Field(description="When the nodes were looked at.")
    links_observed_at: Time | None = Field(description="When what travels was: the older of links and databases.")
    status: ClusterState
    mode: Mode
    topology: str
    primary: str | None = Field(description="The node that acts as the primary now.")
    nodes: list[PictureNode] = Field(description="As configured, in their order.")
    links: list[PairBody] = Field(description="One for each pair of nodes between which something travels.")
