"""What CouchDB's replicator verifies of its peers, as docs/security.md tells it and worker.core.remedies reads it.

On a CouchDB of the tests' own, because its configuration is changed. One node is enough: it pulls from itself, through
doors with TLS. Connections are kept and used again, so each test has doors of its own.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from urllib.parse import quote

import pytest
import requests

from embedded.couchdb import CouchNode
from embedded.haproxy import MISSING, find_haproxy
from embedded.nodes import find_couchdb
from embedded.ports import any_free
from tests.certificates import EXPIRED, Authority, self_signed
from tests.system.couch import Couch
from tests.tls_doors import Door, TlsDoors
from worker.core.model import Credentials
from worker.core.scheduler_errors import kind_of, one_line

pytestmark = [
    pytest.mark.contract,
    pytest.mark.skipif(find_haproxy() is None, reason=MISSING),
    pytest.mark.skipif(
        find_couchdb() is None, reason="there is no CouchDB on this machine, and COUCHDB_BIN names none"
    ),
]

SECTION = "_node/_local/_config/replicator"


@dataclass
class Peer:
    """A node, and doors with TLS before it."""

    couch: Couch
    doors: TlsDoors
    bundle: Path
    database: str
    made: Iterator[int]

    def configure(self, name: str, value: str) -> None:
        self.couch.call("PUT", f"{SECTION}/{name}", value)

    def verify(self) -> None:
        self.configure("ssl_trusted_certificates_file", str(self.bundle))
        self.configure("verify_ssl_certificates", "true")

    def pull(self, door: str, host: str = "localhost") -> str | None:
        """What it failed with, in CouchDB's words; None where it went well."""
        auth = {"basic": {"username": self.couch.user, "password": self.couch.password}}
        source = {"url": f"{self.doors.url(door, host)}/{self.database}", "auth": auth}
        target = {"url": f"{self.couch.url}/target-{next(self.made)}", "auth": auth}
        try:
            self.couch.call("POST", "_replicate", {"source": source, "target": target, "create_target": True})
        except requests.HTTPError as error:
            return one_line(str(error.response.json()["reason"]))
        return None


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    folder = tmp_path_factory.mktemp("peer")
    program = find_couchdb()
    assert program
    admin = Credentials("admin", f"node-secret-{secrets.token_hex(8)}")
    node = CouchNode("peer", any_free(), folder / "node", admin, program)
    ca = Authority(folder, "ca")
    good, expired = ca.issue("good"), ca.issue("expired", days=EXPIRED)
    doors = {
        "good": good,
        "expired": expired,
        "another-name": ca.issue("another-name", ("other.test",)),
        "another-ca": Authority(folder, "another").issue("another-ca"),
        "self-signed": self_signed(folder, "self"),
        "unverified": expired,
        "connected": expired,
        "without-a-file": good,
    }
    node.start()
    try:
        node.wait_ready()
        couch = Couch("peer", node.url, admin.user, admin.password, node)
        couch.create("source")
        couch.put("source", {"_id": "one"})
        opened = {name: Door(node.port, pair.both) for name, pair in doors.items()}
        with TlsDoors(folder / "haproxy", opened) as haproxy:
            yield Peer(couch, haproxy, ca.bundle, "source", count())
    finally:
        node.process.kill()


@pytest.fixture(autouse=True)
def _as_it_was(peer: Peer) -> Iterator[None]:
    yield
    for name in ("verify_ssl_certificates", "ssl_trusted_certificates_file"):
        if name in peer.couch.call("GET", SECTION):
            peer.couch.call("DELETE", f"{SECTION}/{quote(name)}")


def test_by_default_nothing_is_verified(peer: Peer) -> None:
    assert peer.pull("unverified") is None


def test_verified_a_good_certificate_is_taken_for_a_name_and_for_no_address(peer: Peer) -> None:
    """It names the address as well."""
    peer.verify()
    assert peer.pull("good") is None
    failed = peer.pull("good", "127.0.0.1")
    assert failed
    assert "hostname_check_failed" in failed
    assert kind_of(failed) == "tls"


@pytest.mark.parametrize(
    ("door", "sign"),
    [
        ("expired", "certificate_expired"),
        ("another-name", "hostname_check_failed"),
        ("another-ca", "unknown_ca"),
        ("self-signed", "bad_certificate"),
    ],
)
def test_verified_a_wrong_certificate_is_refused_and_we_know_what_it_is(peer: Peer, door: str, sign: str) -> None:
    peer.verify()
    failed = peer.pull(door)
    assert failed
    assert sign in failed
    assert kind_of(failed) == "tls"


def test_verification_without_a_file_of_cas_takes_nobody(peer: Peer) -> None:
    peer.configure("verify_ssl_certificates", "true")
    assert "unknown_ca" in (peer.pull("without-a-file") or "")


def test_a_connection_that_is_open_already_is_used_on_without_being_verified(peer: Peer) -> None:
    """Hence the restart that the guide asks for."""
    assert peer.pull("connected") is None
    peer.verify()
    assert peer.pull("connected") is None
