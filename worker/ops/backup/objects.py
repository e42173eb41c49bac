"""Which objects a backup is made of: for whoever checks, copies or removes them."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from worker.blobs.vault import Vault
from worker.core.errors import ObjectDamaged
from worker.core.manifest import MANIFEST, DatabaseManifest, Manifest, Stored, folder

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
        for line in vault.read_lines(listed).split(b"\n"):
            try:
                yield _STORED.decode(line)
            except msgspec.DecodeError as error:
                raise ObjectDamaged(f"{listed.object} has a line that names no object: {error}") from None


def own(record: DatabaseManifest) -> Iterator[Stored]:
    """What lies in the backup's own folder."""
    yield from (chunk.stored for chunk in record.chunks)
    yield from record.references


def manifest_name(backup: str) -> str:
    return f"{folder(backup)}/{MANIFEST}"
