"""Who `_security` lets in, and which replication documents have credentials where they do not belong."""

from __future__ import annotations

from typing import Any

import pytest

from worker.core.audit.content import has_inline_credentials, is_open, is_replicator

URL = "https://b.test:6984/pdfs"
BASIC = {"auth": {"basic": {"username": "bob", "password": "secret"}}}


@pytest.mark.parametrize(
    ("security", "open_"),
    [
        ({}, True),
        ({"members": {"names": [], "roles": []}, "admins": {"names": [], "roles": []}}, True),
        ({"admins": {"names": ["bob"], "roles": ["_admin"]}}, True),
        ({"members": {"roles": ["_admin"]}, "admins": {"roles": ["_admin"]}}, False),
        ({"members": {"names": ["bob"]}}, False),
        ({"members": {"names": [], "roles": ["readers"]}}, False),
        ({"readers": {"names": ["bob"]}}, False),
        ({"members": None}, True),
    ],
)
def test_a_database_without_members_is_open_whoever_its_admins_are(security: dict[str, Any], open_: bool) -> None:
    assert is_open(security) is open_


@pytest.mark.parametrize(
    "end",
    [
        "https://bob:secret@b.test:6984/pdfs",
        "http://bob@b.test/pdfs",
        " https://bob:se/cret@b.test/pdfs".replace("/cret", "cret"),
        {"url": "https://bob:secret@b.test/pdfs", **BASIC},
        {"url": URL, "headers": {"Authorization": "Basic Ym9iOnNlY3JldA=="}},
        {"url": URL, "headers": {"authorization": "Bearer x"}},
    ],
)
@pytest.mark.parametrize("place", ["source", "target"])
def test_credentials_in_a_url_or_a_header_are_inline(end: Any, place: str) -> None:
    assert has_inline_credentials({"source": "pdfs", "target": "pdfs", place: end})


@pytest.mark.parametrize(
    "end",
    ["pdfs", URL, f"{URL}?x=a@b", {"url": URL}, {"url": URL, **BASIC}, {"url": URL, "headers": {"X-A": "b"}}, None, 17],
)
def test_credentials_in_auth_are_where_they_belong(end: Any) -> None:
    assert not has_inline_credentials({"source": end, "target": "pdfs"})


def test_a_document_that_is_no_replication_has_none() -> None:
    assert not has_inline_credentials({"_id": "_design/_replicator", "validate_doc_update": "function () {}"})


@pytest.mark.parametrize(
    ("name", "is_one"), [("_replicator", True), ("a/_replicator", True), ("my_replicator", False), ("pdfs", False)]
)
def test_replications_run_from_every_database_that_is_called_so(name: str, is_one: bool) -> None:
    assert is_replicator(name) is is_one
