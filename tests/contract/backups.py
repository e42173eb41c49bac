"""What the tests of backups and restores share: a database that has everything, and ways to look at one whole."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from tests import builders
from tests.contract.conftest import Site
from worker.blobs.seal import OPEN, Seals
from worker.blobs.store import Store
from worker.blobs.vault import Vault
from worker.core.manifest import MANIFEST, Entry, Manifest, backup_id, database_folder, folder
from worker.couch.database import Database
from worker.couch.revisions import HEAD, Revisions
from worker.ops.backup.catalogue import Catalogue
from worker.ops.backup.objects import own
from worker.ops.backup.run import Order, run
from worker.ops.control import Control, Unattended
from worker.ops.restore.chain import Chain

EPOCH = 1_795_446_000.0
REFUSES = "function (doc) { if (!doc.kind && !doc._deleted) throw({forbidden: 'a document needs a kind'}); }"


def memory(seals: Seals = OPEN) -> Vault:
    return Vault(Store.open("memory://"), seals)


def back_up(
    site: Site,
    vault: Vault,
    *databases: str,
    at: float = 0,
    node: str = "a",
    control: Control | None = None,
    meanwhile: Callable[[], None] = lambda: None,
    **order: Any,
) -> Manifest:
    """One backup; `at`: days after the first. `meanwhile` is called after each few documents."""
    began = EPOCH + at * 86_400
    wanted = Order(
        backup_id(began, f"{int(at * 1000):06}"),
        began,
        tuple(sorted(databases)),
        {name: [node] for name in databases},
        **{"full_after": 1e9, **order},
    )
    return run(site.cluster, wanted, vault, control or Unattended(), rest=meanwhile)


def entry_of(manifest: Manifest, database: str) -> Entry:
    found = manifest.entry(database)
    assert found is not None
    return found


def chain_of(vault: Vault, manifest: Manifest, database: str) -> Chain:
    return Chain.of(vault, entry_of(manifest, database))


def forged(vault: Vault, manifest: Manifest, database: str, change: Callable[[list[bytes]], list[bytes]]) -> Manifest:
    """The same backup, with other lines in the first chunk of a database, and all that vouches for it written anew."""
    record = chain_of(vault, manifest, database).newest
    first, *others = record.chunks
    lines = change(vault.read(first.stored).split(b"\n"))
    stored = vault.write(f"{database_folder(record.backup, database)}/forged", b"\n".join(lines))
    chunk = msgspec.structs.replace(first, stored=stored, leaves=len(lines))
    record = msgspec.structs.replace(record, chunks=(chunk, *others))
    vouched = vault.write_record(f"{database_folder(record.backup, database)}/{MANIFEST}", record)
    entries = (
        msgspec.structs.replace(one, manifest=vouched) if one.database == database else one for one in manifest.entries
    )
    made = msgspec.structs.replace(manifest, entries=tuple(entries))
    vault.write_record(f"{folder(manifest.id)}/{MANIFEST}", made)
    return made


def newest(vault: Vault) -> Manifest:
    return Catalogue(vault).find("latest")


# --- a database that has everything


def fill(site: Site, database: Database, seed: int = 1) -> None:
    """Conflicts, tombstones, deep histories, unicode ids, attachments, a design document that refuses what is there,
    `_local` documents."""
    chance = random.Random(seed)  # noqa: S311 - the same each time
    database.bulk([{"_id": f"doc-{i:04}", "n": i, "text": "x" * chance.randrange(400)} for i in range(120)])
    for identity in ("grüße/€", "a+b%20c", "日本", 'quote"back\\slash', "with space", "emoji-😀"):
        database.put({"_id": identity, "kind": "name", "nested": {"ä": [1, 2.5, None, True, "\u2028"]}})
    _conflicts(database)
    _histories(database)
    for identity in ("gone-1", "gone-2"):
        database.delete(identity, database.put({"_id": identity, "was": "here"}))
    _attachments(site, database, chance)
    database.put({"_id": "_design/view", "views": {"all": {"map": "function (doc) { emit(doc._id); }"}}})
    database.put({"_id": "_design/rules", "validate_doc_update": REFUSES})
    if site.kind == "couchdb":
        database.client.put(database.name, "_local", "mine", json={"_id": "_local/mine", "setting": [1, 2]})


def _conflicts(database: Database) -> None:
    one, two, three = (builders.revision(1, word) for word in ("one", "two", "three"))
    database.bulk(
        [{"_id": "conflict", "_rev": rev, "from": rev} for rev in (one, two, three)]
        + [{"_id": "half-gone", "_rev": rev} for rev in (one, two)],
        new_edits=False,
    )
    database.delete("half-gone", one)


def _histories(database: Database) -> None:
    ids = [hashlib.md5(str(i).encode()).hexdigest() for i in range(300, 0, -1)]  # noqa: S324 - as CouchDB's are
    deep = {"_id": "deep", "_rev": f"300-{ids[0]}", "_revisions": {"start": 300, "ids": ids}, "depth": 300}
    database.bulk([deep], new_edits=False)
    rev = None
    for i in range(12):
        rev = database.put({"_id": "edited", "turn": i, **({"_rev": rev} if rev else {})})


def _attachments(site: Site, database: Database, chance: random.Random) -> None:
    data = chance.randbytes(40_000)
    text = b"a text that can be compressed, " * 300
    attached = {
        "empty": builders.attachment(b"", "application/octet-stream"),
        "scan.pdf": builders.attachment(data),
        "same.pdf": builders.attachment(data),
        "notes.txt": builders.attachment(text, "text/plain"),
        "ünïcode name.bin": builders.attachment(chance.randbytes(1_000), "application/octet-stream"),
    }
    database.bulk([{"_id": "attached", "kind": "scan", "_attachments": attached}])
    database.bulk([{"_id": "twin", "kind": "scan", "_attachments": {"copy.pdf": builders.attachment(data)}}])
    one, two = builders.revision(1, "left"), builders.revision(1, "right")
    for rev, content in ((one, b"left"), (two, b"right")):
        conflict = {"_id": "attached-conflict", "_rev": rev, "_attachments": {"side": builders.attachment(content)}}
        database.bulk([conflict], new_edits=False)
    rev = database.put({"_id": "_design/app", "kind": "app"})
    page = {"index.html": builders.attachment(b"<h1>hello</h1>" * 20, "text/html")}
    database.put({"_id": "_design/app", "_rev": rev, "kind": "app", "_attachments": page})


# --- looking at one whole


def content(database: Database) -> dict[str, Any]:
    """Everything of it, comparable: document -> revision -> (history, fields, attachments' types and bytes)."""
    revisions = Revisions(database)
    rows = [row for page in revisions.feed(None, 100) for row in page.rows]
    found: dict[str, Any] = {}
    for one in revisions.leaves(rows)[0]:
        found[one.id] = dict(_revision(revisions, bytes(text)) for text in one.revisions)
    return found


def _revision(revisions: Revisions, text: bytes) -> tuple[str, Any]:
    head, fields = HEAD.decode(text), json.loads(text)
    attachments = {
        name: (stub.content_type, stub.digest, stub.length, _digest(revisions, head.id, head.rev, name, stub.encoding))
        for name, stub in head.attachments.items()
    }
    fields.pop("_attachments", None)
    return head.rev, (fields.pop("_revisions"), fields, attachments)


def _digest(revisions: Revisions, document: str, rev: str, name: str, encoding: str | None) -> str:
    data = b"".join(revisions.attachment(document, rev, name))
    return hashlib.sha256(gzip.decompress(data) if encoding == "gzip" else data).hexdigest()


def lost(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The documents that are not the same in both."""
    return sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))


def md5(data: bytes) -> str:
    """As CouchDB writes it in a stub."""
    return f"md5-{base64.b64encode(hashlib.md5(data).digest()).decode()}"  # noqa: S324


def objects(vault: Vault, prefix: str = "") -> dict[str, int]:
    return {found.name: found.size for found in vault.blobs.listed(prefix)}


def attachments_added(vault: Vault, manifest: Manifest, database: str) -> int:
    """Of what the backup says it added to the store, all that is none of its own files."""
    record = chain_of(vault, manifest, database).newest
    return record.counts.stored_bytes - sum(stored.size for stored in own(record))


def named(found: Iterable[str], word: str) -> list[str]:
    return sorted(name for name in found if word in name)
