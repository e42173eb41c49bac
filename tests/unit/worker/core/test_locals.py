"""Which `_local` documents are a user's."""

from __future__ import annotations

from typing import Any

import pytest

from worker.core.locals import is_user_document

COUCHDB = {"replication_id_version": 4, "source_last_seq": "5-x", "session_id": "1"}
POUCHDB = {"last_seq": 5, "session_id": "1", "replicator": "pouchdb", "version": 1}


def local(identity: str, **fields: Any) -> dict[str, Any]:
    return {"_id": f"_local/{identity}", "_rev": "0-1", **fields}


@pytest.mark.parametrize(
    "document",
    [
        local("settings", theme="dark"),
        local("empty"),
        local("session", session_id="1", last_seq=5),
        local("not-one", replication_id_version=4, session_id="1"),
        local("my-shard-sync-list", name="x"),
        local("my-purge-list", ids=[1]),
    ],
)
def test_a_users(document: dict[str, Any]) -> None:
    assert is_user_document(document)


@pytest.mark.parametrize(
    "document",
    [
        local("4c2e5f", **COUCHDB, history=[]),
        local("YWJj", **POUCHDB, history=[]),
        local("purge-mrview-1a2b", purge_seq="0", type="mrview"),
        local("shard-sync-abc-def", seq=3, history={}),
    ],
)
def test_notes_of_replicators_and_of_the_server(document: dict[str, Any]) -> None:
    assert not is_user_document(document)
