"""Which backups the store has. The store is asked, never a database of ours: it may be all that is left."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from worker.blobs.seal import SUFFIX
from worker.blobs.vault import Vault
from worker.core.errors import BackupUnknown, ObjectDamaged, ObjectMissing, ReplicationError, WrongKey
from worker.core.latest import newest
from worker.core.manifest import (
    BACKUPS,
    FORMAT,
    ID_PATTERN,
    LATEST,
    MANIFEST,
    DatabaseManifest,
    Entry,
    Manifest,
    Parent,
    folder,
)
from worker.ops.backup.database import Earlier

_ID = re.compile(ID_PATTERN)


@dataclass(frozen=True)
class Unreadable:
    """There is something, and we cannot tell what it is: it is listed, never deleted, and never gone on from."""

    id: str
    why: ReplicationError


class Catalogue:
    """Reads manifests when it is asked for them, and keeps none: one of ten thousand databases is megabytes."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self.unfinished: list[str] = []  # folders without a manifest, as of the last listing

    def ids(self) -> list[str]:
        """Every folder of a backup, the newest first; what is broken off is among them. Folders of others are not: what
        is unfinished will be removed."""
        return sorted(filter(_ID.match, self._vault.blobs.folders(BACKUPS)), reverse=True)

    def find(self, backup: str, fit: Callable[[Manifest], bool] = lambda manifest: True) -> Manifest:
        """By its id, or `latest`: the newest that can be read and is `fit`. Raises BackupUnknown, ObjectDamaged,
        WrongKey, NotSealed, and what the store raises."""
        if backup == LATEST:
            return self._latest(fit)
        try:
            return self._manifest(backup)
        except ObjectMissing:
            known = self.ids()
            if backup in known:
                raise ObjectMissing(
                    f"backup {backup} has no manifest: it was broken off before its end, and is no backup"
                ) from None
            raise BackupUnknown(
                f"{self._vault.blobs.name} has no backup {backup}; the newest are: {', '.join(known[:5]) or 'none'}"
            ) from None

    def _latest(self, fit: Callable[[Manifest], bool]) -> Manifest:
        unreadable: list[Unreadable] = []

        def readable() -> Iterator[Manifest]:
            for found in self.all():
                if isinstance(found, Unreadable):
                    unreadable.append(found)
                elif fit(found):
                    yield found

        found = newest(
            readable(), lambda one: one.id, lambda one: one.key is not None, has_key=self._vault.seals.key is not None
        )
        if found is not None:
            return found
        if unreadable:
            raise unreadable[0].why
        raise BackupUnknown(f"{self._vault.blobs.name} has no such backup")

    def all(self) -> Iterator[Manifest | Unreadable]:
        """The newest first."""
        self.unfinished = []
        for backup in self.ids():
            try:
                yield self._manifest(backup)
            except ObjectMissing:
                self.unfinished.append(backup)
            except (ObjectDamaged, WrongKey) as error:
                yield Unreadable(backup, error)

    def record(self, entry: Entry) -> DatabaseManifest:
        return self._vault.read_record(entry.manifest, DatabaseManifest)

    def earlier(self, entry: Entry) -> Earlier:
        """What a backup of the same database needs to go on from this one."""
        record = self.record(entry)
        return Earlier(
            Parent(record.backup, entry.manifest), record, tuple(o for o in entry.chain if o != record.backup)
        )

    def _manifest(self, backup: str) -> Manifest:
        name, found = self._vault.named_record(f"{folder(backup)}/{MANIFEST}", Manifest)
        if found.key is not None and not name.endswith(SUFFIX):
            raise ObjectDamaged(f"{name} says that its backup is sealed, and is not sealed: it is not ours")
        if found.format > FORMAT:
            raise ObjectDamaged(f"backup {backup} has format {found.format}, and this version reads up to {FORMAT}")
        return found
