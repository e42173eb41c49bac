from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core import names

ALLOWED = "abcdefghijklmnopqrstuvwxyz0123456789_$()+-/"
node_names = st.from_regex(r"[a-z0-9][a-z0-9-]{0,20}", fullmatch=True)
# CouchDB, couch_db.erl: the regular expression that [couchdb] database_name_regex has by default
COUCHDBS_OWN = re.compile(r"[a-z][a-z0-9_$()+/-]*")


@given(st.text(ALLOWED + "ABC .:%\\\n\x00üé", max_size=250))
def test_the_rule_is_couchdbs(name: str) -> None:
    accepted = names.database_name_error(name) is None

    assert accepted == (COUCHDBS_OWN.fullmatch(name) is not None and len(name) <= 238)


@pytest.mark.parametrize("name", ["pdfs", "a", "a+b", "a/b", "a$b(c)", "a_b-c", "a" * 238])
def test_names_that_couchdb_takes(name: str) -> None:
    assert names.database_name_error(name) is None


@pytest.mark.parametrize(
    "name",
    ["", "A", "1a", "-a", "a b", "a.b", "..", "a%2fb", "a\n", "ä", "a" * 239, "a:b", "/a", "a\x00"],
)
def test_names_that_couchdb_refuses_get_the_rule(name: str) -> None:
    error = names.database_name_error(name)

    assert error is not None
    assert "lowercase" in error


@pytest.mark.parametrize("name", ["_users", "_replicator", "_global_changes", "_x"])
def test_system_databases_are_named_as_such(name: str) -> None:
    error = names.database_name_error(name)

    assert error is not None
    assert "system databases" in error
    assert not names.selected(name, ["*"], [])


def test_our_own_database_is_no_users() -> None:
    assert names.database_name_error(names.OWN_DATABASE) is None
    assert not names.selected(names.OWN_DATABASE, ["*", names.OWN_DATABASE], [])


def test_the_nearest_names_come_best_first() -> None:
    assert names.nearest("pdf", ["categories", "pdfs", "pdfs-old"])[0] == "pdfs"
    assert names.nearest("zzz", ["categories", "pdfs"]) == []


@pytest.mark.parametrize(
    ("name", "include", "exclude", "wanted"),
    [
        ("pdfs", ["*"], [], True),
        ("pdfs", ["cat*", "pdf?"], [], True),
        ("pdfs", ["cat*"], [], False),
        ("pdfs", ["*"], ["pdf*"], False),
        ("pdfs", [], [], False),
        ("a/b", ["a/*"], [], True),
    ],
)
def test_globs_select_databases(name: str, include: list[str], exclude: list[str], wanted: bool) -> None:
    assert names.selected(name, include, exclude) is wanted


@given(node_names, node_names, st.from_regex(r"[a-z][a-z0-9_$()+/-]{0,30}", fullmatch=True))
def test_a_links_id_tells_its_parts(source: str, target: str, database: str) -> None:
    identity = names.replication_document_id(database, source, target)

    assert names.parse_replication_document_id(identity) == (source, target, database)


@given(st.text("nbr:a1A_-/", max_size=20))
def test_what_is_not_ours_is_nobodys_link(identity: str) -> None:
    found = names.parse_replication_document_id(identity)

    if found is not None:
        source, target, database = found
        assert names.replication_document_id(database, source, target) == identity
        assert names.is_node_name(source)
        assert names.is_node_name(target)


@pytest.mark.parametrize("identity", ["", "nbr", "nbr:a:b", "nbr:a:b:", "nbr::b:c", "other:a:b:c", "nbr:A:b:c"])
def test_ids_of_other_people(identity: str) -> None:
    assert names.parse_replication_document_id(identity) is None
