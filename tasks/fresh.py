"""Until when a look still says how things are: what was seen an hour ago is no figure of now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from config.settings import Settings

LONGEST_CANARY = 150.0  # seconds that a canary waits for its arrivals
_PASSES = 6.0


def fresh_look(record: Mapping[str, Any] | None, settings: Settings, now: float) -> bool:
    """Of a sweep, or a look at the links."""
    return record is not None and bool(now - record["observed_at"] <= settings.stale_after)


def fresh_pass(record: Mapping[str, Any] | None, settings: Settings, now: float) -> bool:
    """Of a periodic pass, which may take minutes over very many databases."""
    return record is not None and bool(now - record["observed_at"] <= longest_pass(settings))


def fresh_canary(record: Mapping[str, Any] | None, settings: Settings, now: float) -> bool:
    """Of a canary: until there should have been another, however long that one waits for its arrivals."""
    return record is not None and bool(now - record["observed_at"] <= 2 * settings.canary_seconds + LONGEST_CANARY)


def longest_pass(settings: Settings) -> float:
    """Seconds."""
    return _PASSES * settings.replication_retry_seconds + settings.stale_after
