"""Reads every object of a backup and compares it with its checksum.

It needs no identity: the sums are of what lies in the store. What it cannot tell is whether a database can be made of
them: that is what drills are for (worker.ops.backup.drill).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from worker.blobs.vault import Vault
from worker.core.errors import ObjectDamaged, ObjectMissing, ReplicationError, WrongKey
from worker.core.manifest import ATTACHMENTS, DAMAGED, DatabaseManifest, Manifest, Stored
from worker.ops.backup import objects
from worker.ops.control import Control
from worker.ops.parallel import batches, pooled
from worker.ops.restore.seen import SeenIds

AT_ONCE = 4
MOST_LISTED = 100
PORTION = 500  # objects

Found = TypeVar("Found")


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
            if isinstance(error, ObjectDamaged) and stored.object.startswith(f"{ATTACHMENTS}/"):
                vault.blobs.put(f"{stored.object}{DAMAGED}", b"")  # so that the next backup stores it again
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
    """Each once. A record or a list that cannot be read is told as bad itself: what it vouches for, nobody knows."""
    for entry in manifest.entries:
        stored: Stored | None = entry.manifest
        while stored is not None and seen.add(stored.object):
            record = _read(result, stored, partial(vault.read_record, stored, DatabaseManifest))
            if record is None:
                break
            yield from (chunk.stored for chunk in record.chunks)
            for listed in record.references:
                found = _read(result, listed, partial(_listed, vault, listed))
                yield from (one for one in found or () if seen.add(one.object))
            stored = record.parent.manifest if record.parent else None


def _listed(vault: Vault, stored: Stored) -> list[Stored]:
    return list(objects.in_list(vault, stored))


def _read(result: Checked, stored: Stored, read: Callable[[], Found]) -> Found | None:
    try:
        found = read()
    except (ObjectMissing, ObjectDamaged, WrongKey) as error:
        result.damaged(stored.object, error)
        return None
    result.fine(stored)
    return found
