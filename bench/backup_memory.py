"""How much memory a backup and a restore of very large attachments take. Made of pieces that are never whole."""

from __future__ import annotations

import random
import tempfile
import time
import uuid
from collections.abc import Iterator

import msgspec

from bench.rig import timed
from worker.blobs.seal import Keys, new_identity, seals
from worker.blobs.store import Store
from worker.blobs.vault import Vault
from worker.core.manifest import backup_id
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.couch.related import Part, Related
from worker.couch.server import Server
from worker.ops.backup.catalogue import Catalogue
from worker.ops.backup.run import Order, run
from worker.ops.control import Unattended
from worker.ops.restore.chain import Chain
from worker.ops.restore.database import restore_new

PIECE = 1_000_000
ATTACHMENTS = 2
PATIENCE = 600.0  # seconds


def measure_memory(server: Server, size: int) -> None:
    """Attachments of `size` bytes, sealed, into a local folder and back."""
    source, target = (Database(server, f"bench-{uuid.uuid4().hex[:12]}") for _ in range(2))
    source.create()
    try:
        for number in range(ATTACHMENTS):
            _put(source, f"large-{number}", size, number)
        with tempfile.TemporaryDirectory(prefix="nbr-bench-") as folder:
            vault = Vault(Store.open(f"file://{folder}/store"), seals(Keys.parse(new_identity())))
            now = time.time()
            order = Order(backup_id(now, "memory"), now, (source.name,), {source.name: [server.node.name]})
            print(f"backup of {ATTACHMENTS} x {size:,} bytes: ", end="", flush=True)
            print(f"{timed(lambda: run(Cluster([server]), order, vault, Unattended())):.1f} s")
            record = Catalogue(vault).find(order.id)
            chain = Chain.of(vault, record.entries[0])
            print(f"restore: {timed(lambda: restore_new(vault, chain, target, Unattended())):.1f} s")
    finally:
        source.drop()
        target.drop()


def _put(database: Database, document: str, size: int, seed: int) -> None:
    stub = {"content_type": "application/octet-stream", "length": size, "follows": True}
    text = msgspec.json.encode({"_id": document, "_attachments": {"data.bin": stub}})
    body = Related(text, [Part("data.bin", "application/octet-stream", size, lambda: _pieces(size, seed))])
    database.client.put(database.name, document, body=body, content_type=body.content_type, read_timeout=PATIENCE)


def _pieces(size: int, seed: int) -> Iterator[bytes]:
    chance = random.Random(seed)
    for _ in range(size // PIECE):
        yield chance.randbytes(PIECE)
