from __future__ import annotations

import itertools
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.jobs import ENDED, LOCKS, TRANSITIONS, Kind, Request, State, eta, fingerprint, new_id

times = st.floats(0, 2**47 / 1000)


@given(times)
def test_ids_are_uuids_of_version_7_that_tell_their_time(now: float) -> None:
    found = uuid.UUID(new_id(now))

    assert found.version == 7
    assert found.variant == uuid.RFC_4122
    assert str(found) == new_id(now)[:13] + str(found)[13:]
    assert found.int >> 80 == int(now * 1000)


@given(times, times)
def test_ids_sort_by_time(one: float, other: float) -> None:
    first, second = sorted((one, other))
    if int(first * 1000) < int(second * 1000):
        assert new_id(first) < new_id(second)


def test_ids_of_one_moment_differ() -> None:
    assert len({new_id(1_795_446_000.0) for _ in range(1_000)}) == 1_000


def test_the_table_has_every_state_and_no_way_out_of_an_end() -> None:
    assert set(TRANSITIONS) == set(State)
    assert all(not TRANSITIONS[state] for state in ENDED)
    assert {state for state in State if not TRANSITIONS[state]} == ENDED
    assert all(state not in TRANSITIONS[state] for state in State)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-1_000, 1_000) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=5), json_values, max_size=5))
def test_a_fingerprint_is_the_same_for_any_order(value: dict[str, object]) -> None:
    turned = dict(reversed(list(value.items())))

    assert fingerprint(value) == fingerprint(turned)
    assert fingerprint(value) != fingerprint({**value, "more": 1} if "more" not in value else {"x": 1, "y": value})


def test_requests_for_the_same_thing_have_the_same_dedupe() -> None:
    one = Request(Kind.SYNC, "pdfs", {"database": "pdfs", "create_missing": True})
    same = Request(Kind.SYNC, "pdfs", {"create_missing": True, "database": "pdfs"})
    narrower = Request(Kind.SYNC, "pdfs", {"database": "pdfs", "create_missing": False})
    others = [
        Request(Kind.SYNC, "other", {"database": "other", "create_missing": True}),
        Request(Kind.SETUP, None, {"databases": None, "bidirectional": True}),
        Request(Kind.SETUP, None, {"databases": ["pdfs"], "bidirectional": True}),
        Request(Kind.VERIFY, "pdfs", {"database": "pdfs", "nodes": None, "repair": False}),
        Request(Kind.VERIFY, "pdfs", {"database": "pdfs", "nodes": None, "repair": True}),
    ]

    assert one.dedupe == same.dedupe == narrower.dedupe
    assert one.breadth == same.breadth > narrower.breadth
    assert len({one.dedupe, *(other.dedupe for other in others)}) == 6


def test_one_operation_a_database_at_a_time() -> None:
    make = itertools.product(["pdfs", "other"], [True, False])
    locks = [Request(Kind.SYNC, name, {"create_missing": create}).lock for name, create in make]

    assert locks == ["database:pdfs", "database:pdfs", "database:other", "database:other"]
    assert Request(Kind.SETUP, None, {}).lock == "setup"
    # a long verify must not keep its database from being synced
    assert Request(Kind.VERIFY, "pdfs", {"database": "pdfs"}).lock == "verify:pdfs"


def test_one_delivery_to_a_receiver_at_a_time() -> None:
    """One that hangs must not hold a thread for each event."""
    one, two = ({"event": {"type": "node.state", "id": made}, "mark": "0123"} for made in ("1-0", "2-0"))

    requests = [Request(Kind.WEBHOOK, None, params) for params in (one, two, {**one, "mark": "4567"})]

    assert [request.lock for request in requests] == ["webhook:0123", "webhook:0123", "webhook:4567"]
    assert len({request.dedupe for request in requests}) == 3


BACKUP_ID = "20261125T030000Z-1e7a90"


def backup(**params: Any) -> Request:
    return Request(Kind.BACKUP, None, {"databases": None, "full": False, "scheduled": False, **params})


def restore(database: str | None, into: str | None = None, **params: Any) -> Request:
    """As the API asks for it."""
    asked = {"backup": BACKUP_ID, "as": into, "database": database, "mode": "new", **params}
    return Request(Kind.RESTORE, database, asked)


def check(backup: str = BACKUP_ID, *, drill: bool = False) -> Request:
    return Request(Kind.CHECK, None, {"backup": backup, "drill": drill, "node": None})


def hold(backup: str = BACKUP_ID, *, on: bool = True) -> Request:
    return Request(Kind.HOLD, None, {"backup": backup, "on": on, "reason": None})


def prune(*, dry_run: bool = False) -> Request:
    return Request(Kind.PRUNE, None, {"dry_run": dry_run})


def test_every_kind_has_a_lock() -> None:
    assert set(LOCKS) == set(Kind)


def test_one_backup_at_a_time_and_nothing_is_removed_meanwhile() -> None:
    assert {one.lock for one in (backup(), backup(databases=["pdfs"]), prune(), prune(dry_run=True))} == {"backups"}


def test_a_restore_has_its_database_for_itself() -> None:
    """Never beside a sync of it, nor beside another restore into it."""
    sync = Request(Kind.SYNC, "copy", {"database": "copy", "create_missing": True})

    assert restore("pdfs").lock == "database:pdfs"
    assert restore("pdfs", "copy").lock == restore("notes", "copy").lock == sync.lock
    assert restore(None, mode="cluster").lock == "restore"


def test_backups_are_checked_and_held_one_by_one() -> None:
    other = "20261124T030000Z-0b8f2d"

    assert check().lock == check(drill=True).lock != check(other).lock
    assert hold().lock == hold(on=False).lock != hold(other).lock
    assert check().lock != hold().lock


def test_what_is_the_same_about_backups_is_done_once() -> None:
    assert restore("pdfs").dedupe == restore("pdfs").dedupe
    assert backup().dedupe == backup().dedupe


def test_what_is_not_the_same_about_backups_is_not_taken_for_it() -> None:
    different = [
        backup(),
        backup(databases=["pdfs"]),
        backup(full=True),
        backup(scheduled=True),
        restore("pdfs"),
        restore("notes"),  # of the same backup
        restore("pdfs", "copy"),
        restore("pdfs", mode="rollback"),
        restore(None, mode="cluster"),
        check(),
        check(drill=True),
        hold(),
        hold(on=False),
        prune(),
        prune(dry_run=True),
    ]

    assert len({one.dedupe for one in different}) == len(different)
    assert {one.breadth for one in different} == {0}


def test_what_flower_shows_of_backups() -> None:
    assert (backup().about, prune().about) == ("all", "all")
    assert (check().about, hold().about) == (BACKUP_ID, BACKUP_ID)
    assert restore("pdfs").about == f"{BACKUP_ID} pdfs"
    assert restore(None, mode="cluster").about == BACKUP_ID


def test_what_flower_shows() -> None:
    params = {"event": {"type": "node.state"}, "receiver": "https://hook.test", "mark": "0123"}

    assert Request(Kind.WEBHOOK, None, params).about == "node.state to https://hook.test"
    assert Request(Kind.SYNC, "pdfs", {}).about == "pdfs"
    assert Request(Kind.SETUP, None, {}).about == "all"


@pytest.mark.parametrize(
    ("done", "total", "elapsed", "wanted"),
    [
        (None, 10, 5.0, None),
        (0, 10, 5.0, None),
        (5, None, 5.0, None),
        (5, 10, 0.0, None),
        (5, 10, 5.0, 5.0),
        (10, 10, 5.0, 0.0),
    ],
)
def test_eta_is_unknown_or_at_the_pace_so_far(
    done: int | None, total: int | None, elapsed: float, wanted: float | None
) -> None:
    assert eta(done, total, elapsed) == wanted


@given(st.integers(1, 10**9), st.integers(0, 10**9), st.floats(0.001, 10**6))
def test_eta_is_never_negative_and_ends_at_zero(done: int, total: int, elapsed: float) -> None:
    left = eta(done, total, elapsed)

    assert left is not None
    assert left >= 0
    if total <= done:
        assert left == 0
