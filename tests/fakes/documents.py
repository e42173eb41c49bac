"""A CouchDB database in memory: revision trees, leaves, winners, attachments, sequences. No locks, no HTTP.

Real enough for replication: a revision's id is a hash of its content and parent (so the same edit made twice
is the same revision), a document may have several leaves, and a sequence is good for its own database only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Any

from tests.fakes.attachments import keep, stub

JsonObject = dict[str, Any]
NOBODY_BUT_ADMINS = {"members": {"roles": ["_admin"]}, "admins": {"roles": ["_admin"]}}


class Refused(Exception):
    """An answer that is not 2xx: (status, error, reason), in CouchDB's words."""

    def __init__(self, status: int, error: str, reason: str) -> None:
        super().__init__(status, error, reason)
        self.status, self.error, self.reason = status, error, reason

    @property
    def said(self) -> tuple[int, JsonObject]:
        return self.status, {"error": self.error, "reason": self.reason}


CONFLICT = (409, "conflict", "Document update conflict.")


@dataclass(frozen=True)
class Revision:
    """`body` is None where only the name is known: an ancestor that came by replication."""

    parent: str | None
    deleted: bool = False
    body: JsonObject | None = None


@dataclass
class Document:
    revisions: dict[str, Revision] = field(default_factory=dict)

    def leaves(self) -> list[str]:
        """The winner first, as CouchDB chooses it: live before deleted, then the longest, then the highest hash."""
        parents = {revision.parent for revision in self.revisions.values()}
        found = [name for name in self.revisions if name not in parents]
        return sorted(found, key=lambda name: (not self.revisions[name].deleted, *_order(name)), reverse=True)

    def path(self, name: str) -> list[str]:
        """The revision and its ancestors, newest first."""
        found, at = [], name
        while at:
            found.append(at)
            at = self.revisions[at].parent or "" if at in self.revisions else ""
        return found

    def add(self, path: list[str], deleted: bool, body: JsonObject) -> bool:
        """Graft a path (newest first). False where its newest was known already."""
        known = path[0] in self.revisions and self.revisions[path[0]].body is not None
        for at, name in enumerate(path[1:], start=2):
            self.revisions.setdefault(name, Revision(path[at] if at < len(path) else None))
        if not known:
            self.revisions[path[0]] = Revision(path[1] if len(path) > 1 else None, deleted, body)
        return not known

    def forget(self, leaf: str) -> None:
        """The leaf, and what led to it alone."""
        name: str | None = leaf
        while name in self.revisions and name not in {revision.parent for revision in self.revisions.values()}:
            name = self.revisions.pop(name).parent


@dataclass
class FakeDatabase:
    name: str
    tag: str  # makes sequences of this database unlike those of any other
    partitioned: bool = False
    shards: int = 2
    compresses: bool = True  # attachments, as CouchDB does and a stand-in does not
    born: str = "1700000000"  # seconds; of no other database
    security: JsonObject = field(default_factory=lambda: dict(NOBODY_BUT_ADMINS))
    documents: dict[str, Document] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)  # id -> number of its last change, in order of change
    local: dict[str, JsonObject] = field(default_factory=dict)  # by whole id, without _rev
    local_writes: dict[str, int] = field(default_factory=dict)
    number: int = 0
    purges: int = 0
    revs_limit: int = 1_000
    on_change: Callable[[], None] = lambda: None

    def sequence(self, number: int | None = None) -> str:
        return f"{self.number if number is None else number}-{self.tag}"

    def number_of(self, since: str) -> int:
        """A foreign sequence means nothing here: everything is told again, as CouchDB does."""
        number, _, tag = since.partition("-")
        return int(number) if tag in {self.tag, ""} and number.isdigit() else 0

    def write(self, document: JsonObject) -> str:
        """`new_edits`: a child of the given leaf, or a new document. Raises Refused."""
        document = dict(document)
        identity, parent = str(document.pop("_id")), document.pop("_rev", None)
        found = self.documents.setdefault(identity, Document())
        leaves = found.leaves()
        if parent is None and leaves:
            if not found.revisions[leaves[0]].deleted:
                raise Refused(*CONFLICT)
            parent = leaves[0]
        elif parent is not None and parent not in leaves:
            raise Refused(*CONFLICT)
        deleted = bool(document.pop("_deleted", False))
        generation = _order(parent)[0] + 1 if parent else 1
        body = self._with_bytes(identity, document, found.revisions[parent].body if parent else None, generation)
        told = json.dumps([parent, deleted, body], sort_keys=True)
        revision = f"{generation}-{hashlib.md5(told.encode()).hexdigest()}"  # noqa: S324
        found.add([revision, *(found.path(parent) if parent else [])], deleted, body)
        self._touch(identity)
        return revision

    def write_replicated(self, document: JsonObject) -> bool:
        """`new_edits` false: the revision is kept as it is named. False where it was here already."""
        document = dict(document)
        identity, revision = str(document.pop("_id")), str(document.pop("_rev"))
        deleted = bool(document.pop("_deleted", False))
        history = document.pop("_revisions", None) or {"start": _order(revision)[0], "ids": [revision.split("-")[1]]}
        path = [f"{history['start'] - i}-{name}" for i, name in enumerate(history["ids"])]
        found = self.documents.get(identity, Document())
        known = (found.revisions[name].body for name in path if name in found.revisions)
        body = self._with_bytes(identity, document, next((body for body in known if body), None), None)
        is_new = found.add(path, deleted, body)
        self.documents[identity] = found
        if is_new:
            self._touch(identity)
        return is_new

    def read(
        self,
        identity: str,
        revision: str | None,
        *,
        attachments: bool,
        revs: bool = False,
        encodings: bool = False,
    ) -> JsonObject:
        """A revision (None: the winner), with the bytes of its attachments as they are kept, or with stubs; these have
        their encodings where wanted. Raises Refused."""
        found = self.documents.get(identity)
        leaves = found.leaves() if found else []
        if found is None or not leaves:
            raise Refused(404, "not_found", "missing")
        name = revision or leaves[0]
        kept = found.revisions.get(name)
        if kept is None or kept.body is None:
            raise Refused(404, "not_found", "missing")
        if kept.deleted and revision is None:
            raise Refused(404, "not_found", "deleted")
        told = {"_id": identity, "_rev": name, **kept.body, **({"_deleted": True} if kept.deleted else {})}
        if "_attachments" in told and not attachments:
            told["_attachments"] = {name: stub(item, encoding=encodings) for name, item in told["_attachments"].items()}
        if revs:
            path = found.path(name)
            told["_revisions"] = {"start": _order(name)[0], "ids": [part.split("-", 1)[1] for part in path]}
        return told

    def write_local(self, identity: str, body: JsonObject, *, checked: bool = False) -> str:
        """A `_local` document. `checked`: only with the right `_rev`, as stand-ins want it; CouchDB 3 takes any."""
        document = {key: value for key, value in body.items() if key not in {"_id", "_rev"}}
        known = self.local_writes.get(identity, 0)
        if checked and known and body.get("_rev") != f"0-{known}":
            raise Refused(*CONFLICT)
        self.local[identity] = document
        self.local_writes[identity] = known + 1
        return f"0-{known + 1}"

    def read_local(self, identity: str) -> JsonObject:
        if identity not in self.local:
            raise Refused(404, "not_found", "missing")
        return {"_id": identity, "_rev": f"0-{self.local_writes[identity]}", **self.local[identity]}

    def forget_local(self, identity: str) -> None:
        del self.local[identity], self.local_writes[identity]

    def matches(self, identity: str, revision: str, selector: JsonObject) -> bool:
        """Equality of fields is all of Mango that tests need."""
        body = {**(self.documents[identity].revisions[revision].body or {}), "_id": identity}
        return all(body.get(name) == value for name, value in selector.items())

    def has(self, identity: str, revision: str) -> bool:
        """Whether it has the revision itself, not just its name."""
        found = self.documents.get(identity)
        return found is not None and revision in found.revisions and found.revisions[revision].body is not None

    def changes(
        self, since: str, limit: int | None = None, wanted: Callable[[str], bool] = lambda identity: True
    ) -> tuple[list[tuple[int, str]], int]:
        """[(number, id)] after `since` of the `wanted` documents, and how many there are after those."""
        after = self.number_of(since)
        rows = sorted((number, key) for key, number in self.changed.items() if number > after and wanted(key))
        told = rows if limit is None else rows[:limit]
        return told, len(rows) - len(told)

    def purge(self, identity: str, revisions: Collection[str] | None = None) -> list[str]:
        """Forget these leaves (None: all) as if they had never been: no tombstone, and no row in the feed where none is
        left. Returns those that were here."""
        found = self.documents.get(identity, Document())
        gone = [name for name in found.leaves() if revisions is None or name in revisions]
        for name in gone:
            found.forget(name)
        if gone:
            self.purges += 1
            self.number += 1
            self.changed[identity] = self.number
            if not found.revisions:
                del self.documents[identity], self.changed[identity]
        return gone

    def compact(self) -> None:
        """Keep the bodies of leaves alone."""
        for document in self.documents.values():
            leaves = document.leaves()
            document.revisions = {
                name: revision if name in leaves else replace(revision, body=None)
                for name, revision in document.revisions.items()
            }

    def counts(self) -> tuple[int, int]:
        """Documents, and deleted ones."""
        deleted = sum(found.revisions[found.leaves()[0]].deleted for found in self.documents.values())
        return len(self.documents) - deleted, deleted

    def _touch(self, identity: str) -> None:
        self.number += 1
        self.changed[identity] = self.number
        self.on_change()

    def _with_bytes(
        self, identity: str, document: JsonObject, before: JsonObject | None, revpos: int | None
    ) -> JsonObject:
        """A stub stands for the bytes that a revision before has under the same name."""
        if "_attachments" not in document:
            return document
        known = (before or {}).get("_attachments", {})
        kept = {}
        for name, given in document["_attachments"].items():
            if given.get("stub") and name not in known:
                raise Refused(412, "missing_stub", f"Invalid attachment stub in {identity} for {name}")
            kept[name] = known[name] if given.get("stub") else keep(given, revpos, compresses=self.compresses)
        return {**document, "_attachments": kept}


def _order(revision: str) -> tuple[int, str]:
    generation, _, digest = revision.partition("-")
    return int(generation), digest
