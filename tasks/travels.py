"""Which databases travel on change just now: from the rules, and what the last reconcile made of mode auto."""

from __future__ import annotations

from collections.abc import Callable

from tasks.rules import rules_of, travels_on_change
from tasks.wiring import Parts
from worker.core.names import OWN_DATABASE
from worker.core.rules import Mode


def on_change_filter(parts: Parts) -> Callable[[str], bool] | None:
    """Which databases travel on change; None where that is not known yet, or none does."""
    known = parts.replication.reconcile() if parts.settings.continuous_replication else None
    if known is None:
        return None
    rules, automatic, canary = rules_of(parts.settings), Mode(known["automatic"]), parts.settings.canary_seconds > 0
    schedulers = bool(known["schedulers"])

    def wanted(database: str) -> bool:
        chosen = canary if database == OWN_DATABASE else rules.selected(database)
        return chosen and (not schedulers or travels_on_change(rules, database, automatic))

    return wanted
