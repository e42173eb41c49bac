"""Which objects a backup is made of: for whoever checks, copies or removes them."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from worker.blobs.vault import Vault
from worker.core.errors import ObjectDamaged, ObjectMissing, WrongKey
from worker.core.manifest import MANIFEST, DatabaseManifest, Manifest, Stored, folder

LISTS = "-attachments-"  # in the names of objects that list attachments (worker.ops.backup.group)
_STORED = msgspec.json.Decoder(Stored)


def records(vault: Vault, manifest: Manifest) -> Iterator[tuple[Stored, DatabaseManifest]]:
    """The record of every database, and those of the backups that each goes on from; each once."""
    seen: set[str] = set()
    for entry in manifest.entries:
        stored: Stored | None = entry.manifest
        while stored is not None and stored.object not in seen:
            seen.add(stored.object)
            record = vault.read_record(stored, DatabaseManifest)
            yield stored, record
            stored = record.parent.manifest if record.parent else None


def attachments(vault: Vault, record: DatabaseManifest) -> Iterator[Stored]:
    """Those that the revisions in this one record have; one may come several times."""
    for listed in record.references:
        yield from in_list(vault, listed)


def in_list(vault: Vault, listed: Stored) -> Iterator[Stored]:
    for line in vault.read_lines(listed).split(b"\n"):
        try:
            yield _STORED.decode(line)
        except msgspec.DecodeError as error:
            raise ObjectDamaged(f"{listed.object} has a line that names no object: {error}") from None


def counted_on(vault: Vault, backup: str) -> Iterator[Stored]:
    """The attachments that a backup without a manifest has listed so far: who goes on with it does not ask for them
    again. A list that cannot be read is passed over: nobody can go on from it either."""
    for found in vault.blobs.listed(folder(backup)):
        if LISTS in found.name:
            try:
                yield from in_list(vault, vault.stat_record(found.name.partition(".zst")[0]))
            except (ObjectMissing, ObjectDamaged, WrongKey):
                continue


def own(record: DatabaseManifest) -> Iterator[Stored]:
    """What lies in the backup's own folder."""
    yield from (chunk.stored for chunk in record.chunks)
    yield from record.references


def manifest_name(backup: str) -> str:
    return f"{folder(backup)}/{MANIFEST}"
