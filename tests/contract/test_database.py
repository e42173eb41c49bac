"""One database on one node."""

from __future__ import annotations

import base64
import secrets

import pytest

from tests import builders
from tests.contract.conftest import Site
from worker.core.errors import BadRequest, Conflict, NotFound
from worker.couch.database import Database

pytestmark = pytest.mark.contract


@pytest.fixture
def database(site: Site) -> Database:
    return builders.databases(site.cluster, site.name(), ["a"])["a"]


def test_making_a_database_twice_makes_it_once(site: Site) -> None:
    database = Database(site.cluster["a"], site.name())

    assert database.create() is True
    assert database.create() is False


def test_a_missing_database_has_no_info(site: Site) -> None:
    assert Database(site.cluster["a"], site.name()).info() is None


def test_info_counts_documents(database: Database) -> None:
    database.put({"_id": "one"})
    database.put({"_id": "two"})

    info = database.info()

    assert info is not None
    assert (info.name, info.doc_count, info.partitioned) == (database.name, 2, False)


def test_a_partitioned_database_says_so(scheduled: Site) -> None:
    database = Database(scheduled.cluster["a"], scheduled.name())
    database.create(partitioned=True, shards=3)

    info = database.info()

    assert info is not None
    assert (info.partitioned, info.shards) == (True, 3)


@pytest.mark.parametrize("like", ["a+b", "a$b", "a(b)", "a_b", "a/b", "a/b/c"])
def test_names_that_need_encoding(site: Site, like: str) -> None:
    if "/" in like and site.kind == "stand-in":
        pytest.skip("a stand-in has no names with a slash")
    name = site.name(like)
    database = Database(site.cluster["a"], name)

    assert database.create() is True
    database.put({"_id": "one"})

    info = database.info()
    assert info is not None
    assert info.doc_count == 1
    assert name in site.cluster["a"].databases()
    assert [identity for identity, _ in database.leaves()] == ["one"]


def test_a_name_against_the_rule_is_refused(site: Site) -> None:
    with pytest.raises(BadRequest):
        Database(site.cluster["a"], "Capitals").create()


@pytest.mark.parametrize("identity", ["plain", "with space", "a/b", "ü-ä", "a+b%2F&c=?#d", "_design/views"])
def test_documents_of_any_name_come_back(database: Database, identity: str) -> None:
    revision = database.put({"_id": identity, "n": 1})

    found = database.get(identity)

    assert found is not None
    assert (found["_id"], found["_rev"], found["n"]) == (identity, revision, 1)
    database.delete(identity, revision)
    assert database.get(identity) is None


def test_a_missing_document_is_none(database: Database) -> None:
    assert database.get("nothing") is None


def test_a_document_is_not_overwritten_unseen(database: Database) -> None:
    revision = database.put({"_id": "one", "n": 1})

    with pytest.raises(Conflict):
        database.put({"_id": "one", "n": 2})
    assert database.put({"_id": "one", "_rev": revision, "n": 2}).startswith("2-")


def test_bulk_tells_of_each_document(database: Database) -> None:
    database.put({"_id": "one"})

    told = database.bulk([{"_id": "one"}, {"_id": "two"}])

    assert [row["id"] for row in told] == ["one", "two"] or {row.get("id") for row in told} == {"one", "two"}
    assert sorted(bool(row.get("error")) for row in told) == [False, True]


def test_security_is_read_back(database: Database) -> None:
    wanted = {"admins": {"names": ["ann"], "roles": []}, "members": {"names": [], "roles": ["readers"]}}

    database.set_security(wanted)

    found = database.security()
    assert found["admins"]["names"] == ["ann"]
    assert found["members"]["roles"] == ["readers"]


def test_changes_after_counts_down_to_nothing(site: Site, database: Database) -> None:
    database.bulk([{"_id": f"doc-{i}"} for i in range(5)])
    info = database.info()
    assert info is not None

    # a stand-in does not count: there 1 means "at least one"
    assert database.changes_after("0") == (5 if site.scheduler else 1)
    assert database.changes_after(info.update_seq) == 0
    database.put({"_id": "one-more"})
    assert database.changes_after(info.update_seq) == 1


def test_changes_after_of_a_missing_database_is_an_error_not_a_number(site: Site) -> None:
    with pytest.raises(NotFound):
        Database(site.cluster["a"], site.name()).changes_after("0")


def test_leaves_tell_conflicts_and_tombstones(database: Database) -> None:
    one, two = builders.revision(1, "one"), builders.revision(1, "two")
    assert database.bulk([{"_id": "both", "_rev": one}, {"_id": "both", "_rev": two}], new_edits=False) == []
    gone = database.put({"_id": "gone"})
    database.delete("gone", gone)
    kept = database.put({"_id": "kept"})

    found = dict(database.leaves())

    assert found["both"] == tuple(sorted([one, two]))
    assert found["kept"] == (kept,)
    assert len(found["gone"]) == 1
    assert found["gone"][0].startswith("2-")


def test_a_deleted_branch_is_a_leaf_too(database: Database) -> None:
    one, two = builders.revision(1, "one"), builders.revision(1, "two")
    database.bulk([{"_id": "both", "_rev": one}, {"_id": "both", "_rev": two}], new_edits=False)

    database.delete("both", one)

    found = dict(database.leaves())["both"]
    assert two in found
    assert len(found) == 2
    winner = database.get("both")
    assert winner is not None
    assert winner["_rev"] == two


def test_leaves_come_page_by_page_each_once(database: Database) -> None:
    database.bulk([{"_id": f"doc-{i:03}"} for i in range(25)])

    for batch in (7, 25, 1_000):
        found = [identity for identity, _ in database.leaves(batch)]
        assert sorted(found) == [f"doc-{i:03}" for i in range(25)]


def test_leaves_of_some_documents_are_those_of_these_alone(database: Database) -> None:
    one, two = builders.revision(1, "one"), builders.revision(1, "two")
    database.bulk([{"_id": "both", "_rev": one}, {"_id": "both", "_rev": two}], new_edits=False)
    database.delete("gone", database.put({"_id": "gone"}))
    database.bulk([{"_id": f"doc-{i:03}"} for i in range(250)])
    every = dict(database.leaves())

    assert database.leaves_of(["both", "gone", "nothing", "doc-007"]) == {
        key: every[key] for key in ("both", "gone", "doc-007")
    }
    assert database.leaves_of([*every]) == every  # more than one call takes
    assert database.leaves_of([]) == {}


def test_a_selector_leaves_out_what_does_not_match_it(site: Site, database: Database) -> None:
    database.bulk([{"_id": f"doc-{i:03}", "kind": "odd" if i % 2 else "even"} for i in range(25)])
    database.delete("odd-but-gone", database.put({"_id": "odd-but-gone", "kind": "odd"}))
    rows = [{"_id": "both", "_rev": builders.revision(1, kind), "kind": kind} for kind in ("odd", "even")]
    database.bulk(rows, new_edits=False)

    found = [row for page in database.pages(5, selector={"kind": "odd"}) for row in page]

    leaves = dict(found)
    if site.scheduler:  # leaf by leaf; a stand-in asks the winner alone
        assert leaves.pop("both") == (builders.revision(1, "odd"),)
    leaves.pop("both", None)
    assert sorted(leaves) == [f"doc-{i:03}" for i in range(1, 25, 2)]
    assert len(found) == len({identity for identity, _ in found})


def test_revisions_it_never_had_are_named_and_ancestors_are_known(database: Database) -> None:
    first = database.put({"_id": "one", "n": 1})
    second = database.put({"_id": "one", "_rev": first, "n": 2})
    unknown = builders.revision(2, "unknown")

    found = database.missing({"one": [first, second, unknown], "two": [unknown], "none": []})

    assert found == {"one": [unknown], "two": [unknown]}
    assert database.missing({"one": [second]}) == {}


def test_ancestors_that_came_by_name_only_are_known(database: Database) -> None:
    """What replication brings of a document's history: stand-ins call that missing."""
    path = [builders.revision(generation, f"edit {generation}") for generation in (3, 2, 1)]
    history = {"start": 3, "ids": [name.partition("-")[2] for name in path]}
    database.bulk([{"_id": "one", "_rev": path[0], "_revisions": history}], new_edits=False)
    other = builders.revision(2, "other")

    assert database.missing({"one": path}) == {}
    assert database.missing({"one": [*path, other], "two": path[:1]}) == {"one": [other], "two": path[:1]}


def test_attachments_come_back_byte_for_byte(database: Database) -> None:
    content = bytes(range(256)) * 40
    database.put({"_id": "one", "_attachments": {"a b.pdf": builders.attachment(content)}})

    stub = database.get("one")
    whole = database.get("one", attachments="true")

    assert stub is not None
    assert whole is not None
    assert stub["_attachments"]["a b.pdf"]["length"] == len(content)
    assert base64.b64decode(whole["_attachments"]["a b.pdf"]["data"]) == content


def test_a_big_body_arrives_though_it_is_compressed(database: Database) -> None:
    documents = [{"_id": f"doc-{i}", "text": "ü" * 1_000} for i in range(60)]

    database.bulk(documents)

    found = database.get("doc-59")
    assert found is not None
    assert found["text"] == "ü" * 1_000


def test_a_users_password_is_not_kept_as_it_is(site: Site) -> None:
    if site.kind == "fake":
        pytest.skip("it has no users")
    users = Database(site.cluster["a"], "_users")
    names = [f"user-{secrets.token_hex(6)}" for _ in range(2)]
    one, other = (
        {"_id": f"org.couchdb.user:{name}", "type": "user", "name": name, "roles": [], "password": "a-secret-word"}
        for name in names
    )
    users.put(one)
    users.bulk([other])
    kept = [users.get(str(each["_id"])) or {} for each in (one, other)]
    for found in kept:
        users.delete(found["_id"], found["_rev"])
    for found in kept:
        assert "password" not in found
        assert "a-secret-word" not in str(found)
        assert found["derived_key"]
