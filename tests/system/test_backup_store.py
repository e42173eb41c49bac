"""Backups in a bucket behind HTTP, sealed, with a second location: what may be seen where, and who can read it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.s3 import S3
from tests.system.conftest import Fresh
from tests.system.couch import Couch
from tests.system.harness import System
from worker.blobs.seal import Keys, new_identity
from worker.blobs.store import Store

pytestmark = pytest.mark.system

SECRET = "bucket-secret-8c1f0d5b7a"
MARK = "marked-content-4f1d2a"
AGE = b"age-encryption.org/v1"


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    server = S3(tmp_path_factory.mktemp("s3"))
    server.start()
    server.make_bucket("backups")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def identity() -> str:
    return new_identity()


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("second")


@pytest.fixture(scope="module")
def sealing(
    nodes: list[Couch], s3: S3, identity: str, second: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    """The servers have the recipient alone."""
    settings = {
        "BACKUP_URL": "s3://backups/notebook",
        "BACKUP_OPTIONS": options(s3),
        "BACKUP_KEY": str(Keys.parse(identity).recipients[0]),
        "BACKUP_COPY_URL": second.as_uri(),
        "BACKUP_SCHEDULE": "off",
    }
    with System(nodes, tmp_path_factory.mktemp("sealing"), settings) as made:
        made.start("worker", "control", "beat", "api")
        yield made


def options(s3: S3) -> str:
    return ", ".join(f"{name}={value}" for name, value in s3.options(("AKIATESTTESTTESTTEST", SECRET)).items())


def bucket(s3: S3) -> Store:
    return Store.open("s3://backups/notebook", s3.options())


def post(system: System, path: str, **body: Any) -> dict[str, Any]:
    """The job, once it has ended."""
    answer = system.api.call("POST", f"/api/backups{path}", json=body)
    assert answer.status_code == 202, answer.text
    return system.api.wait_state(answer.json()["id"], "succeeded", "failed", deadline=60)


def test_sealed_into_a_bucket_and_back(
    sealing: System, s3: S3, identity: str, second: Path, nodes: list[Couch], fresh: Fresh
) -> None:
    name = fresh(f"{MARK}-", on=nodes[:1])
    nodes[0].put(name, {"_id": f"{MARK}-id", "text": MARK * 20})
    document = {"_id": "scan", "_attachments": {f"{MARK}.txt": {"content_type": "image/png", "data": "bWFya2Vk"}}}
    nodes[0].put(name, document)
    first = post(sealing, "", databases=[name])
    assert first["state"] == "succeeded", first
    assert first["result"]["copied"]["backups"] == [first["result"]["backup_id"]]
    nodes[0].put(name, {"_id": "later"})
    made = post(sealing, "", databases=[name])["result"]
    # records are read again with the system's own key: the content need not be
    assert (made["full"], made["changed"]) == (False, 1)
    assert post(sealing, f"/{made['backup_id']}/verify")["state"] == "succeeded"
    _all_is_sealed(s3, second)
    refused = post(sealing, f"/{made['backup_id']}/restore", database=name, **{"as": fresh("sealed-")})
    assert refused["error"]["type"] == "backup-wrong-key"
    assert "AGE-SECRET-KEY-1" in refused["error"]["detail"]
    _no_secret_is_left(sealing)
    sealing.restart(BACKUP_KEY=identity)
    copy = fresh("opened-")
    opened = post(sealing, f"/{made['backup_id']}/restore", database=name, **{"as": copy})
    assert opened["state"] == "succeeded", opened
    assert nodes[0].leaves(copy) == nodes[0].leaves(name)
    assert nodes[0].attachment_digests(copy) == nodes[0].attachment_digests(name)
    _no_secret_is_left(sealing, identity)


def test_the_second_location_alone_is_enough(
    sealing: System, s3: S3, second: Path, nodes: list[Couch], fresh: Fresh, identity: str
) -> None:
    name = fresh("twice-", on=nodes[:1])
    nodes[0].fill(name, 5)
    made = post(sealing, "", databases=[name])["result"]["backup_id"]
    sealing.restart(BACKUP_URL=second.as_uri(), BACKUP_OPTIONS="", BACKUP_COPY_URL="", BACKUP_KEY=identity)
    copy = fresh("from-copy-")
    restored = post(sealing, f"/{made}/restore", database=name, **{"as": copy})
    assert restored["state"] == "succeeded", restored
    assert nodes[0].leaves(copy) == nodes[0].leaves(name)


def _all_is_sealed(s3: S3, second: Path) -> None:
    store = bucket(s3)
    names = [found.name for found in store.listed("")]
    assert names
    for name in names:
        assert store.get(name).startswith(AGE), name
        assert MARK not in name
    copies = [path for path in second.rglob("*") if path.is_file()]
    assert {str(path.relative_to(second)) for path in copies} == set(names)
    assert all(path.read_bytes().startswith(AGE) for path in copies)


def _no_secret_is_left(system: System, *more: str) -> None:
    """In logs, in Redis and in answers."""
    told = [path.read_text(errors="replace") for path in system.folder.rglob("*.log")]
    told += system.api.answers
    with system.store() as store:
        told += [str(store.dump(key)) for key in store.scan_iter("*") if store.type(key) != "none"]
    for secret in (SECRET, *more):
        assert not any(secret in text for text in told), "a secret was left"
