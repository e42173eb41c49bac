"""What holds for every store: a folder, memory, and an S3 endpoint over HTTP; and what each does when it cannot."""

from __future__ import annotations

import os
import re
import secrets
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from embedded.ports import any_free
from embedded.waiting import wait_until
from tests.contract.s3 import S3
from tests.unit.worker.blobs.odd_disks import as_nobody, on_read_only_disk, on_small_disk
from tests.unit.worker.couch.http_server import serving
from worker.blobs.connect import Patience
from worker.blobs.store import DELETE_AT_ONCE, SLICE, Store
from worker.core import manifest
from worker.core.errors import ObjectMissing, ReplicationError, StoreFull, StoreRefused, StoreUnavailable

pytestmark = pytest.mark.contract

BUCKET = "backups"
DEADLINE = 30.0
SECRET = "hush-0123456789-hush"
HUGE = 2_000_000_000  # bytes of a file that no store has taken before its writer is killed
PUT = """
import sys
from pathlib import Path
from worker.blobs.store import Store
Store.open({url!r}, {options!r}).put("one/huge", Path({source!r}))
"""


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    server = S3(tmp_path_factory.mktemp("s3"))
    try:
        server.start()
        server.make_bucket(BUCKET)
        yield server
    finally:
        server.stop()


def in_bucket(s3: S3) -> Store:
    """Nobody else's part of the bucket."""
    return Store.open(f"s3://{BUCKET}/{secrets.token_hex(6)}", s3.options())


@pytest.fixture(params=["folder", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "memory":
        return Store.open("memory://")
    if request.param == "folder":
        return Store.open(f"file://{tmp_path}/new/store")
    return in_bucket(request.getfixturevalue("s3"))


def names(store: Store, prefix: str) -> list[str]:
    return sorted(found.name for found in store.listed(prefix))


def failure(do: Callable[[], object]) -> ReplicationError:
    """What it raised; whatever it was, it has no credentials in it."""
    with pytest.raises(ReplicationError) as failed:
        do()
    assert SECRET not in "".join(traceback.format_exception(failed.value))
    return failed.value


def every_call(store: Store, source: Path) -> dict[str, Callable[[], object]]:
    return {
        "put": lambda: store.put("one/name", b"1"),
        "put a file": lambda: store.put("one/name", source),
        "get": lambda: store.get("one/name"),
        "slices": lambda: list(store.slices("one/name")),
        "size": lambda: store.size("one/name"),
        "listed": lambda: list(store.listed("one")),
        "folders": lambda: store.folders("one"),
        "delete": lambda: store.delete(["one/name", "one/other"]),
    }


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Goes up in parts."""
    path = tmp_path / "large"
    path.write_bytes(os.urandom(20_000_000))
    return path


# --- what every store promises


@pytest.mark.parametrize("data", [b"", b"\0", b"plain", bytes(range(256)) * 1000])
def test_bytes_come_back(store: Store, data: bytes) -> None:
    store.put("a/b", data)
    store.settle()
    assert store.get("a/b") == b"".join(store.slices("a/b")) == data
    assert store.size("a/b") == len(data)


def test_a_large_file_comes_back_in_slices(store: Store, large: Path) -> None:
    store.put("a/large", large)
    slices = list(store.slices("a/large"))
    assert [len(one) for one in slices] == [SLICE, SLICE, 20_000_000 - 2 * SLICE]
    assert b"".join(slices) == large.read_bytes()
    assert store.size("a/large") == 20_000_000
    assert large.exists()


def test_a_small_file_and_an_empty_one(store: Store, tmp_path: Path) -> None:
    for name, data in (("small", b"few"), ("empty", b"")):
        (tmp_path / name).write_bytes(data)
        store.put(f"a/{name}", tmp_path / name)
        assert store.get(f"a/{name}") == data


def test_what_is_not_there(store: Store) -> None:
    store.put("a/b", b"1")
    assert store.size("a/none") is None
    assert store.size("a") is None
    assert names(store, "none") == store.folders("none") == []
    for read in (store.get, lambda name: list(store.slices(name))):
        found = failure(lambda read=read: read("a/none"))
        assert isinstance(found, ObjectMissing)
        assert str(found) == f"{store.name}: there is no object a/none"


def test_it_goes_while_it_is_read(store: Store) -> None:
    store.put("a/b", bytes(SLICE + 1))
    slices = store.slices("a/b")
    assert len(next(slices)) == SLICE
    store.delete(["a/b"])
    assert isinstance(failure(lambda: next(slices)), ObjectMissing)


def test_a_name_is_overwritten(store: Store, large: Path) -> None:
    store.put("a/b", b"a long one")
    store.put("a/b", b"short")
    assert store.get("a/b") == b"short"
    store.put("a/b", large)
    assert store.size("a/b") == 20_000_000
    store.put("a/b", b"short again")
    assert store.get("a/b") == b"short again"
    assert names(store, "a") == ["a/b"]


def test_writers_of_one_name_leave_one_whole_object(store: Store) -> None:
    written = [bytes([number]) * 300_000 for number in range(8)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda data: store.put("a/b", data), written))
    assert store.get("a/b") in written
    assert names(store, "a") == ["a/b"]


def test_more_than_a_page_of_objects(store: Store) -> None:
    wanted = [f"many/{number:04}/x" for number in range(1_001)]
    began = time.time()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: store.put(name, b"12"), [*wanted, "many2/x", "many/0000/y"]))

    found = list(store.listed("many"))
    assert sorted(one.name for one in found) == sorted([*wanted, "many/0000/y"])
    assert {one.size for one in found} == {2}
    assert all(abs(one.modified - began) < 60 for one in found)
    assert store.folders("many") == [f"{number:04}" for number in range(1_001)]
    assert store.folders("") == ["many", "many2"]

    assert len(wanted) > DELETE_AT_ONCE
    assert store.delete(["many/gone", *wanted, "many/none/x"]) == 1_003
    assert names(store, "many") == ["many/0000/y"]
    assert names(store, "many2") == ["many2/x"]
    assert store.folders("many") == ["0000"]


def test_what_is_gone_is_no_failure(store: Store) -> None:
    for name in ("a/1", "a/2", "b/1"):
        store.put(name, b"1")
    assert store.delete([]) == 0
    assert store.delete(["gone", "a/1", "a/gone", "gone/x", "a/2"]) == 5
    assert store.delete(["a/1"]) == 1
    assert names(store, "") == ["b/1"]


def test_the_names_of_a_backup(store: Store) -> None:
    backup = manifest.backup_id(1_795_446_000.0, "job-01ab9z")
    database = manifest.database_folder(backup, "a/b+c$(d)_é")
    wanted = [
        f"{manifest.folder(backup)}/{manifest.MANIFEST}.zst",
        f"{database}/{manifest.MANIFEST}.zst.age",
        f"{database}/000017-documents-0123456789ab.zst.age",
        f"{manifest.folder(backup)}/journal/{manifest.hashed('a/b')}/00000.zst",
        f"{manifest.ATTACHMENTS}/plain/ab/{'ab' * 20}-{'cd' * 32}",
        f"{manifest.ATTACHMENTS}/0123abcd/ab/{'ab' * 20}-{'cd' * 32}.age",
    ]
    for name in wanted:
        store.put(name, name.encode())
    assert names(store, "") == sorted(wanted)
    assert [store.get(name) for name in wanted] == [name.encode() for name in wanted]
    assert store.folders(manifest.BACKUPS) == [backup]
    assert store.delete(wanted) == len(wanted)
    assert names(store, "") == []


@pytest.mark.parametrize("name", ["../up", "a/../../up", "a//b", "a\0b", "./a", "a/\ud800"])
def test_a_name_that_cannot_be(store: Store, name: str) -> None:
    """Records name objects, and who can write to the store can write records."""
    for do in (lambda: store.get(name), lambda: list(store.slices(name)), lambda: store.put(name, b"")):
        assert isinstance(failure(do), ObjectMissing)
    assert names(store, "") == []


def test_there_is_nothing_to_clear_where_all_went_well(store: Store) -> None:
    store.put("a/b", b"1")
    assert store.clear_staged(time.time() + 60) == 0
    assert names(store, "") == ["a/b"]


# --- S3: who is refused, and when it counts as unavailable


def test_wrong_credentials_are_refused(s3: S3, large: Path) -> None:
    key, secret = s3.make_user("backup")
    wrong = {
        "SignatureDoesNotMatch": s3.options((key, SECRET)),
        "InvalidAccessKeyId": s3.options(("AKIANOBODY", SECRET)),
    }
    with s3.refusing_strangers():
        right = Store.open(f"s3://{BUCKET}/ours", s3.options((key, secret)))
        right.put("one/name", large)
        right.delete(["one/name"])
        for code, options in wrong.items():
            for call, do in every_call(Store.open(f"s3://{BUCKET}/ours", options), large).items():
                found = failure(do)
                assert isinstance(found, StoreRefused)
                assert (code if call not in {"size", "slices"} else "403") in str(found)  # HEAD has no body
                assert options["aws_access_key_id"] not in str(found)


def test_a_bucket_that_is_not_there_is_told(s3: S3, large: Path) -> None:
    calls = every_call(Store.open("s3://nobody-has-this/backups", s3.options()), large)
    assert calls.pop("size")() is None  # HEAD has no body that could tell the difference
    assert isinstance(failure(calls.pop("slices")), ObjectMissing)
    for do in calls.values():
        found = failure(do)
        assert isinstance(found, StoreRefused)
        assert "NoSuchBucket" in str(found)


def endpoint(port: int) -> dict[str, str]:
    return {
        "aws_endpoint": f"http://127.0.0.1:{port}",
        "aws_region": "us-east-1",
        "aws_access_key_id": "AKIATEST",
        "aws_secret_access_key": SECRET,
        "allow_http": "true",
    }


@contextmanager
def within(seconds: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


def test_where_nobody_listens_it_takes_a_second(large: Path) -> None:
    port = any_free()
    for do in every_call(Store.open(f"s3://{BUCKET}", endpoint(port)), large).values():
        with within(5):
            found = failure(do)
        assert isinstance(found, StoreUnavailable)
        assert f"no connection to http://127.0.0.1:{port}: Connection refused" in str(found)


def test_a_server_that_takes_a_connection_and_says_nothing(large: Path) -> None:
    def behave(connection: socket.socket) -> None:
        server.over.wait(DEADLINE)

    patience = Patience(connect=1, answer=0.3, retries=1)
    with serving(behave) as server:
        for do in every_call(Store.open(f"s3://{BUCKET}", endpoint(server.port), patience), large).values():
            with within(5):
                found = failure(do)
            assert isinstance(found, StoreUnavailable)
            assert f"no answer from {server.url()} within the time-out" in str(found)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux drops what a full queue cannot take")
def test_a_server_that_does_not_even_take_a_connection() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, socket.socket() as first:
        port: int = listener.getsockname()[1]
        first.connect(("127.0.0.1", port))
        store = Store.open(f"s3://{BUCKET}", endpoint(port), Patience(connect=0.3, retries=2))
        with within(5):
            found = failure(lambda: store.get("a"))
    assert isinstance(found, StoreUnavailable)
    assert "no answer" in str(found)


def test_a_name_nobody_knows() -> None:
    options = {**endpoint(1), "aws_endpoint": "http://nobody.invalid:9000"}
    with within(15):
        found = failure(lambda: Store.open(f"s3://{BUCKET}", options).get("a"))
    assert isinstance(found, StoreUnavailable)
    assert "no connection to http://nobody.invalid:9000: " in str(found)


# --- writers that are killed


def kill_in_mid_put(begun: Callable[[], bool], url: str, options: dict[str, str], source: Path) -> None:
    """A process that puts a huge file to `one/huge`, killed as soon as the store has some of it."""
    with source.open("wb") as file:
        file.truncate(HUGE)  # takes no room
    code = PUT.format(url=url, options=options, source=str(source))
    writer = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2])
    try:
        assert wait_until(lambda: writer.poll() is not None or begun(), DEADLINE, every=0.001)
    finally:
        writer.kill()
    assert writer.wait() == -9


def test_a_killed_writer_leaves_no_object_in_a_folder(tmp_path: Path) -> None:
    root = tmp_path / "store"

    def begun() -> bool:
        return any(path.is_file() and path.stat().st_size for path in root.rglob("*"))

    kill_in_mid_put(begun, f"file://{root}", {}, tmp_path / "huge")
    left = [path for path in root.rglob("*") if path.is_file()]
    assert [re.sub(r"\d+$", "", path.name) for path in left] == ["huge#"]
    assert 0 < left[0].stat().st_size < HUGE

    store = Store.open(f"file://{root}")
    assert names(store, "") == names(store, "one") == []
    assert store.size("one/huge") is None
    assert isinstance(failure(lambda: store.get("one/huge")), ObjectMissing)
    store.put("one/huge", b"of another writer")
    assert store.get("one/huge") == b"of another writer"

    assert store.clear_staged(left[0].stat().st_mtime - 1) == 0  # it may still be written to
    assert store.clear_staged(time.time() + 1) == 1
    assert [path for path in root.rglob("*") if path.is_file()] == [root / "one/huge"]
    store.delete(["one/huge"])
    assert list(root.iterdir()) == []


def test_with_what_was_left_its_folder_goes(tmp_path: Path) -> None:
    store = Store.open(f"file://{tmp_path}/store")
    for name in ("backups/1/db/a#1", "backups/2/a#17"):
        (tmp_path / "store" / name).parent.mkdir(parents=True)
        (tmp_path / "store" / name).write_bytes(b"half")
    store.put("backups/2/b", b"whole")
    assert store.folders("backups") == ["1", "2"]  # a folder is one, whatever is in it
    assert store.clear_staged(time.time() + 1) == 2
    assert store.folders("backups") == ["2"]
    assert names(store, "") == ["backups/2/b"]


def test_a_killed_writer_leaves_no_object_in_a_bucket(s3: S3, tmp_path: Path) -> None:
    url = f"s3://{BUCKET}/{secrets.token_hex(6)}"
    key = f"{url.rpartition('/')[2]}/one/huge"
    kill_in_mid_put(lambda: key in s3.uploads(BUCKET), url, s3.options(), tmp_path / "huge")
    store = Store.open(url, s3.options())
    assert names(store, "") == []
    assert store.size("one/huge") is None
    assert key in s3.uploads(BUCKET)  # so a bucket needs a rule that ends uploads nobody ended
    store.put("one/huge", b"of another writer")
    assert store.get("one/huge") == b"of another writer"


# --- disks


def fills_the_disk(folder: Path) -> None:
    store, source = Store.open(f"file://{folder}"), folder.parent / "source"
    store.put("a/kept", b"kept")
    for name, data in (("a/bytes", bytes(2_000_000)), ("a/file", source), ("a/kept", bytes(2_000_000))):
        found = failure(lambda name=name, data=data: store.put(name, data))
        assert isinstance(found, StoreFull)
        assert str(found) == f"file://{folder}: no space left to write {name}"
    assert names(store, "") == ["a/kept"]
    assert [path.name for path in folder.rglob("*")] == ["a", "kept"]  # nothing staged is left
    assert store.get("a/kept") == b"kept"
    assert isinstance(failure(lambda: store.get("a/file")), ObjectMissing)
    store.put("a/after", b"there was room all the time")


def test_a_full_disk(tmp_path: Path, large: Path) -> None:
    (tmp_path / "disk").mkdir()
    large.rename(tmp_path / "source")
    on_small_disk(fills_the_disk, tmp_path / "disk")


def may_not_be_written(folder: Path) -> None:
    store = Store.open(f"file://{folder}")
    assert store.get("a/kept") == b"kept"
    for do in (
        lambda: store.put("new", b"1"),
        lambda: store.put("a/new", b"1"),
        lambda: store.put("b/new", folder.parent / "source"),
        lambda: store.delete(["a/kept"]),
        lambda: Store.open(f"file://{folder}/below"),
    ):
        assert isinstance(failure(do), StoreRefused)
    assert names(store, "") == ["a/kept"]
    assert store.clear_staged(time.time() + 60) == 0


@pytest.mark.parametrize("run", [on_read_only_disk, as_nobody])
def test_a_folder_that_may_not_be_written(
    run: Callable[[Callable[[Path], None], Path], None], tmp_path: Path, large: Path
) -> None:
    large.rename(tmp_path / "source")
    folder = tmp_path / "store"
    Store.open(f"file://{folder}").put("a/kept", b"kept")
    folders = [folder, folder / "a"]
    for one in folders:
        one.chmod(0o500)
    try:
        run(may_not_be_written, folder)
    finally:
        for one in folders:
            one.chmod(0o700)
