"""A restore drill: a backup is restored into a scratch database, compared with what it says it holds
(worker.ops.backup.compare), and dropped.

It tells whether databases can be made of what lies in the store. It cannot tell whether that is what the source once
had: only the backup knows, and its checksums say that nobody changed it (worker.ops.backup.check).
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from worker.blobs.vault import Vault
from worker.core.errors import DrillFailed, ObjectDamaged, ObjectMissing, ReplicationError
from worker.core.manifest import Entry, Manifest
from worker.couch.database import Database
from worker.couch.server import Server
from worker.ops.backup.check import check
from worker.ops.backup.compare import InBackup, OnNode, differing
from worker.ops.control import Control, Quiet
from worker.ops.restore.chain import Chain
from worker.ops.restore.database import restore_new
from worker.ops.scratch import scratch

MOST_LISTED = 20


@dataclass
class Drilled:
    """`databases`: name -> what was compared; `failed`: name -> why it is not what the backup says."""

    backup: str
    node: str
    at: float
    databases: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        return {**vars(self), "seconds": round(self.seconds, 3)}


def drill(vault: Vault, manifest: Manifest, server: Server, control: Control, *, tag: str, now: float) -> Drilled:
    """Every database of the backup, one after the other. `tag` makes the scratch databases' names: the same for each
    attempt, so that what one has left the next removes.

    Raises DrillFailed, whose `result` says of which databases, and what the node and the store raise.
    """
    began, spoilt = time.monotonic(), False
    result = Drilled(manifest.id, server.node.name, now)
    for done, entry in enumerate(manifest.entries):
        control.check()
        control.report("drill", done, len(manifest.entries), "databases")
        there = scratch(server, tag)
        there.drop()
        try:
            why = _one(vault, entry, there, control, result)
        except (ObjectDamaged, ObjectMissing) as damage:  # this is what drills are for: the others are still looked at
            why, spoilt = damage.detail, True
        finally:
            there.drop()
        if why:
            result.failed[entry.database] = why
    result.seconds = time.monotonic() - began
    if spoilt:
        with suppress(ReplicationError):
            check(vault, manifest, Quiet(control))  # marks all that is damaged; a restore stops at the first
    if result.failed:
        name, why = next(iter(result.failed.items()))
        error = DrillFailed(f"{len(result.failed)} of {len(manifest.entries)} databases: {name}: {why}", database=name)
        error.result = result.as_json()
        raise error
    return result


def _one(vault: Vault, entry: Entry, there: Database, control: Control, result: Drilled) -> str | None:
    """Why the database is not what the backup says; None where it is."""
    chain = Chain.of(vault, entry)
    restored = restore_new(vault, chain, there, Quiet(control))
    if restored.refused.count:
        first = restored.refused.listed[0]
        return f"{restored.refused.count} documents were refused, as {first['id']}: {first['reason']}"
    leaves, ids = differing(InBackup(vault, chain, control), OnNode(there, control))
    result.databases[entry.database] = {"leaves": leaves, "documents": entry.counts.documents}
    if ids:
        return f"{len(ids)} documents came back otherwise than they are in the backup: {', '.join(ids[:MOST_LISTED])}"
    return None
