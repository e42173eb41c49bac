"""The backup of one database: its feed, its revisions, chunks, and at the end the record that vouches for them.

A pipeline: one thread reads the feed, several fetch revisions, some attachments, one compresses and stores; that of the
caller keeps them in order. Everything that waits is bounded, so the largest database needs no more memory than a small
one.
"""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from worker.blobs.vault import Vault
from worker.core.continuity import why_full
from worker.core.errors import BadAnswer, NotFound, ReplicationError, ServerFault
from worker.core.locals import is_user_document
from worker.core.manifest import (
    FORMAT,
    RECORD,
    Chunk,
    Counts,
    DatabaseManifest,
    Kind,
    Parent,
    Shape,
    Source,
    Stored,
    database_folder,
)
from worker.core.model import DatabaseInfo, Row
from worker.couch.database import Database
from worker.couch.revisions import Found, Head, Page, Revisions
from worker.ops.backup.attachments import AttachmentStore
from worker.ops.backup.feed import Feed
from worker.ops.backup.group import MOST_LOST, Group, not_given
from worker.ops.backup.journal import Done, Journal
from worker.ops.backup.objects import in_list
from worker.ops.backup.pace import Batches, Throttle
from worker.ops.control import Control
from worker.ops.look import LOOK_TIMEOUT

AHEAD = 6  # answers asked for before the first of them is used
GROUPS_AHEAD = 1  # of a few megabytes, while the one before is being stored
LOOKS = 3


@dataclass(frozen=True)
class Tools:
    """What all databases of one backup share."""

    vault: Vault
    attachments: AttachmentStore
    throttle: Throttle
    fetchers: ThreadPoolExecutor
    carriers: ThreadPoolExecutor  # of attachments
    control: Control
    rest: Callable[[], None]  # returns when work may go on: not in a blackout
    chunk_bytes: int


@dataclass(frozen=True)
class Earlier:
    """The newest backup of the database before this one."""

    parent: Parent
    manifest: DatabaseManifest
    chain: tuple[str, ...]


@dataclass(frozen=True)
class Saved:
    """`stored`: the record of what was saved; None where nothing has changed since `earlier`, whose record still says
    all."""

    manifest: DatabaseManifest
    stored: Stored | None


@dataclass(frozen=True)
class _Batch:
    """`rest`: rows that did not fit into one answer. `lost`: revisions that the node lists and does not give."""

    found: list[Found]
    size: int
    superseded: int
    lost: list[str]
    rest: list[Row]


@dataclass(frozen=True)
class _Place:
    """Where a batch stands in the feed: `seq` where it ends a page."""

    snapshot: int
    seq: str | None


class DatabaseBackup:
    """One database on one node into one backup. `told(documents)` hears of each few that are done. `added`: bytes of
    attachments that this backup put into the store for it, those of tries on other nodes (given here) included."""

    def __init__(
        self,
        database: Database,
        backup: str,
        earlier: Earlier | None,
        tools: Tools,
        told: Callable[[int], None],
        added: int = 0,
    ) -> None:
        self._database = database
        self._revisions = Revisions(database)
        self._backup = backup
        self._earlier = earlier
        self._tools = tools
        self._told = told
        self._added_before = self.added = added
        self._batches = Batches()
        self._repeats = False
        self._broken = False

    def run(self, *, full: bool, why: str | None = None) -> Saved:
        """`why`: there is nothing to go on from, in words. Raises worker.core.errors: the node's, the store's, and
        NotFound where there is no such database."""
        try:
            return self._run(full, why)
        except (ServerFault, BadAnswer) as error:
            # CouchDB answers who reads a database that is being dropped in several ways, a 500 among them
            if self._is_gone():
                raise self._not_there() from error
            raise

    def _run(self, full: bool, why: str | None) -> Saved:
        info = self._info()
        documents = info.doc_count + info.doc_del_count
        self._batches = Batches(info.external_bytes / documents if info.external_bytes and documents else None)
        source, shape = self._source(info), self._shape(info)
        local, digest = self._local()
        earlier, why = self._basis(source, full, why)
        if earlier is not None and _unchanged(earlier.manifest, source, shape, digest):
            return Saved(earlier.manifest, None)
        journal = Journal(
            self._tools.vault, self._backup, self._database.name, source, earlier.parent if earlier else None
        )
        journal.load()
        journal.keep_while(self._is_there)
        self._read(journal, journal.reached or (earlier.manifest.source.seq if earlier else None))
        manifest = self._record(journal, info, shape, why, self._store_local(local), digest)
        self._tools.vault.blobs.settle()
        self._tools.control.check()  # whoever has lost the job vouches for nothing any more
        return Saved(manifest, self._tools.vault.write_new_record(self._name(RECORD), manifest))

    # --- what it is

    def _is_gone(self) -> bool:
        with suppress(ReplicationError):
            return self._database.info(tries=1, read_timeout=LOOK_TIMEOUT) is None
        return False

    def _info(self) -> DatabaseInfo:
        info = self._database.info()
        if info is None:
            raise self._not_there()
        return info

    def _not_there(self) -> NotFound:
        name, node = self._database.name, self._database.server.node.name
        return NotFound(f"there is no database {name}", node=node, database=name)

    def _source(self, info: DatabaseInfo) -> Source:
        about = self._database.server.capabilities()
        return Source(
            node=self._database.server.node.name,
            kind=about.kind.value,
            version=about.version,
            uuid=about.uuid,
            seq="",
            update_seq=info.update_seq,
            purge_seq=info.purge_seq,
            instance_start_time=info.instance_start_time,
            read_at=time.time(),
        )

    def _shape(self, info: DatabaseInfo) -> Shape:
        has_limit = self._database.server.capabilities().scheduler  # a stand-in has none
        limit = self._database.revs_limit() if has_limit else None
        return Shape(info.partitioned, info.shards, info.copies, limit, self._database.security())

    def _local(self) -> tuple[list[bytes], str | None]:
        """A user's `_local` documents, and the digest of all of them."""
        found = [document for document in self._revisions.local_documents() if is_user_document(document)]
        lines = sorted(msgspec.json.encode(document) for document in found)
        return lines, hashlib.sha256(b"\n".join(lines)).hexdigest() if lines else None

    def _basis(self, source: Source, full: bool, why: str | None) -> tuple[Earlier | None, str | None]:
        """What to go on from, and if from nothing why, where that was not asked for."""
        if full or self._earlier is None:
            return None, None if full else why
        why = why_full(self._earlier.manifest.source, source)
        return (None, why) if why else (self._earlier, None)

    # --- what is in it

    def _read(self, journal: Journal, since: str | None) -> None:
        """Everything after `since` into the store and the journal."""
        self._told(sum(group.counts.changed for group in journal.groups))
        self._repeats = bool(journal.groups)
        with Feed(self._revisions, since) as feed, ThreadPoolExecutor(1, "backup-store") as writer:
            waiting: deque[Future[None]] = deque()
            group, snapshot = self._group(), 0
            for batch, place in self._fetched(feed):
                self._tools.control.check()
                self._tools.rest()
                if group.full or place.snapshot != snapshot:
                    # never two snapshots in one group: which of two states of a document is newer would be lost
                    waiting.append(writer.submit(self._store, group, journal))
                    group, snapshot = self._group(), place.snapshot
                    while len(waiting) > GROUPS_AHEAD:
                        waiting.popleft().result()
                for found in batch.found:
                    group.add(found)
                group.superseded += batch.superseded
                group.lost += batch.lost
                group.seq = place.seq
            waiting.append(writer.submit(self._store, group, journal))
            for stored in waiting:
                stored.result()
            self._repeats |= feed.restarted

    def _is_there(self, done: Done) -> bool:
        """Whether what an attempt before has noted is in the store: a loss of power may have emptied files."""
        attachments = self._tools.attachments
        vault = self._tools.vault
        own = (*(chunk.stored for chunk in done.chunks), *done.references)
        return all(vault.blobs.size(one.object) == one.size for one in own) and all(
            attachments.has(one) for listed in done.references for one in in_list(vault, listed)
        )

    def _group(self) -> Group:
        return Group(self._keep, self._as_it_is_now, self._new_bytes, self._tools.chunk_bytes)

    def _new_bytes(self, kept: Sequence[Stored]) -> int:
        new = self._tools.attachments.new_bytes(kept)
        self.added += new
        return new

    def _store(self, group: Group, journal: Journal) -> None:
        """One after the other. None after one that failed: who goes on from the journal would never miss that one."""
        if self._broken:
            return
        self._broken = True
        done = group.store(self._tools.vault, self._name(f"{len(journal.groups):06}"))
        journal.add(done)
        self._broken = False
        self._told(done.counts.changed)

    def _keep(self, head: Head, name: str) -> Future[Stored]:
        keep = self._tools.attachments.keep
        return self._tools.carriers.submit(keep, self._revisions, head.id, head.rev, name, head.attachments[name])

    def _fetched(self, pages: Iterable[Page]) -> Iterator[tuple[_Batch, _Place]]:
        """The revisions of all rows in their order, a few batches ahead; with a page's last batch its sequence."""
        waiting: deque[tuple[Future[_Batch], _Place]] = deque()
        for page in pages:
            for rows, place in self._cut(page):
                waiting.append((self._tools.fetchers.submit(self._fetch, rows), place))
                if len(waiting) >= AHEAD:
                    yield from self._taken(*waiting.popleft())
        while waiting:
            yield from self._taken(*waiting.popleft())

    def _cut(self, page: Page) -> Iterator[tuple[list[Row], _Place]]:
        at = 0
        while True:
            rows = page.rows[at : at + self._batches.size]
            at += len(rows)
            last = at >= len(page.rows)
            yield rows, _Place(page.snapshot, page.seq if last else None)
            if last:
                return

    def _taken(self, answer: Future[_Batch], place: _Place) -> Iterator[tuple[_Batch, _Place]]:
        """One batch, or several where its documents are too large for one answer: then one after the other, so that no
        more than the answers ahead are in memory."""
        batch = answer.result()
        while True:
            self._batches.saw(len(batch.found), batch.size)
            self._tools.throttle.took(batch.size)
            yield batch, place if not batch.rest else _Place(place.snapshot, None)
            if not batch.rest:
                return
            batch = self._fetch(batch.rest)

    def _fetch(self, rows: list[Row]) -> _Batch:
        if not rows:
            return _Batch([], 0, 0, [], [])
        found, size, rest = self._revisions.first_leaves(rows)
        superseded = [at for at, one in enumerate(found) if one.missing]
        lost: list[str] = []
        for at in superseded:
            found[at] = self._as_it_is_now(found[at].id)
            lost += not_given(found[at])
        return _Batch(found, size, len(superseded), lost, rest)

    def _as_it_is_now(self, document: str) -> Found:
        """Of a document that was written to after the feed told of it, and compacted: what it was is gone. What it is
        now is in the next backup as well, and better than nothing in this one."""
        found = Found(document, [], [], simple=False)
        for _ in range(LOOKS):
            leaves = self._database.leaves_of([document])
            if not leaves:  # purged
                break
            ((found,), _size) = self._revisions.leaves(list(leaves.items()))
            if not found.missing:
                break
        return found

    # --- what vouches for it

    def _store_local(self, lines: list[bytes]) -> Chunk | None:
        if not lines:
            return None
        data = b"\n".join(lines)
        stored = self._tools.vault.write(self._name(Kind.LOCAL.value), data)
        return Chunk(Kind.LOCAL, stored, len(lines), len(lines), len(data))

    def _record(
        self,
        journal: Journal,
        info: DatabaseInfo,
        shape: Shape,
        why: str | None,
        local: Chunk | None,
        digest: str | None,
    ) -> DatabaseManifest:
        counts = Counts(documents=info.doc_count, deleted=info.doc_del_count, stored_bytes=self._added_before)
        if local is not None:
            counts = counts.plus(Counts(stored_bytes=local.stored.size, raw_bytes=local.raw))
        for group in journal.groups:
            counts = counts.plus(group.counts)
        return DatabaseManifest(
            format=FORMAT,
            backup=self._backup,
            database=self._database.name,
            full=journal.parent is None,
            why=why,
            parent=journal.parent,
            source=msgspec.structs.replace(journal.source, seq=journal.reached or ""),
            shape=shape,
            chunks=(*(chunk for group in journal.groups for chunk in group.chunks), *((local,) if local else ())),
            references=tuple(one for group in journal.groups for one in group.references),
            counts=counts,
            locals=digest,
            lost=tuple(one for group in journal.groups for one in group.lost)[:MOST_LOST],
            repeats=self._repeats,
        )

    def _name(self, last: str) -> str:
        return f"{database_folder(self._backup, self._database.name)}/{last}"


def _unchanged(earlier: DatabaseManifest, source: Source, shape: Shape, local: str | None) -> bool:
    return (earlier.source.update_seq, earlier.shape, earlier.locals) == (source.update_seq, shape, local)
