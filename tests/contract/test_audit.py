"""The security report on nodes: what is made wrong appears in it, and goes when it is mended.

Nodes may be somebody's own: whatever is changed has a random name, or is put back.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from tests.contract.conftest import Site
from tests.unit.worker.core.audit.seen import own
from worker.core.model import Credentials
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.couch.replicator import DATABASE as REPLICATOR
from worker.couch.server import Server
from worker.ops.audit.look import Memory
from worker.ops.audit.run import audit
from worker.ops.control import Unattended

pytestmark = pytest.mark.contract

NOW = 1_795_446_000.0
OWN = own(logins=(), stores=(), backups=False, sealed=False, receivers=())
OPEN: dict[str, Any] = {"members": {"names": [], "roles": []}, "admins": {"names": [], "roles": []}}
CLOSED: dict[str, Any] = {"members": {"names": [], "roles": ["_admin"]}, "admins": {"names": [], "roles": ["_admin"]}}
CONFIG = ("_node", "_local", "_config")


def made(cluster: Cluster, memory: dict[str, Memory] | None = None) -> dict[str, Any]:
    return audit(cluster, OWN, memory or {}, NOW, Unattended()).report


def found(report: dict[str, Any], check: str, node: str = "b") -> list[dict[str, Any]]:
    return [one for one in report["findings"] if (one["check"], one["node"]) == (check, node)]


def of(report: dict[str, Any], node: str) -> dict[str, Any]:
    (told,) = [each for each in report["checked"] if each["node"] == node]
    return dict(told)


def reason(report: dict[str, Any], check: str, kind: str = "unknown", node: str = "b") -> str:
    return {row["check"]: str(row["why"]) for row in of(report, node)[kind]}[check]


@contextmanager
def configured(server: Server, section: str, **values: str) -> Iterator[None]:
    before = server.configuration(section)
    for key, value in values.items():
        server.configure(section, key, value)
    try:
        yield
    finally:
        for key in values:
            if key in before:
                server.configure(section, key, before[key])
            else:
                server.client.delete(*CONFIG, section, key)


@contextmanager
def admin(server: Server, password: str, **params: str) -> Iterator[str]:
    """A server admin with a random name. `raw`: the password is a hash."""
    name = f"audited-{secrets.token_hex(4)}"
    server.client.put(*CONFIG, "admins", name, json=password, params=params)
    try:
        yield name
    finally:
        server.client.delete(*CONFIG, "admins", name)


def test_an_open_database_is_found_until_it_has_members(site: Site) -> None:
    name = site.name("audit")
    database = Database(site.cluster["b"], name)
    database.create()
    check = "database-open-to-users" if site.kind == "stand-in" else "database-open"
    database.set_security(OPEN)
    assert name in [one["database"] for one in found(made(site.cluster), check)]

    database.set_security(CLOSED)

    report = made(site.cluster)
    assert name not in [one["database"] for one in found(report, check)]
    extent = of(report, "b")["databases"]
    assert extent["looked_at"] == extent["total"] > 0


def test_a_new_database_is_closed(scheduled: Site) -> None:
    name = scheduled.name("audit")
    Database(scheduled.cluster["b"], name).create()

    report = made(scheduled.cluster)

    for check in ("database-open", "database-open-to-users"):
        assert name not in [one["database"] for one in found(report, check)]
    assert not found(report, "replicator-open")
    assert not found(report, "users-open")


def test_a_replication_document_with_credentials_inline_is_found_by_its_id_alone(scheduled: Site) -> None:
    name, password = scheduled.name("audit"), f"inline-{secrets.token_hex(8)}"
    replicator = Database(scheduled.cluster["b"], REPLICATOR)
    pair = base64.b64encode(f"bob:{password}".encode()).decode()
    source = {"url": f"http://127.0.0.1:1/{name}", "headers": {"Authorization": f"Basic {pair}"}}
    written = {f"url:{name}": f"http://bob:{password}@127.0.0.1:1/{name}", f"header:{name}": source}
    for identity, end in written.items():
        replicator.put({"_id": identity, "source": end, "target": f"http://127.0.0.1:1/{name}"})
    basic = {"url": f"http://127.0.0.1:1/{name}", "auth": {"basic": {"username": "bob", "password": password}}}
    replicator.put({"_id": f"well:{name}", "source": basic, "target": f"http://127.0.0.1:1/{name}"})

    report = made(scheduled.cluster)

    (finding,) = found(report, "inline-credentials")
    assert finding["database"] == REPLICATOR
    ours = {identity for identity in finding["data"]["ids"] if identity.endswith(name)}
    assert ours == set(written)
    assert password not in json.dumps(report)
    assert pair not in json.dumps(report)
    scheduled.clean()
    assert not [
        identity
        for one in found(made(scheduled.cluster), "inline-credentials")
        for identity in one["data"]["ids"]
        if identity.endswith(name)
    ]


def test_an_admin_with_a_default_password_is_found_without_a_login(scheduled: Site) -> None:
    with admin(scheduled.cluster["b"], "password") as name:
        report = made(scheduled.cluster)

    (finding,) = [one for one in found(report, "default-password") if one["data"]["admin"] == name]
    assert finding["severity"] == "critical"
    kept = scheduled.cluster["b"].configuration("admins")
    assert not [value for value in kept.values() if value in json.dumps(report)]
    after = made(scheduled.cluster)
    assert name not in json.dumps(after)
    if scheduled.kind == "couchdb":
        assert "default-password" in of(after, "b")["passed"]


def test_an_admin_with_a_good_password_is_not(scheduled: Site) -> None:
    with admin(scheduled.cluster["b"], f"Xk4-{secrets.token_hex(16)}") as name:
        report = made(scheduled.cluster)

    assert name not in json.dumps(found(report, "default-password"))
    assert name not in json.dumps(found(report, "weak-hash"))


def test_few_rounds_are_found(scheduled: Site) -> None:
    salt = secrets.token_hex(16)
    hashed = hashlib.pbkdf2_hmac("sha1", secrets.token_bytes(16), salt.encode(), 10, 20).hex()
    with admin(scheduled.cluster["b"], f"-pbkdf2-{hashed},{salt},10", raw="true") as name:
        report = made(scheduled.cluster)

    (finding,) = [one for one in found(report, "weak-hash") if one["data"]["admin"] == name]
    assert (finding["severity"], finding["data"]["rounds"]) == ("low", 10)
    assert salt not in json.dumps(report)
    assert hashed not in json.dumps(report)


@pytest.mark.parametrize(
    ("credentials", "check", "grade"),
    [("false", "cors-any-origin", "medium"), ("true", "cors-any-origin-with-credentials", "high")],
)
def test_every_origin_is_found_until_it_is_taken_back(
    scheduled: Site, credentials: str, check: str, grade: str
) -> None:
    server = scheduled.cluster["b"]
    with (
        configured(server, "cors", origins="*", credentials=credentials),
        configured(server, "chttpd", enable_cors="true"),
    ):
        report = made(scheduled.cluster)

    assert [one["severity"] for one in found(report, check)] == [grade]
    assert check in of(report, "a")["passed"]
    assert check in of(made(scheduled.cluster), "b")["passed"]


def test_long_sessions_and_attachments_without_a_policy_are_found(scheduled: Site) -> None:
    server = scheduled.cluster["b"]
    with configured(server, "csp", attachments_enable="false"), configured(server, "chttpd_auth", timeout="604800"):
        report = made(scheduled.cluster)

    for check in ("content-security-off", "long-sessions"):
        assert len(found(report, check)) == 1
        assert check in of(made(scheduled.cluster), "b")["passed"]


def test_strangers_are_no_admins_and_get_no_names(scheduled: Site) -> None:
    told = of(made(scheduled.cluster), "b")

    assert {"admin-party", "database-names-open", "advisory", "end-of-life"} <= set(told["passed"])


def test_what_does_not_apply_to_a_stand_in_and_what_it_does_not_tell(site: Site) -> None:
    if site.kind != "stand-in":
        pytest.skip("CouchDB tells it")
    report = made(site.cluster)

    assert "stand-in" in reason(report, "advisory", "not_applicable")
    assert "stand-in" in reason(report, "cors-any-origin", "not_applicable")
    assert "configuration" in reason(report, "default-password")
    assert not {"advisory", "default-password", "weak-hash"} & set(of(report, "b")["passed"])
    assert "admin-party" in of(report, "b")["passed"]


def test_no_credential_of_ours_is_in_the_report(site: Site) -> None:
    text = json.dumps(made(site.cluster))

    for node in site.nodes:
        assert node.credentials is not None
        assert node.credentials.password not in text


def test_a_refused_password_is_sent_once_and_strangers_are_still_looked_at(site: Site) -> None:
    # a user of its own, so that nobody is locked out
    nobody = Credentials(f"nobody-{secrets.token_hex(4)}", secrets.token_hex(8))
    nodes = [replace(node, credentials=nobody) for node in site.nodes]
    report = made(Cluster([site.server(node) for node in nodes]))

    assert "unauthorized" in reason(report, "database-open")
    assert "admin-party" in of(report, "b")["passed"]
    assert nobody.password not in json.dumps(report)
