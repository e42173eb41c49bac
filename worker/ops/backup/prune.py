"""Removes backups that retention does not keep, and attachments that none of those left refers to.

The order makes a broken off run harmless: first the records that make folders backups, the newest first, so that no
backup is ever listed whose parent is gone; then attachments, after all records that are left were read; the folders
last, because by these the next run sees what one that was killed has left to do. Not to be run while a backup is: that
may count on an attachment which no record names yet.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from worker.blobs.vault import Vault
from worker.core.errors import ObjectDamaged, ObjectMissing, ReplicationError, WrongKey
from worker.core.manifest import ATTACHMENTS, DAMAGED, folder
from worker.core.retention import Held, Policy, decide
from worker.ops.backup import objects
from worker.ops.backup.catalogue import Catalogue, Unreadable
from worker.ops.backup.notes import holds
from worker.ops.control import Control
from worker.ops.parallel import batches

AT_ONCE = 500  # attachments that are deleted between two looks at the orders
ABANDONED = 86_400.0  # seconds after which what was broken off is not gone on with any more


@dataclass
class Pruned:
    """`kept`: id -> why. `unreadable`: left alone, and with them all attachments, because nobody knows what they
    refer to."""

    dry_run: bool
    kept: dict[str, list[str]] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)
    abandoned: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    objects: int = 0
    attachments: int = 0
    bytes: int = 0

    def as_json(self) -> dict[str, Any]:
        return dict(vars(self))


def prune(
    vault: Vault,
    policy: Policy,
    now: float,
    control: Control,
    *,
    in_use: Collection[str] = (),
    dry_run: bool = False,
) -> Pruned:
    """`in_use`: backups that somebody reads just now.

    Raises what the store raises; and ObjectMissing, ObjectDamaged, WrongKey where a record of a backup that is kept
    cannot be read: no attachment was removed then, and all else was.
    """
    catalogue = Catalogue(vault)
    control.report("look")
    result = Pruned(dry_run)
    held = {one.id: one for one in _held(vault, catalogue, in_use, result)}
    decision = decide(list(held.values()), policy, now)
    result.kept = decision.keep
    # what cannot be read goes on from something older, and nobody knows from what
    before = max(result.unreadable, default="")
    result.dropped = [one for one in reversed(decision.drop) if one > before]
    result.kept |= {one: [f"{before} cannot be read, and may need it"] for one in decision.drop if one < before}
    result.abandoned = _abandoned(vault, catalogue.unfinished, [held[one] for one in result.kept], now)
    if not dry_run:
        vault.blobs.clear_staged(now - ABANDONED)
        begun = [one for one in catalogue.unfinished if one not in result.abandoned]
        _carry_out(vault, catalogue, begun, now, control, result)
    return result


def _carry_out(
    vault: Vault, catalogue: Catalogue, begun: Sequence[str], now: float, control: Control, result: Pruned
) -> None:
    trouble: ReplicationError | None = None
    for backup in list(result.dropped):
        control.check()
        if holds(vault, [backup]):  # a hold that came while we looked: it was granted, so it counts
            # and everything that it goes on from, which is older and so still to come
            result.kept |= {one: ["legal hold, or needed by one"] for one in result.dropped if one <= backup}
            result.dropped = [one for one in result.dropped if one > backup]
            break
        vault.blobs.delete(vault.record_names(objects.manifest_name(backup)))
        vault.blobs.settle()
    gone = [*result.dropped, *result.abandoned]
    if gone and not result.unreadable:
        try:
            _sweep(vault, catalogue, begun, now, control, result)
        except (ObjectMissing, ObjectDamaged, WrongKey) as error:
            trouble = error
    for backup in gone:
        control.check()
        _remove(vault, backup, result)
    if trouble is not None:
        raise trouble


def _held(vault: Vault, catalogue: Catalogue, in_use: Collection[str], result: Pruned) -> Iterator[Held]:
    """What retention has to know of each; those that cannot be read go to `result`."""
    for one in catalogue.all():
        if isinstance(one, Unreadable):
            result.unreadable.append(one.id)
            continue
        yield Held(
            one.id,
            one.started_at,
            ",".join(one.scope),
            one.good,
            one.parents,
            hold=bool(holds(vault, [one.id])),
            running=one.id in in_use,
        )


def _abandoned(vault: Vault, unfinished: Sequence[str], kept: Sequence[Held], now: float) -> list[str]:
    """Never one that others go on from: it was a backup once, and has lost its manifest by some mishap."""
    needed = {parent for one in kept for parent in one.parents}
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
    vault: Vault, catalogue: Catalogue, begun: Sequence[str], now: float, control: Control, result: Pruned
) -> None:
    """`begun`: backups that were broken off and may be gone on with."""
    control.report("attachments")
    needed = _needed(vault, catalogue, result.kept, control)
    for backup in begun:
        needed.update(_mark(one.object) for one in objects.counted_on(vault, backup))
    gone = []
    for found in vault.blobs.listed(ATTACHMENTS):
        # what came lately may be of a group that one of those had under way
        if _mark(found.name.removesuffix(DAMAGED)) not in needed and now - found.modified > ABANDONED:
            gone.append(found.name)
            result.bytes += found.size
    for portion in batches(gone, AT_ONCE):
        control.check()
        result.attachments += vault.blobs.delete(portion)


def _needed(vault: Vault, catalogue: Catalogue, kept: Iterable[str], control: Control) -> set[int]:
    needed: set[int] = set()
    seen: set[str] = set()
    for backup in kept:
        for stored, record in objects.records(vault, catalogue.find(backup)):
            if stored.object in seen:
                continue
            seen.add(stored.object)
            control.check()
            needed.update(_mark(one.object) for one in objects.attachments(vault, record))
    return needed


def _mark(name: str) -> int:
    """Eight bytes for a name: two that share them keep one another, which costs a few bytes and loses none."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big")
