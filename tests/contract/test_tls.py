"""TLS to the nodes: a real HAProxy before real nodes, with certificates that are good, or wrong in one way each.

Through worker.couch as the system uses it: built from the settings, and what is told names the node, the cause and what
mends it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from config.settings import Settings, build
from embedded.haproxy import MISSING, find_haproxy
from tests.certificates import EXPIRED, HERE, NOT_YET, Authority, Pair, self_signed
from tests.contract.conftest import Site
from tests.tls_doors import Door, TlsDoors
from worker.core.errors import ReplicationError, TimedOut, TlsRefused, Unreachable
from worker.core.failures import failure_of, reason_of
from worker.core.health import Failure
from worker.core.model import Node
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.couch.server import Server

pytestmark = [pytest.mark.contract, pytest.mark.skipif(find_haproxy() is None, reason=MISSING)]

NODE = "behind-tls"


@dataclass(frozen=True)
class Behind:
    """Doors with all kinds of certificates before one node, and what a client may have."""

    node: Node
    doors: TlsDoors
    ca: Authority
    clients: dict[str, Pair]

    def server(self, door: str = "good", *, url: str = "", host: str = "127.0.0.1", **more: Path | None) -> Server:
        """Built from the settings. They trust the CA unless something else is given."""
        bundle: dict[str, Path | None] = {"couchdb_ca_bundle": self.ca.bundle}
        given = {name: value for name, value in {**bundle, **more}.items() if value is not None}
        return Cluster.from_settings(self.settings(url or self.doors.url(door, host), **given))[NODE]

    def settings(self, url: str, **given: Path) -> Settings:
        user = self.node.credentials
        assert user
        return build(
            {"couchdb_url": f"{NODE}={url}", "couchdb_user": user.user, "couchdb_password": user.password, **given}
        )

    def error(self, door: str = "good", **options: str | Path | None) -> ReplicationError:
        with pytest.raises(ReplicationError) as error:
            self.server(door, **options).welcome()  # type: ignore[arg-type]
        assert error.value.node == NODE
        assert str(error.value).startswith(f"{NODE}: ")
        user = self.node.credentials
        assert user
        assert user.password not in reason_of(error.value)
        return error.value


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Node], Behind]]:
    """Opens the doors before a node; once for each."""
    with ExitStack() as stack:
        made: dict[str, Behind] = {}

        def before(node: Node) -> Behind:
            if node.url not in made:
                made[node.url] = _doors(node, tmp_path_factory.mktemp("tls"))
                stack.enter_context(made[node.url].doors)
            return made[node.url]

        yield before


def _doors(node: Node, folder: Path) -> Behind:
    ca, other, for_clients = (Authority(folder, name) for name in ("ca", "other-ca", "client-ca"))
    good = ca.issue("good")
    certificates = {
        "good": good,
        "another-name": ca.issue("another-name", ("other.test", "127.0.0.2")),
        "expired": ca.issue("expired", days=EXPIRED),
        "not-yet": ca.issue("not-yet", days=NOT_YET),
        "self-signed": self_signed(folder, "self-signed"),
        "another-ca": other.issue("another-ca"),
    }
    port = urlsplit(node.url).port
    assert port
    doors = {name: Door(port, pair.both) for name, pair in certificates.items()}
    asks = f"ca-file {for_clients.bundle} verify required"
    doors["asks"] = Door(port, good.both, asks)
    doors["asks-1.2"] = Door(port, good.both, f"{asks} ssl-max-ver TLSv1.2")
    doors["old"] = Door(port, good.both, "ssl-max-ver TLSv1.1 ciphers ALL:@SECLEVEL=0")
    clients = {
        "good": for_clients.issue("good-client", HERE),
        "foreign": other.issue("foreign-client", HERE),
        "expired": for_clients.issue("expired-client", HERE, EXPIRED),
    }
    return Behind(node, TlsDoors(folder / "haproxy", doors), ca, clients)


@pytest.fixture
def tested(served: Site, opened: Callable[[Node], Behind]) -> Behind:
    return opened(served.nodes[0])


def test_with_the_ca_bundle_everything_works_as_without_tls(tested: Behind, served: Site) -> None:
    for host in HERE:
        server = tested.server(host=host)
        name = served.name()
        database = Database(server, name)
        database.create()
        # more than a piece of a body that is sent as a stream
        database.bulk([{"_id": f"doc-{i}", "text": "x" * 5_000} for i in range(100)])
        plain = Database(served.server(tested.node), name)
        assert sorted(database.leaves()) == sorted(plain.leaves())
        assert len(list(database.leaves())) == 100
        assert server.capabilities().uuid == served.server(tested.node).capabilities().uuid


def test_without_the_bundle_nobody_vouches_for_it(tested: Behind) -> None:
    error = tested.error(couchdb_ca_bundle=None)
    assert isinstance(error, TlsRefused)
    assert "no public CA has signed the node's certificate; put the CA that has into COUCHDB_CA_BUNDLE" in error.detail


def test_the_environment_changes_nothing(tested: Behind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHTTPSVERIFY", "0")
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(tested.ca.bundle))
    assert "no public CA" in tested.error(couchdb_ca_bundle=None).detail
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, "")
    assert "has expired" in tested.error("expired").detail
    assert tested.server().welcome()


@pytest.mark.parametrize(
    ("door", "cause", "remedy"),
    [
        ("another-name", "is not for 127.0.0.1, the host in the node's URL", "subjectAltName"),
        ("expired", "has expired", "renew it on the node"),
        ("not-yet", "is not valid yet", "check the clocks"),
        ("self-signed", "is self-signed", "put it into COUCHDB_CA_BUNDLE"),
        ("another-ca", "no CA in COUCHDB_CA_BUNDLE has signed", "put the CA that has into COUCHDB_CA_BUNDLE"),
        ("old", "speaks no version of TLS that we do", "TLS 1.2 or 1.3"),
    ],
)
def test_a_certificate_that_is_wrong_is_refused_with_its_cause_and_remedy(
    tested: Behind, door: str, cause: str, remedy: str
) -> None:
    error = tested.error(door)
    assert isinstance(error, TlsRefused)
    assert failure_of(error) is Failure.TLS
    what, _, mends = error.detail.partition("; ")
    assert cause in what
    assert remedy in mends


def test_of_a_name_it_is_the_urls_that_is_told(tested: Behind) -> None:
    assert "is not for localhost, the host in the node's URL" in tested.error("another-name", host="localhost").detail


def test_streams_are_refused_as_calls_are(tested: Behind) -> None:
    with pytest.raises(TlsRefused, match="has expired") as error:
        list(tested.server("expired").client.lines("_db_updates", params={}, read_timeout=5))
    assert error.value.node == NODE


# --- our own certificate


@pytest.mark.parametrize("door", ["asks", "asks-1.2"])
def test_a_client_certificate_of_the_right_ca_is_taken(tested: Behind, door: str) -> None:
    pair = tested.clients["good"]
    assert tested.server(door, couchdb_client_cert=pair.certificate, couchdb_client_key=pair.key).welcome()
    assert tested.server(door, couchdb_client_cert=pair.both).welcome()


@pytest.mark.parametrize("door", ["asks", "asks-1.2"])
@pytest.mark.parametrize(
    ("ours", "words"),
    [
        (None, ["asks for a client certificate; set COUCHDB_CLIENT_CERT"]),
        ("foreign", ["not take the c", "COUCHDB_CLIENT_CERT"]),
        ("expired", ["not take the c", "COUCHDB_CLIENT_CERT"]),
    ],
    ids=["none", "foreign", "expired"],
)
def test_without_one_or_with_a_wrong_one_the_setting_is_named(
    tested: Behind, door: str, ours: str | None, words: list[str]
) -> None:
    error = tested.error(door, couchdb_client_cert=tested.clients[ours].both if ours else None)
    if isinstance(error, Unreachable):  # TLS 1.3: what it says can be lost when it hangs up
        assert door == "asks"
        words = ["where that stays so", "COUCHDB_CLIENT_CERT"]
    else:
        assert isinstance(error, TlsRefused)
    for word in words:
        assert word in error.detail
    if ours == "expired" and isinstance(error, TlsRefused):
        assert "it has expired, by the node's clock; renew it" in error.detail


# --- the wrong scheme


def test_https_where_nobody_speaks_tls(tested: Behind, served: Site) -> None:
    """A stand-in answers that it does not understand, CouchDB waits for more."""
    error = tested.error(url=tested.node.url.replace("http://", "https://"))
    assert type(error) is (TlsRefused if served.kind == "stand-in" else TimedOut)
    assert "speak TLS" in error.detail or "speaks TLS there" in error.detail
    assert "; " in error.detail
    assert "write the port on which" in error.detail
    assert "or http:// if" in error.detail


def test_http_where_tls_is_spoken(tested: Behind) -> None:
    """HAProxy just hangs up, and so does a node that is going down: hence no more than a hint."""
    error = tested.error(url=tested.doors.url("good", scheme="http"))
    assert isinstance(error, Unreachable)
    assert "write https:// in its URL" in error.detail
