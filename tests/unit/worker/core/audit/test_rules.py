"""Every rule about a node, both ways; and that what was not seen passes nowhere."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.worker.core.audit.seen import ADMIN, NODE, PASSWORD, configured, judged, node
from worker.core.audit.checks import CHECKS, Grade, Scope
from worker.core.audit.observed import Anonymous, Databases, NodeSeen, OpenDatabase, Replications, Unknown
from worker.core.audit.report import NODE_RULES
from worker.core.model import NodeKind

PROXY = "{chttpd_auth, cookie_authentication_handler}, {chttpd_auth, proxy_authentication_handler}"
AWAY = Unknown("unreachable: connection refused")


def stranger(**more: Any) -> NodeSeen:
    return node(anonymous=replace(NODE.anonymous, **more))


def opened(name: str, anybody: bool | None = True) -> NodeSeen:
    return node(databases=Databases(3, 3, (OpenDatabase(name, anybody),)))


def inline(*ids: str) -> NodeSeen:
    return node(replications=(Replications("_replicator", ids, 10),))


BAD: list[tuple[str, NodeSeen]] = [
    ("advisory", node(version="3.3.2")),
    ("end-of-life", node(version="3.3.3")),
    ("end-of-life", node(version="2.3.1")),
    ("admin-party", stranger(admin=True)),
    ("valid-user-not-required", stranger(welcomed=True)),
    ("database-names-open", stranger(names=True)),
    ("plain-http", node(url="http://10.0.0.7:5984")),
    ("plain-http", node(url="http://couchdb:5984")),
    ("plain-http-between-nodes", node(peer_url="http://couchdb-replica1:5984")),
    ("default-password", node(admins=(replace(ADMIN, default=True),))),
    ("default-password", node(admins=AWAY, default_login="admin")),
    ("plain-password", node(admins=(replace(ADMIN, scheme="plain"),))),
    ("weak-hash", node(admins=(replace(ADMIN, weak_hash=True, rounds=10),))),
    ("weak-cookie-secret", configured("chttpd_auth", secret="relax")),
    ("few-iterations", configured("chttpd_auth", iterations="1000")),
    ("few-iterations", configured("chttpd_auth", iterations="600000", pbkdf2_prf="sha")),
    ("few-iterations", configured("chttpd_auth", iterations="many")),
    ("few-iterations", configured("couch_httpd_auth", password_scheme="simple")),
    ("few-iterations", node(version="3.3.3", configuration={})),
    ("weak-cookie-secret", configured("chttpd_auth", secret="aaaaaaaaaaaaaaaaaaaaaaaa")),
    (
        "unsigned-proxy-authentication",
        configured("chttpd", authentication_handlers=PROXY),
    ),
    ("listens-everywhere", configured("chttpd", bind_address="::")),
    ("listens-everywhere", configured("chttpd", bind_address="any")),
    ("cors-any-origin", node(configuration={"chttpd": {"enable_cors": "true"}, "cors": {"origins": "*"}})),
    ("cors-any-origin", node(configuration={"httpd": {"enable_cors": "true"}, "cors:x": {"origins": "https://a, *"}})),
    (
        "cors-any-origin-with-credentials",
        node(configuration={"chttpd": {"enable_cors": "true"}, "cors": {"origins": "*", "credentials": "true"}}),
    ),
    ("long-sessions", configured("chttpd_auth", timeout="86401")),
    ("long-sessions", configured("chttpd_auth", timeout="forever")),
    ("persistent-cookies", configured("chttpd_auth", allow_persistent_cookies="true")),
    ("persistent-cookies", node(configuration={})),
    ("debug-log", configured("log", level="debug")),
    ("content-security-off", configured("csp", attachments_enable="false")),
    ("content-security-off", configured("csp", enable="false")),
    ("users-public", configured("chttpd_auth", public_fields="name")),
    ("users-public", configured("couch_httpd_auth", users_db_public="true")),
    ("certificates-not-verified", configured("replicator", verify_ssl_certificates="false")),
    ("certificates-not-verified", node(configuration={})),
    ("database-open", opened("pdfs")),
    ("database-open", opened("pdfs", None)),
    ("database-open-to-users", opened("pdfs", False)),
    ("replicator-open", opened("_replicator")),
    ("replicator-open", opened("other/_replicator")),
    ("users-open", opened("_users")),
    ("inline-credentials", inline("by-hand")),
]
GOOD: list[tuple[str, NodeSeen]] = [
    ("advisory", node(version="3.5.0-dirty")),
    ("plain-http", node(url="http://127.0.0.1:5984")),
    ("plain-http", node(url="http://[::1]:5984")),
    ("plain-http", node(url="http://localhost:5984")),
    ("plain-http-between-nodes", node(peer_url="http://127.0.0.2:5984")),
    ("default-password", node(admins=())),
    ("weak-cookie-secret", node(configuration={})),
    ("few-iterations", configured("chttpd_auth", iterations="600000")),
    ("few-iterations", configured("chttpd_auth", iterations="210000", pbkdf2_prf="sha512")),
    ("few-iterations", node(version="3.4.0", configuration={})),
    (
        "unsigned-proxy-authentication",
        node(
            configuration={
                "chttpd": {"authentication_handlers": PROXY},
                "chttpd_auth": {"proxy_use_secret": "true"},
            }
        ),
    ),
    ("listens-everywhere", node(configuration={})),
    ("cors-any-origin", node(configuration={"chttpd": {"enable_cors": "false"}, "cors": {"origins": "*"}})),
    ("cors-any-origin", node(configuration={"chttpd": {"enable_cors": "true"}, "cors": {"origins": "https://a.test"}})),
    (
        "cors-any-origin",
        node(configuration={"chttpd": {"enable_cors": "true"}, "cors": {"origins": "*", "credentials": "true"}}),
    ),
    ("cors-any-origin", node(configuration={"chttpd": {"enable_cors": "false"}, "httpd": {"enable_cors": "true"}})),
    ("long-sessions", node(configuration={})),
    ("long-sessions", configured("chttpd_auth", timeout="86400")),
    ("content-security-off", node(configuration={})),
    ("users-public", node(configuration={})),
    ("database-open", opened("pdfs", False)),
    ("database-open", opened("_users")),
    ("database-open-to-users", opened("pdfs")),
    ("users-open", opened("pdfs")),
    ("inline-credentials", inline()),
]


def ids(cases: list[tuple[str, NodeSeen]]) -> list[str]:
    return [f"{slug}-{number}" for number, (slug, _) in enumerate(cases)]


def test_every_check_of_a_node_has_one_rule_and_a_case_that_fails_it() -> None:
    slugs = {check.slug for check in CHECKS.values() if check.scope is Scope.NODE}
    assert set(NODE_RULES) == slugs
    assert {slug for slug, _ in BAD} == slugs - {"erlang-cookie"}


@pytest.mark.parametrize("slug", sorted(NODE_RULES.keys() - {"erlang-cookie"}))
def test_a_node_on_which_all_is_well_passes(slug: str) -> None:
    assert judged(slug, NODE).passed


@pytest.mark.parametrize(("slug", "seen"), BAD, ids=ids(BAD))
def test_what_is_wrong_is_found(slug: str, seen: NodeSeen) -> None:
    verdict = judged(slug, seen)

    assert len(verdict.flaws) == 1
    assert verdict.flaws[0].detail
    assert verdict.unknown is None


@pytest.mark.parametrize(("slug", "seen"), GOOD, ids=ids(GOOD))
def test_what_is_well_passes(slug: str, seen: NodeSeen) -> None:
    assert judged(slug, seen).passed


@pytest.mark.parametrize("slug", sorted(NODE_RULES.keys() - {"plain-http", "plain-http-between-nodes"}))
def test_of_a_node_that_is_away_nothing_passes(slug: str) -> None:
    """But for its URLs, which are known."""
    gone = node(
        kind=AWAY,
        version=AWAY,
        anonymous=Anonymous(AWAY, AWAY, AWAY),
        configuration=AWAY,
        admins=AWAY,
        default_login=AWAY,
        databases=AWAY,
        replications=AWAY,
    )
    verdict = judged(slug, gone)

    assert not verdict.flaws
    assert verdict.unknown
    assert slug == "erlang-cookie" or AWAY.why in verdict.unknown


def test_an_advisory_has_its_own_severity_and_says_where_it_is_mended() -> None:
    flaws = judged("advisory", node(version="3.2.1")).flaws

    worst = next(flaw for flaw in flaws if flaw.data["id"] == "CVE-2022-24706")
    assert worst.grade is Grade.CRITICAL
    assert worst.data["fixed_in"] == ["3.2.2"]
    assert "3.2.2" in str(worst.remedy)
    assert {flaw.data["id"] for flaw in flaws} == {"CVE-2022-24706", "CVE-2023-26268", "CVE-2023-45725"}


@pytest.mark.parametrize("slug", ["advisory", "end-of-life"])
def test_a_version_that_cannot_be_read_is_unknown(slug: str) -> None:
    assert "'nightly'" in str(judged(slug, node(version="nightly")).unknown)


@pytest.mark.parametrize("slug", ["advisory", "end-of-life", "valid-user-not-required", "listens-everywhere"])
def test_what_does_not_apply_to_a_stand_in_is_not_said_to_pass(slug: str) -> None:
    verdict = judged(slug, node(kind=NodeKind.STANDIN, version="3.5.0", configuration=AWAY))

    assert "stand-in" in str(verdict.not_applicable)
    assert not verdict.passed


def test_a_node_without_peers_has_nobody_to_call_it() -> None:
    assert judged("plain-http-between-nodes", node(peers=(), peer_url="http://x.test")).not_applicable
    assert judged("certificates-not-verified", node(peers=("http://b.test:5984",))).not_applicable


def test_admins_whose_passwords_were_not_all_tried_are_unknown() -> None:
    verdict = judged("default-password", node(admins=(ADMIN, replace(ADMIN, name="b", default=None))))

    assert not verdict.flaws
    assert "of 1 of 2 admins" in str(verdict.unknown)


def test_two_refused_logins_do_not_prove_that_all_admins_are_well() -> None:
    verdict = judged("default-password", node(admins=AWAY, default_login=None))

    assert "two default logins are refused" in str(verdict.unknown)


def test_databases_that_were_not_looked_at_are_told() -> None:
    verdict = judged("database-open", node(databases=Databases(10_000, 2_000)))

    assert "looked at 2000 of 10000 databases" in str(verdict.unknown)


def test_only_the_first_open_databases_are_named_and_the_others_counted() -> None:
    many = tuple(OpenDatabase(f"db-{number:03}", True) for number in range(120))
    flaws = judged("database-open", node(databases=Databases(120, 120, many))).flaws

    assert len(flaws) == 51
    assert flaws[0].database == "db-000"
    assert (flaws[-1].database, flaws[-1].data) == (None, {"count": 70})


def test_only_the_first_ids_of_documents_are_listed_and_all_are_counted() -> None:
    (flaw,) = judged("inline-credentials", inline(*(f"doc-{number}" for number in range(60)))).flaws

    assert flaw.data["count"] == 60
    assert len(flaw.data["ids"]) == 50
    assert flaw.data["truncated"] is True


def test_documents_that_were_not_looked_at_are_told() -> None:
    verdict = judged("inline-credentials", node(replications=(Replications("_replicator", (), 20_000, all=False),)))

    assert "only 20000 documents" in str(verdict.unknown)


def test_no_rule_tells_a_secret() -> None:
    secret = "relax-relax"
    seen = configured("chttpd_auth", secret=secret)

    assert secret not in repr(judged("weak-cookie-secret", seen))
    assert secret not in repr(seen)
    assert PASSWORD not in repr(seen)
