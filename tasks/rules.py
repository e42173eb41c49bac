"""The replication rules as the planner knows them, from the settings."""

from __future__ import annotations

from config.settings import Settings
from worker.core.model import Route
from worker.core.rules import Direction, Mode, Rule, Rules
from worker.core.topology import Topology


def rules_of(settings: Settings) -> Rules:
    """The rules file's rules, and behind them one for all other databases, from the plain settings."""
    topology, mode = Topology(settings.replication_topology), Mode(settings.replication_mode)
    return Rules(
        rules=tuple(
            Rule(
                databases=written.databases,
                topology=Topology(written.topology) if written.topology else topology,
                direction=Direction(written.direction),
                mode=Mode(written.mode) if written.mode else mode,
                selector=written.selector,
            )
            for written in settings.rules
        ),
        include=settings.include,
        exclude=settings.exclude,
        users=settings.replicate_users,
        default=Rule(topology=topology, mode=mode),
    )


def route_of(rules: Rules, database: str, narrowed: frozenset[str], nodes: int) -> Route:
    """How a sync may carry this database. A one-way ring of three or more goes round: everything reaches everybody."""
    rule = rules.of(database)
    one_way = rule.direction is Direction.ONE_WAY or database in narrowed
    round_trip = rule.topology is Topology.RING and nodes > 2
    return Route(gathers=not one_way or round_trip, selector=rule.selector)
