"""What a worker has read from the backup store, as the API finds it."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from flask.testing import FlaskClient

from tasks import catalogue
from tests.unit.api.world import World, settings
from worker.core.errors import ObjectDamaged
from worker.core.manifest import Counts, Entry, Failed, Manifest, Stored
from worker.ops.backup.catalogue import Unreadable
from worker.ops.backup.notes import Drill, Hold

STORED = Stored("backups/ID/db/NAME/manifest.json.zst", "0" * 64, 300)
COUNTS = Counts(documents=10, deleted=2, changed=7, leaves=9, attachments=3, stored_bytes=4_711, raw_bytes=9_000)
NOW = 1_795_446_000.0  # the world's, without its fraction


def backing(**more: str) -> World:
    """A world with these settings and nothing in it. Its app is made once: that takes half a second."""
    world = _kept(tuple(sorted({"backup_url": "memory://", **more}.items())))
    world.redis.flushall()
    world.published.clear()
    world.on_publish = lambda job_id, request: None
    return world


@functools.cache
def _kept(more: tuple[tuple[str, str], ...]) -> World:
    return World(settings=settings(**dict(more)))


@functools.cache
def without_redis() -> FlaskClient:
    return backing().without_redis()


def identity(number: int) -> str:
    """Of a backup; they sort by number."""
    return f"202611{number:02}T030000Z-abcdef"


def entry(database: str, *chain: str) -> Entry:
    return Entry(database, STORED, not chain, False, None, "primary", chain, COUNTS)


def backup(
    number: int,
    *databases: str,
    ago: float = 3_600,
    failed: Sequence[str] = (),
    scope: Sequence[str] = ("*",),
    hold: Hold | None = None,
    drill: Drill | None = None,
    sealed: bool = False,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Its summary and its databases. `ago`: seconds since it began; it took a minute and a half."""
    entries = tuple(entry(name) for name in databases)
    missing = tuple(Failed(name, "unreachable", "b: connection refused") for name in failed)
    began = NOW - ago
    made = Manifest(
        1, identity(number), began, began + 90, tuple(scope), True, "age1" if sealed else None, entries, missing
    )
    return catalogue.summary(made, hold, drill), [catalogue.entry(one) for one in entries]


def unreadable(number: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    return catalogue.unreadable(Unreadable(identity(number), ObjectDamaged("its manifest is damaged"))), []


def read(world: World, *backups: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    """As if a worker had just read them from the store, and nothing else before."""
    world.redis.flushall()
    world.backups.save(
        [summary for summary, _ in backups], {summary["id"]: rows for summary, rows in backups if rows}, world.now - 4
    )
