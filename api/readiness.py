"""May a proxy send clients to this node? Pure: (the node's standing, what is asked, now) -> yes, or why not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from config.settings import Settings
from worker.core.health import NodeState
from worker.core.routing import Way

# what these nodes answered last was bad, whoever else is left
_FAILING = frozenset({NodeState.SUSPECT, NodeState.DOWN})


def fresh_for(settings: Settings) -> float:
    """Seconds for which a look counts, where the caller does not say: two looks may be missed."""
    return 3.0 * settings.health_interval + settings.health_timeout


def why_not_ready(
    standing: Mapping[str, Any] | None, settings: Settings, now: float, max_lag: int | None, max_age: float | None
) -> str | None:
    """None where it is ready. What is not known is no reason to say yes: neither an old look nor an old lag."""
    if standing is None:
        return "no sweep has seen it yet"
    longest = fresh_for(settings) if max_age is None else max_age
    age = now - standing["observed_at"]
    if age > longest:
        return f"it was seen {age:.0f} s ago, and not within {longest:g} s"
    if standing["way"] != Way.READY or NodeState(standing["state"]) in _FAILING:
        return str(standing["way_reason"] or standing["reason"] or standing["state"])
    return None if max_lag is None else _lags(standing, settings, now, max_lag, longest)


def _lags(standing: Mapping[str, Any], settings: Settings, now: float, max_lag: int, longest: float) -> str | None:
    lag, seen = standing["lag"], standing["lag_observed_at"]
    # the periodic pass comes more seldom than sweeps do
    if lag is None or seen is None or now - seen > longest + 2 * settings.replication_retry_seconds:
        return "its lag is not known"
    return f"it lags by {lag} changes, more than {max_lag}" if lag > max_lag else None
