"""How a time is written for others: in answers, in what is sent, nowhere else. Pure."""

from __future__ import annotations

from datetime import UTC, datetime


def rfc3339(epoch: float) -> str:
    """Seconds since the epoch as "2026-11-23T15:00:00.123Z"."""
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
