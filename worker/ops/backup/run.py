"""One backup: every database that was asked for, each from a node that is fit for it, as one set with one id."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field

from worker.blobs.vault import Vault
from worker.core.errors import (
    BackupIncomplete,
    NotFound,
    ObjectDamaged,
    ObjectMissing,
    ReplicationError,
    StoreRefused,
    StoreUnavailable,
    Unreachable,
    WrongKey,
)
from worker.core.manifest import (
    FORMAT,
    MANIFEST,
    RECORD,
    Counts,
    DatabaseManifest,
    Entry,
    Failed,
    Manifest,
    Stored,
    database_folder,
    folder,
)
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.ops.backup.attachments import AttachmentStore
from worker.ops.backup.catalogue import Catalogue
from worker.ops.backup.database import DatabaseBackup, Earlier, Saved, Tools
from worker.ops.backup.group import FULL
from worker.ops.backup.notes import damage_of
from worker.ops.backup.pace import Throttle
from worker.ops.control import Control
from worker.ops.parallel import pooled

DATABASES_AT_ONCE = 4
FETCHERS = 8
CARRIERS = 4
EARLIER = 50  # backups that are looked through for one to go on from


@dataclass(frozen=True)
class Order:
    """What is to be backed up: `databases` -> the nodes it may be read from, the best first."""

    id: str
    started_at: float
    scope: tuple[str, ...]
    databases: Mapping[str, Sequence[str]]
    unreached: Mapping[str, str] = field(default_factory=dict)  # databases that should be in it, and why they are not
    behind: frozenset[str] = frozenset()  # nodes that are read only where no other can be
    full: bool = False
    full_after: float = 7 * 86_400.0  # seconds after which a chain ends, and a full one begins
    scheduled: bool = False
    chunk_bytes: int = FULL


@dataclass
class _Progress:
    """Documents done in all databases together. Databases are counted, because of documents nobody knows how many there
    will be."""

    control: Control
    total: int
    databases: int = 0
    documents: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def told(self, documents: int) -> None:
        with self.lock:
            self.documents += documents
            self.report()

    def report(self) -> None:
        self.control.report("back up", self.databases, self.total, "databases")


def run(
    cluster: Cluster,
    order: Order,
    vault: Vault,
    control: Control,
    *,
    throttle: Throttle | None = None,
    rest: Callable[[], None] = lambda: None,
) -> Manifest:
    """Raises BackupIncomplete where some databases failed (the others are saved), what all of them failed with where
    all did, and what the store raises. One that an earlier attempt has finished is left as it is."""
    finished = _finished(vault, order)
    if finished is not None:
        return finished
    control.report("look")
    entries, failed = _back_up(cluster, order, vault, control, throttle or Throttle(), rest)
    if failed and not entries:
        raise next(iter(failed.values()))
    manifest = _manifest(order, vault, entries, failed)
    vault.blobs.settle()
    control.check()  # whoever has lost the job vouches for nothing any more
    vault.write_record(f"{folder(order.id)}/{MANIFEST}", manifest)
    vault.blobs.settle()
    vault.blobs.delete([found.name for found in vault.blobs.listed(f"{folder(order.id)}/journal")])
    return _whole(manifest)


def _back_up(
    cluster: Cluster, order: Order, vault: Vault, control: Control, throttle: Throttle, rest: Callable[[], None]
) -> tuple[list[Entry], dict[str, ReplicationError]]:
    """Each database, a few at a time: what was saved, and what failed."""
    earlier = _Earlier(vault, order)
    progress = _Progress(control, len(order.databases))
    entries: list[Entry] = []
    failed: dict[str, ReplicationError] = {name: Unreachable(why) for name, why in order.unreached.items()}
    with ExitStack() as stack:
        fetchers = _pool(stack, FETCHERS, "backup-fetch")
        carriers = _pool(stack, CARRIERS, "backup-attachment")
        stack.callback(throttle.stop)  # before the pools are waited for
        attachments = AttachmentStore(vault, throttle)
        tools = Tools(vault, attachments, throttle, fetchers, carriers, control, rest, order.chunk_bytes)

        def one(database: str) -> Entry:
            return _one(cluster, order, database, earlier, tools, progress)

        for outcome in pooled(order.databases, one, DATABASES_AT_ONCE, control):
            if outcome.value is not None:
                entries.append(outcome.value)
            elif outcome.error is not None:
                if isinstance(outcome.error, StoreUnavailable | StoreRefused):
                    raise outcome.error
                failed[outcome.key] = outcome.error
            progress.databases += 1
            progress.report()
    return entries, failed


def _finished(vault: Vault, order: Order) -> Manifest | None:
    try:
        return _whole(vault.find_record(f"{folder(order.id)}/{MANIFEST}", Manifest))
    except (ObjectMissing, ObjectDamaged, WrongKey):
        return None


def _whole(manifest: Manifest) -> Manifest:
    """Raises BackupIncomplete."""
    if manifest.failed:
        raise _incomplete(manifest)
    return manifest


def _pool(stack: ExitStack, size: int, name: str) -> ThreadPoolExecutor:
    made = ThreadPoolExecutor(size, name)
    # what an error has left waiting is not begun
    stack.callback(made.shutdown, wait=True, cancel_futures=True)
    return made


class _Earlier:
    """Finds for each database what to go on from: its newest entry in a manifest. These are read from the newest on,
    only as far as needed, and nothing but those entries is kept."""

    def __init__(self, vault: Vault, order: Order) -> None:
        self._vault = vault
        self._lock = threading.Lock()
        self._found_damaged: dict[str, bool] = {}
        self._catalogue = Catalogue(vault)
        self._order = order
        self._began: dict[str, float] = {}
        self._entries: dict[str, tuple[str, str | None, Entry]] = {}  # database -> backup, its key, its entry there
        wanted = set(order.databases)
        for found in itertools.islice(self._catalogue.all(), 0 if order.full else EARLIER):
            if isinstance(found, Manifest) and found.id != order.id:
                self._began[found.id] = found.started_at
                for entry in found.entries:
                    if entry.database in wanted:
                        wanted.discard(entry.database)
                        self._entries[entry.database] = (found.id, found.key, entry)

    def of(self, database: str, key: str | None) -> tuple[Earlier | None, str | None]:
        """What to go on from; else why nothing, in words, where that was to be expected otherwise."""
        if database not in self._entries:
            return None, None if self._order.full else "there is no backup of this database to go on from"
        backup, sealed_for, entry = self._entries[database]
        if sealed_for != key:
            return None, "BACKUP_KEY has changed since the backup before"
        if bad := next((one for one in sorted({backup, *entry.chain}) if self._damaged(one)), None):
            return None, f"backup {bad}, which this one would go on from, was found damaged"
        try:
            found = self._catalogue.earlier(entry)
        except (ObjectMissing, ObjectDamaged, WrongKey) as error:
            return None, f"the backup before, {backup}, cannot be gone on from: {error.detail}"
        if self._too_old(entry, found):
            return None, "the chain has reached the age at which a full one begins"
        return found, None

    def _damaged(self, backup: str) -> bool:
        with self._lock:
            if backup not in self._found_damaged:
                found = damage_of(self._vault, backup)
                self._found_damaged[backup] = found is not None and found.on
            return self._found_damaged[backup]

    def _too_old(self, entry: Entry, found: Earlier) -> bool:
        began = self._began.get(min((*entry.chain, found.parent.backup)))
        return began is None or self._order.started_at - began >= self._order.full_after


def _one(cluster: Cluster, order: Order, database: str, earlier: _Earlier, tools: Tools, progress: _Progress) -> Entry:
    done = _done_before(tools.vault, order.id, database)
    if done is not None:
        return done
    going_on, why = earlier.of(database, tools.vault.seals.key)
    trouble: ReplicationError | None = None
    added = 0
    for node in _preferred(order, database, going_on):
        work = DatabaseBackup(Database(cluster[node], database), order.id, going_on, tools, progress.told, added)
        try:
            saved = work.run(full=order.full, why=why)
        except (StoreUnavailable, StoreRefused):
            raise
        except ReplicationError as error:
            trouble = trouble if isinstance(error, NotFound) and trouble else error
            added = work.added
            continue
        return _entry(saved, going_on)
    raise trouble or NotFound(f"no node that answers has a database {database}", database=database)


def _preferred(order: Order, database: str, going_on: Earlier | None) -> list[str]:
    """The node of the backup before goes first, unless it has fallen behind: sequences of another are worth nothing."""
    before = going_on.manifest.source.node if going_on else None
    return sorted(order.databases[database], key=lambda node: node != before or node in order.behind)


def _done_before(vault: Vault, backup: str, database: str) -> Entry | None:
    """What an earlier attempt at this backup has finished. Records of databases that had not changed are not among
    them: those are looked at again, which is quick."""
    for found in vault.blobs.listed(database_folder(backup, database)):
        if not found.name.rpartition("/")[2].startswith(f"{RECORD}-"):
            continue
        try:
            stored = vault.stat(found.name)
            record = vault.read_record(stored, DatabaseManifest)
            return _made(record, stored, _chain(record, vault), unchanged=False)
        except (ObjectMissing, ObjectDamaged, WrongKey):
            continue
    return None


def _chain(record: DatabaseManifest, vault: Vault) -> tuple[str, ...]:
    """Raises ObjectMissing where a backup that it goes on from has been pruned meanwhile."""
    found: list[str] = []
    while record.parent is not None:
        found.append(record.parent.backup)
        vault.stat_record(f"{folder(record.parent.backup)}/{MANIFEST}")
        record = vault.read_record(record.parent.manifest, DatabaseManifest)
    return tuple(sorted(found))


def _entry(saved: Saved, going_on: Earlier | None) -> Entry:
    record, stored = saved.manifest, saved.stored
    if stored is None:
        assert going_on is not None  # noqa: S101 - only then it can be unchanged
        chain = (*going_on.chain, going_on.parent.backup)
        return _made(record, going_on.parent.manifest, chain, unchanged=True)
    chain = () if record.full or going_on is None else (*going_on.chain, going_on.parent.backup)
    return _made(record, stored, chain, unchanged=False)


def _made(record: DatabaseManifest, stored: Stored, chain: Sequence[str], *, unchanged: bool) -> Entry:
    whole = Counts(documents=record.counts.documents, deleted=record.counts.deleted)
    return Entry(
        database=record.database,
        manifest=stored,
        full=record.full and not unchanged,
        unchanged=unchanged,
        why=None if unchanged else record.why,
        node=record.source.node,
        chain=tuple(sorted(set(chain))),
        counts=whole if unchanged else record.counts,
    )


def _manifest(order: Order, vault: Vault, entries: Sequence[Entry], failed: Mapping[str, ReplicationError]) -> Manifest:
    return Manifest(
        format=FORMAT,
        id=order.id,
        started_at=order.started_at,
        finished_at=time.time(),
        scope=order.scope,
        scheduled=order.scheduled,
        key=vault.seals.key,
        entries=tuple(sorted(entries, key=lambda entry: entry.database)),
        failed=tuple(Failed(name, error.slug, str(error)) for name, error in sorted(failed.items())),
    )


def _incomplete(manifest: Manifest) -> BackupIncomplete:
    names = [failed.database for failed in manifest.failed]
    first = manifest.failed[0]
    error = BackupIncomplete(
        f"{len(names)} of {len(names) + len(manifest.entries)} databases could not be backed up: "
        f"{', '.join(names[:10])}; {first.database}: {first.detail}"
    )
    return error
