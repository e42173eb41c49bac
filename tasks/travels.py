"""Which databases travel on change just now: from the rules, and what the last reconcile made of mode auto."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from config.settings import Settings
from tasks.wiring import Parts
from worker.core.names import OWN_DATABASE
from worker.core.rules import Direction, Mode, Rules
from worker.core.topology import Topology, connected

Wanted = Callable[[str], bool]


def on_change_filter(parts: Parts) -> Wanted | None:
    """Which databases travel on change; None where that is not known yet, or none does. Where nodes are down, those
    are among them whose links do not connect the others any more: their links stay, and wait."""
    wanted = travelling(parts.settings, parts.rules, parts.replication.reconcile())
    down = parts.seen.down()
    if wanted is None or not down:
        return wanted
    names, rules = [node.name for node in parts.settings.nodes], parts.rules
    apart = {topology for topology in Topology if not connected(names, topology, down)}

    def also(database: str) -> bool:
        if wanted(database):
            return True
        rule = rules.of(database)
        return rule.topology in apart and rule.direction is Direction.BOTH and rules.selected(database)

    return also


def travelling(settings: Settings, rules: Rules, reconcile: Mapping[str, Any] | None) -> Wanted | None:
    """The same, of a reconcile's record (tasks.replication_seen). Where nodes have no scheduler it is all of them:
    rules cannot wish for links there."""
    if reconcile is None or not settings.continuous_replication:
        return None
    automatic, canary, schedulers = Mode(reconcile["automatic"]), settings.canary_seconds > 0, reconcile["schedulers"]

    def wanted(database: str) -> bool:
        if not (canary if database == OWN_DATABASE else rules.selected(database)):
            return False
        mode = rules.of(database).mode
        return not schedulers or (automatic if mode is Mode.AUTO else mode) is Mode.ON_CHANGE

    return wanted
