"""Reads every object of a backup and compares it with its checksum.

It needs no identity: the sums are of what lies in the store. What it cannot tell is whether a database can be made of
them: that is what drills are for (worker.ops.backup.drill).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from worker.blobs.vault import Vault
from worker.core.errors import ObjectDamaged, ObjectMissing, ReplicationError, WrongKey
from worker.core.manifest import Manifest, Stored
from worker.ops.backup import objects
from worker.ops.control import Control
from worker.ops.parallel import batches, pooled
from worker.ops.restore.seen import SeenIds

AT_ONCE = 4
MOST_LISTED = 100
PORTION = 500  # objects


@dataclass
class Checked:
    backup: str
    objects: int = 0
    bytes: int = 0
    bad: int = 0
    listed: list[dict[str, str]] = field(default_factory=list)
    seconds: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def fine(self, stored: Stored) -> None:
        with self._lock:
            self.objects += 1
            self.bytes += stored.size

    def damaged(self, name: str, error: ReplicationError) -> None:
        with self._lock:
            self.objects += 1
            self.bad += 1
            if len(self.listed) < MOST_LISTED:
                self.listed.append({"object": name, "error": error.slug, "detail": error.detail})

    def as_json(self) -> dict[str, Any]:
        return {
            "backup": self.backup,
            "objects": self.objects,
            "bytes": self.bytes,
            "damaged": {"count": self.bad, "objects": self.listed, "truncated": self.bad > len(self.listed)},
            "seconds": round(self.seconds, 3),
        }


def check(vault: Vault, manifest: Manifest, control: Control) -> Checked:
    """Everything that restoring any of its databases would read. Raises ObjectDamaged, whose `result` lists what is
    wrong, after all was looked at; and what the store raises."""
    began = time.monotonic()
    result = Checked(manifest.id)

    def one(stored: Stored) -> None:
        try:
            vault.check(stored)
        except (ObjectMissing, ObjectDamaged) as error:
            result.damaged(stored.object, error)
        else:
            result.fine(stored)

    with SeenIds() as seen:
        for portion in batches(_all(vault, manifest, seen, result), PORTION):
            for outcome in pooled(portion, one, AT_ONCE, control):
                if outcome.error is not None:
                    raise outcome.error
            control.report("check", result.objects, None, "objects")
    result.seconds = time.monotonic() - began
    if result.bad:
        error = ObjectDamaged(
            f"{result.bad} of {result.objects} objects of backup {manifest.id} are missing or damaged; "
            f"{result.listed[0]['detail']}"
        )
        error.result = result.as_json()
        raise error
    return result


def _all(vault: Vault, manifest: Manifest, seen: SeenIds, result: Checked) -> Iterator[Stored]:
    """Each once. A record that cannot be read is told as bad itself: what it vouches for, nobody knows."""
    for entry in manifest.entries:
        single = Manifest(**{**_fields(manifest), "entries": (entry,)})
        try:
            for stored, record in objects.records(vault, single):
                if not seen.add(stored.object):
                    break  # from here on, a database before had the same records
                result.fine(stored)
                yield from objects.own(record)
                yield from (one for one in objects.attachments(vault, record) if seen.add(one.object))
        except (ObjectMissing, ObjectDamaged, WrongKey) as error:
            result.damaged(entry.manifest.object, error)


def _fields(manifest: Manifest) -> dict[str, Any]:
    return {name: getattr(manifest, name) for name in manifest.__struct_fields__}
