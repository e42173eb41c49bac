"""Removes backups that retention does not keep, and attachments that none of those left refers to.

The order makes a broken off run harmless: first the records that make folders backups, the newest first, so that no
backup is ever listed whose parent is gone; then attachments, after all records that are left were read; the folders
last, because by these the next run sees what one that was killed has left to do. Not to be run while a backup is: that
may count on an attachment which no record names yet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from worker.blobs.vault import Vault
from worker.core.errors import ObjectDamaged, ObjectMissing, ReplicationError, WrongKey
from worker.core.manifest import ATTACHMENTS, Manifest, folder
from worker.core.retention import Held, Policy, decide
from worker.ops.backup import objects
from worker.ops.backup.catalogue import Catalogue, Unreadable
from worker.ops.backup.notes import holds
from worker.ops.control import Control

ABANDONED = 86_400.0  # seconds after which what was broken off is not gone on with any more


@dataclass
class Pruned:
    """`kept`: id -> why. `unreadable`: left alone, and with them all attachments, because nobody knows what they
    refer to."""

    dry_run: bool
    kept: Mapping[str, list[str]] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)
    abandoned: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    objects: int = 0
    attachments: int = 0
    bytes: int = 0

    def as_json(self) -> dict[str, Any]:
        return {**vars(self), "kept": dict(self.kept)}


def prune(vault: Vault, policy: Policy, now: float, control: Control, *, dry_run: bool = False) -> Pruned:
    """Raises what the store raises; and ObjectMissing, ObjectDamaged, WrongKey where a record of a backup that is kept
    cannot be read: no attachment was removed then, and all else was."""
    catalogue = Catalogue(vault)
    control.report("look")
    found = list(catalogue.all())
    manifests = {one.id: one for one in found if isinstance(one, Manifest)}
    decision = decide(_held(vault, manifests), policy, now)
    result = Pruned(dry_run, decision.keep, unreadable=[one.id for one in found if isinstance(one, Unreadable)])
    result.dropped = list(reversed(decision.drop))
    kept = [manifests[one] for one in decision.keep]
    result.abandoned = _abandoned(vault, catalogue.unfinished, kept, now)
    if not dry_run:
        vault.blobs.clear_staged(now - ABANDONED)
        begun = [one for one in catalogue.unfinished if one not in result.abandoned]
        _carry_out(vault, kept, begun, now, control, result)
    return result


def _carry_out(
    vault: Vault, kept: Sequence[Manifest], begun: Sequence[str], now: float, control: Control, result: Pruned
) -> None:
    gone = [*result.dropped, *result.abandoned]
    trouble: ReplicationError | None = None
    for backup in gone:
        control.check()
        vault.blobs.delete(vault.record_names(objects.manifest_name(backup)))
        vault.blobs.settle()
    if gone and not result.unreadable:
        try:
            _sweep(vault, kept, begun, now, control, result)
        except (ObjectMissing, ObjectDamaged, WrongKey) as error:
            trouble = error
    for backup in gone:
        control.check()
        _remove(vault, backup, result)
    if trouble is not None:
        raise trouble


def _held(vault: Vault, manifests: Mapping[str, Manifest]) -> list[Held]:
    held = holds(vault, manifests)
    return [
        Held(one.id, one.started_at, ",".join(one.scope), one.good, one.parents, hold=one.id in held)
        for one in manifests.values()
    ]


def _abandoned(vault: Vault, unfinished: Sequence[str], kept: Sequence[Manifest], now: float) -> list[str]:
    """Never one that others go on from: it was a backup once, and has lost its manifest by some mishap."""
    needed = {parent for manifest in kept for parent in manifest.parents}
    return [one for one in unfinished if one not in needed and _age(vault, one, now) > ABANDONED]


def _age(vault: Vault, backup: str, now: float) -> float:
    """Since its last sign of life."""
    return now - max((found.modified for found in vault.blobs.listed(folder(backup))), default=now)


def _remove(vault: Vault, backup: str, result: Pruned) -> None:
    left = list(vault.blobs.listed(folder(backup)))
    vault.blobs.delete([found.name for found in left])
    result.objects += len(left)
    result.bytes += sum(found.size for found in left)


def _sweep(
    vault: Vault, kept: Sequence[Manifest], begun: Sequence[str], now: float, control: Control, result: Pruned
) -> None:
    """`begun`: backups that were broken off and may be gone on with."""
    control.report("attachments")
    needed = _needed(vault, kept, control)
    for backup in begun:
        needed.update(_mark(one.object) for one in objects.counted_on(vault, backup))
    gone = []
    for found in vault.blobs.listed(ATTACHMENTS):
        # what came lately may be of a group that one of those had under way
        if _mark(found.name) not in needed and now - found.modified > ABANDONED:
            gone.append(found.name)
            result.bytes += found.size
    control.check()
    vault.blobs.delete(gone)
    result.attachments += len(gone)


def _needed(vault: Vault, kept: Sequence[Manifest], control: Control) -> set[int]:
    needed: set[int] = set()
    seen: set[str] = set()
    for manifest in kept:
        for stored, record in objects.records(vault, manifest):
            if stored.object in seen:
                continue
            seen.add(stored.object)
            control.check()
            needed.update(_mark(one.object) for one in objects.attachments(vault, record))
    return needed


def _mark(name: str) -> int:
    """Eight bytes for a name: two that share them keep one another, which costs a few bytes and loses none."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big")
