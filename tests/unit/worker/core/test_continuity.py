"""When a backup must not go on from an earlier one, and that the reason is told."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from worker.core.continuity import why_full
from worker.core.manifest import Source

EARLIER = Source(
    node="a",
    kind="couchdb",
    version="3.5.0",
    uuid="uuid-a",
    seq="17-x",
    update_seq="17-y",
    purge_seq="0-z",
    instance_start_time="1700000000",
    read_at=1.0,
)


def why(*, before: dict[str, Any] | None = None, **now: Any) -> str | None:
    """`before`: what of the earlier source is otherwise."""
    return why_full(replace(EARLIER, **(before or {})), replace(EARLIER, **now))


def test_the_same_database_a_day_later_is_gone_on_from() -> None:
    assert why(seq="30-x", update_seq="30-y", read_at=90_000.0, version="3.5.1") is None


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        ({"node": "b", "uuid": "uuid-b"}, "read on a, this one on b: sequences are not shared"),
        ({"uuid": "uuid-c"}, "a is another server than at the backup before"),
        ({"uuid": None}, "a is another server than at the backup before"),
        ({"instance_start_time": "1700009999"}, "the database was made anew"),
        ({"update_seq": "16-y"}, r"update_seq (16) is lower than at the backup before (17)"),
        ({"purge_seq": "1-z"}, "documents were purged since"),
        ({"purge_seq": "10-a"}, "documents were purged since"),
    ],
)
def test_each_reason_is_told(now: dict[str, Any], reason: str) -> None:
    assert reason in str(why(**now))


def test_a_purge_sequence_that_went_back_tells_of_an_older_copy() -> None:
    assert "purge_seq is lower" in str(why(before={"purge_seq": "9-z"}, purge_seq="0-z"))


def test_a_node_that_was_renamed_is_the_same_server_by_its_uuid() -> None:
    assert why(node="primary") is None


def test_another_name_without_a_uuid_may_be_another_server() -> None:
    assert "sequences are not shared" in str(why(before={"uuid": None}, node="b", uuid=None))
    assert "sequences are not shared" in str(why(before={"uuid": None}, node="b"))


def test_servers_without_uuids_are_gone_on_from_under_the_same_name() -> None:
    old = {"uuid": None, "purge_seq": None, "instance_start_time": None}
    assert why(before=old, **old) is None


@pytest.mark.parametrize("seq", ["17-x", "9", "", "strange"])
def test_a_sequence_that_has_not_gone_back_is_no_reason(seq: str) -> None:
    assert why(before={"seq": seq}) is None


@pytest.mark.parametrize(
    ("was", "is_now"), [("0-z", "0-other"), ("3", "3-z"), (None, "5-z"), ("5-z", None), ("strange", "5-z"), ("", "1")]
)
def test_what_is_no_other_number_of_purges_is_no_reason(was: str | None, is_now: str | None) -> None:
    """Older servers give a plain number, stand-ins none; what stands behind the dash is not about purges."""
    assert why(before={"purge_seq": was}, purge_seq=is_now) is None
