"""Backups to a second location, as they are: object by object, nothing opened or sealed anew, and nothing that is not
what its checksum says.

What lies there already is not sent again, so a copy that broke off is gone on with, and one that was away for a week is
caught up. Nothing is ever removed there because it is gone here: whoever empties the first location must not empty
both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from worker.blobs.store import SLICE
from worker.blobs.vault import Vault
from worker.core.errors import ObjectDamaged, ObjectMissing, ReplicationError, WrongKey
from worker.core.manifest import Manifest, Stored, folder
from worker.ops.backup import objects
from worker.ops.backup.catalogue import Catalogue
from worker.ops.control import Control
from worker.ops.parallel import batches, pooled
from worker.ops.restore.seen import SeenIds

AT_ONCE = 4
PORTION = 500


@dataclass
class Copied:
    backups: list[str] = field(default_factory=list)
    objects: int = 0
    bytes: int = 0

    def as_json(self) -> dict[str, Any]:
        return dict(vars(self))


def copy(source: Vault, target: Vault, control: Control) -> Copied:
    """Every backup that the target lacks, the oldest first. Both vaults have the same seals. Raises what both stores
    raise; and after all others were copied what keeps one from being so, such as an object that the source has lost."""
    result = Copied()
    trouble: ReplicationError | None = None
    manifests = [one for one in Catalogue(source).all() if isinstance(one, Manifest)]
    for manifest in reversed(manifests):
        control.report("copy", len(result.backups), None, "backups")
        try:
            _copy_backup(source, target, manifest, control, result)
        except (ObjectMissing, ObjectDamaged, WrongKey) as error:
            trouble = trouble or error
    if trouble is not None:
        trouble.result = result.as_json()
        raise trouble
    return result


def _copy_backup(source: Vault, target: Vault, manifest: Manifest, control: Control, result: Copied) -> None:
    name = source.stat_record(objects.manifest_name(manifest.id)).object
    if target.blobs.size(name) is not None:
        return
    for portion in batches(_objects(source, manifest, name), PORTION):
        for outcome in pooled(portion, partial(_copy, source, target), AT_ONCE, control):
            if outcome.error is not None:
                raise outcome.error
            if outcome.value is not None:
                result.objects += 1
                result.bytes += outcome.value
    target.blobs.settle()
    target.blobs.put(name, source.blobs.get(name))
    target.blobs.settle()
    result.backups.append(manifest.id)


def _objects(source: Vault, manifest: Manifest, last: str) -> Iterator[Stored]:
    """All but the manifest itself, each once."""
    with SeenIds() as seen:
        seen.add(last)
        for stored, record in objects.records(source, manifest):
            for one in (stored, *objects.own(record), *objects.attachments(source, record)):
                if seen.add(one.object):
                    yield one
        for found in source.blobs.listed(folder(manifest.id)):  # notes, for which nothing vouches
            if seen.add(found.name):
                yield source.stat(found.name)


def _copy(source: Vault, target: Vault, one: Stored) -> int | None:
    """Returns the bytes sent: None where it was there."""
    if target.blobs.size(one.object) == one.size:
        return None
    if one.size <= SLICE:
        target.blobs.put(one.object, source.checked(one))
        return one.size
    with source.raw(one) as path:
        target.blobs.put(one.object, path)
    return one.size
