"""CouchDB's own TLS: what its replicator verifies of its peers, as docs/security.md tells it and worker.core.remedies
reads it, and its port for HTTPS, configured as the guide has it.

On a CouchDB of the tests' own, because its configuration is changed. One node is enough: it pulls from itself, through
doors with TLS. Connections are kept and used again, so each test has doors of its own.
"""

from __future__ import annotations

import re
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
from embedded.ports import LOOPBACK, any_free
from tests.certificates import EXPIRED, Authority, Pair, self_signed
from tests.system.couch import Couch
from tests.tls_doors import Door, TlsDoors
from worker.core.errors import TlsRefused, Unreachable
from worker.core.model import Credentials
from worker.core.scheduler_errors import kind_of, one_line
from worker.couch.tls import Tls
from worker.couch.transport import RequestsTransport, Timeouts

pytestmark = [
    pytest.mark.contract,
    pytest.mark.skipif(find_haproxy() is None, reason=MISSING),
    pytest.mark.skipif(
        find_couchdb() is None, reason="there is no CouchDB on this machine, and COUCHDB_BIN names none"
    ),
]

GUIDE = (Path(__file__).parents[2] / "docs" / "security.md").read_text(encoding="utf-8")
SECTION = "_node/_local/_config/replicator"


@dataclass
class Peer:
    """A node, and doors with TLS before it."""

    couch: Couch
    doors: TlsDoors
    bundle: Path
    database: str
    made: Iterator[int]
    own: str  # its own port for HTTPS, which asks for a client certificate
    client: Pair

    def asked(self, tls: Tls, scheme: str = "https") -> int:
        url = self.own.replace("https", scheme)
        return RequestsTransport(tls).send("GET", url, headers={}, body=None, timeouts=Timeouts()).status

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


class Secure(CouchNode):
    """With more in its run.ini."""

    more = ""

    def prepare(self) -> None:
        super().prepare()
        with (self.folder / "run.ini").open("a", encoding="utf-8") as file:
            file.write(self.more)


def as_in_the_guide(port: int, ca: Authority, pair: Pair) -> str:
    """With what is commented out there."""
    (block,) = (block for block in re.findall(r"```ini\n(.*?)```", GUIDE, re.DOTALL) if "[ssl]" in block)
    lines = [line.removeprefix(";") for line in block.splitlines() if not line.startswith("; ")]
    text = "\n".join([*lines, f"port = {port}", ""])
    for file, ours in (("ca.pem", ca.bundle), ("replica1.pem", pair.certificate), ("replica1.key", pair.key)):
        assert f"/opt/couchdb/etc/tls/{file}" in text
        text = text.replace(f"/opt/couchdb/etc/tls/{file}", str(ours))
    return text


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    folder = tmp_path_factory.mktemp("peer")
    program = find_couchdb()
    assert program
    admin = Credentials("admin", f"node-secret-{secrets.token_hex(8)}")
    node = Secure("peer", any_free(), folder / "node", admin, program)
    own = any_free([node.port])
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
    node.more = as_in_the_guide(own, ca, good)
    node.start()
    try:
        node.wait_ready()
        couch = Couch("peer", node.url, admin.user, admin.password, node)
        couch.create("source")
        couch.put("source", {"_id": "one"})
        opened = {name: Door(node.port, pair.both) for name, pair in doors.items()}
        with TlsDoors(folder / "haproxy", opened) as haproxy:
            yield Peer(couch, haproxy, ca.bundle, "source", count(), f"https://{LOOPBACK}:{own}/", good)
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


# --- its own port for HTTPS


def test_its_own_tls_takes_our_client_certificate_and_refuses_us_without_one(peer: Peer) -> None:
    assert peer.asked(Tls(peer.bundle, peer.client.certificate, peer.client.key)) == 200
    with pytest.raises((TlsRefused, Unreachable), match=r"asks? for a client certificate"):
        peer.asked(Tls(peer.bundle))
    with pytest.raises(TlsRefused, match="no public CA"):
        peer.asked(Tls())


def test_its_own_tls_tells_of_plain_http_that_it_is_the_wrong_scheme(peer: Peer) -> None:
    with pytest.raises(TlsRefused, match="write https://"):
        peer.asked(Tls(), "http")
