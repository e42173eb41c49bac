"""Every rule about our own settings, both ways."""

from __future__ import annotations

import pytest

from tests.unit.worker.core.audit.seen import OWN, PASSWORD, own
from worker.core.audit.checks import CHECKS, Scope
from worker.core.audit.observed import Login, OwnSeen, Store
from worker.core.audit.own import RULES


def login(password: str, user: str = "nbr") -> OwnSeen:
    return own(logins=(Login("REPLICATION_NODES", user, password, "replica1"),))


def store(host: str | None, *, tls: bool = False, password: bool = False) -> OwnSeen:
    return own(stores=(Store("BROKER_URL", host, tls, password),))


BAD = [
    ("own-password-default", login("changeme")),
    ("own-password-default", login("replicator", "replicator")),
    ("own-password-weak", login("Xk4-vQ9!")),
    ("replication-user-is-admin", own(replication_user=False)),
    ("redis-open", store("redis.test")),
    ("redis-plain", store("redis.test", password=True)),
    ("api-without-token", own(api_tokens=False)),
    ("api-open-to-all", own(anonymous_role="operate")),
    ("tokens-in-plain", own(plain_tokens=2)),
    ("api-on-a-network", own(api_host="10.0.0.7")),
    ("flower-without-password", own(flower_password=False)),
    ("backups-not-sealed", own(sealed=False)),
    ("webhook-plain", own(receivers=("https://a.test", "http://chat.test:8080"))),
]
GOOD = [
    ("own-password-weak", login("changeme")),  # told once, as a default
    ("redis-open", store("redis.test", password=True)),
    ("redis-open", store(None)),
    ("redis-plain", store("redis.test", tls=True)),
    ("redis-plain", store("127.0.0.1")),
    ("api-open-to-all", own(anonymous_role="view")),
    ("webhook-plain", own(receivers=("http://127.0.0.1:9000",))),
]


def ids(cases: list[tuple[str, OwnSeen]]) -> list[str]:
    return [f"{slug}-{number}" for number, (slug, _) in enumerate(cases)]


def test_every_check_of_ours_has_one_rule_and_a_case_that_fails_it() -> None:
    slugs = {check.slug for check in CHECKS.values() if check.scope is Scope.OWN}
    assert set(RULES) == slugs == {slug for slug, _ in BAD}


@pytest.mark.parametrize("slug", sorted(RULES))
def test_settings_that_are_well_pass(slug: str) -> None:
    assert RULES[slug](OWN).passed


@pytest.mark.parametrize(("slug", "seen"), BAD, ids=ids(BAD))
def test_what_is_wrong_is_found(slug: str, seen: OwnSeen) -> None:
    verdict = RULES[slug](seen)

    assert len(verdict.flaws) == 1
    assert not verdict.unknown


@pytest.mark.parametrize(("slug", "seen"), GOOD, ids=ids(GOOD))
def test_what_is_well_passes(slug: str, seen: OwnSeen) -> None:
    assert RULES[slug](seen).passed


@pytest.mark.parametrize(
    ("slug", "seen"),
    [
        ("backups-not-sealed", own(backups=False, sealed=False)),
        ("webhook-plain", own(receivers=())),
        ("replication-user-is-admin", own(logins=(), replication_user=False)),
    ],
    ids=["no-backups", "no-receivers", "no-user"],
)
def test_where_there_is_nothing_to_check_nothing_passes(slug: str, seen: OwnSeen) -> None:
    verdict = RULES[slug](seen)
    assert verdict.not_applicable
    assert not verdict.passed


def test_a_password_is_told_by_where_it_stands_and_never_itself() -> None:
    """Not its user either, who may be called like it."""
    (flaw,) = RULES["own-password-default"](login("relaxed-user1", "relaxed-user")).flaws

    assert (flaw.node, flaw.data) == ("replica1", {"setting": "REPLICATION_NODES"})
    assert "relaxed" not in repr(flaw)
    assert PASSWORD not in repr(OWN)
