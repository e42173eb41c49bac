"""Backups and restores through our API, beside couchbackup, couchrestore and curl, on the same node in the same run.

    COUCHDB_TEST_URLS=http://user:password@127.0.0.1:5984 python -m bench.backup [--times 3] [--documents 50000]
    COUCHDB_TEST_URLS=...                                 python -m bench.backup --memory

Ours is one `POST /api/backups {"wait": true}`, from the request to the answer: queue, worker, every leaf revision,
compression, checksums, records, retention and the catalogue included. couchbackup writes winners and their histories,
curl what `_all_docs?include_docs=true` gives; both uncompressed and without checksums. `--memory` backs up and restores
attachments of 1 GB and prints the peak of this process.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from bench.backup_peers import Peers
from bench.rig import private_redis, processes, require, system, timed
from config.settings import build
from embedded.api_client import ApiClient, ApiError
from embedded.ports import any_free
from worker.couch.cluster import Cluster
from worker.couch.database import Database

CHANGES = 100
PDFS, PDF_BYTES = 200, 1_000_000
GIGABYTE = 1_000_000_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--documents", type=int, default=50_000)
    parser.add_argument("--memory", action="store_true")
    asked = parser.parse_args()
    url = os.environ.get("COUCHDB_TEST_URLS", "").split(",")[0]
    if not url:
        print("bench: name a node in COUCHDB_TEST_URLS", file=sys.stderr)
        return 2
    cluster = Cluster.from_settings(build({"couchdb_url": url}))
    server = cluster[cluster.names[0]]
    about = server.capabilities()
    print(f"{about.kind.value} {about.version}")
    if asked.memory:
        from bench.backup_memory import measure_memory  # noqa: PLC0415 - the other needs none of it

        measure_memory(server, GIGABYTE)
        print(f"peak memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")
        return 0
    Bench(url, cluster).run(asked.documents, asked.times)
    return 0


class Bench:
    def __init__(self, url: str, cluster: Cluster) -> None:
        self._url = url
        self._server = cluster[cluster.names[0]]
        self._peers = Peers.install(url)
        self._made: list[str] = []
        self._folder = Path()

    def run(self, documents: int, times: int) -> None:
        with tempfile.TemporaryDirectory(prefix="nbr-bench-") as folder, self._system(Path(folder)) as api:
            self._folder = Path(folder)
            try:
                self._documents(api, documents, times)
                self._pdfs(api)
            finally:
                for name in self._made:
                    Database(self._server, name).drop()

    @contextmanager
    def _system(self, folder: Path) -> Iterator[ApiClient]:
        port = any_free()
        environ = {
            "COUCHDB_URL": self._url,
            "API_PORT": str(port),
            "BACKUP_URL": f"file://{folder / 'store'}",
            "BACKUP_SCHEDULE": "off",
            "CONTINUOUS_REPLICATION": "false",
        }
        api = ApiClient(f"http://127.0.0.1:{port}")

        def ready() -> bool:
            try:
                return api.call("GET", "/api/health")[0] == 200
            except ApiError:
                return False

        with private_redis() as redis:
            environ["REDIS_URL"] = redis.url
            with processes(system(["worker", "control", "beat", "api"]), environ):
                require(ready, "a healthy system")
                yield api

    # --- documents

    def _documents(self, api: ApiClient, count: int, times: int) -> None:
        database = self._database()
        fill(database, count)
        name, dump = database.name, self._folder / "couchbackup.txt"
        seconds: dict[str, list[float]] = {
            key: [] for key in ("ours", "couchbackup", "curl", "restore", "couchrestore")
        }
        backup: dict[str, Any] = {}
        for _ in range(times):
            seconds["curl"].append(self._peers.curl(f"{name}/_all_docs?include_docs=true"))
            seconds["ours"].append(timed(lambda: backup.update(self._back_up(api, name, full=True))))
            seconds["couchbackup"].append(self._peers.backup(name, dump))
        for _ in range(times):
            target = self._name()
            seconds["restore"].append(timed(lambda into=target: self._restore(api, backup, name, into)))  # type: ignore[misc]
            theirs = self._database()
            seconds["couchrestore"].append(self._peers.restore(theirs.name, dump))
            assert dict(Database(self._server, target).leaves()) == dict(database.leaves())
        tell(f"full backup, {count} documents", seconds, "ours", ("couchbackup", "curl"))
        tell("restore", seconds, "restore", ("couchrestore",))
        print(f"in the store: {backup['stored_bytes']:,} bytes; couchbackup's file: {dump.stat().st_size:,}")
        self._incremental(api, database, times)

    def _incremental(self, api: ApiClient, database: Database, times: int) -> None:
        ours, feed = [], []
        for turn in range(times):
            since = database.info()
            assert since is not None
            documents = database.by_ids([f"doc-{i:08}" for i in range(CHANGES)])
            database.bulk([{**document, "turn": turn} for document in documents.values()])
            feed.append(self._peers.curl(f"{database.name}/_changes?style=all_docs&since={since.update_seq}"))
            made: dict[str, Any] = {}
            ours.append(timed(lambda into=made: into.update(self._back_up(api, database.name))))  # type: ignore[misc]
            assert (made["changed"], made["full"]) == (CHANGES, False), made
        print(
            f"incremental after {CHANGES} changes: {median(ours):.2f} s; the feed alone, by curl: {median(feed):.2f} s"
        )

    # --- attachments

    def _pdfs(self, api: ApiClient) -> None:
        database = self._database()
        chance = random.Random(1)
        for number in range(PDFS):
            data = chance.randbytes(PDF_BYTES)
            self._server.client.put(
                database.name, f"pdf-{number}", "scan.pdf", body=data, content_type="application/pdf"
            )
        before = self._stored()
        first = timed(lambda: self._back_up(api, database.name, full=True))
        stored = self._stored() - before
        second = timed(lambda: self._back_up(api, database.name, full=True))
        again = self._stored() - before - stored
        print(
            f"{PDFS} PDFs of {PDF_BYTES:,} bytes: {first:.2f} s, stored / sum = {stored / (PDFS * PDF_BYTES):.3f}; "
            f"the next full backup: {second:.2f} s, {again:,} bytes more"
        )

    def _stored(self) -> int:
        return sum(path.stat().st_size for path in (self._folder / "store").rglob("*") if path.is_file())

    # --- ours

    def _back_up(self, api: ApiClient, database: str, *, full: bool = False) -> dict[str, Any]:
        return done(api, "/api/backups", {"databases": [database], "full": full, "wait": True})

    def _restore(self, api: ApiClient, backup: dict[str, Any], database: str, into: str) -> None:
        path = f"/api/backups/{backup['backup_id']}/restore"
        done(api, path, {"database": database, "as": into, "wait": True})

    def _database(self) -> Database:
        made = Database(self._server, self._name())
        made.create()
        return made

    def _name(self) -> str:
        self._made.append(f"bench-{uuid.uuid4().hex[:12]}")
        return self._made[-1]


def done(api: ApiClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    status, job = api.call("POST", path, body)
    assert status == 200, job
    assert job["state"] == "succeeded", job
    return dict(job["result"])


def fill(database: Database, count: int) -> None:
    """Documents of 1.2 KB that compress as text does."""
    chance = random.Random(2)
    words = [f"{chance.getrandbits(48):x}" for _ in range(2_000)]
    for start in range(0, count, 1_000):
        database.bulk(
            [
                {"_id": f"doc-{i:08}", "n": i, "text": " ".join(chance.choices(words, k=83))}
                for i in range(start, min(count, start + 1_000))
            ]
        )


def tell(what: str, seconds: dict[str, list[float]], ours: str, peers: tuple[str, ...]) -> None:
    mine = median(seconds[ours])
    told = [f"ours {mine:.2f} s"]
    for peer in peers:
        theirs = median(seconds[peer])
        told.append(f"{peer} {theirs:.2f} s (ratio {mine / theirs:.2f})")
    print(f"{what}: {'; '.join(told)}; runs: {[round(one, 2) for one in seconds[ours]]}")


if __name__ == "__main__":
    sys.exit(main())
