"""Copies of what is registered are put together: nothing is lost, and nothing that was deleted comes back."""

from __future__ import annotations

import itertools
import json

import pytest

from worker.core.events import SENT_ONLY, EventType
from worker.core.registrations import (
    GONE_KEPT,
    Registration,
    Registrations,
    as_json,
    digest,
    from_json,
    merged,
)

NOW = 1_795_446_000.0
ONE = Registration("wh_1", "https://a.test", NOW - 9, "sealed-1", ("job.finished", "node.state"), "on call")
TWO = Registration("wh_2", "https://b.test", NOW - 8, "sealed-2")


def known(*living: Registration, **gone: float) -> Registrations:
    return Registrations({one.id: one for one in living}, gone)


def test_all_that_any_copy_has_counts_but_what_any_knows_to_be_deleted() -> None:
    copies = [known(ONE), known(TWO), known(wh_1=NOW - 5), known(ONE, TWO)]

    for order in itertools.permutations(copies):
        assert merged(order, NOW) == known(TWO, wh_1=NOW - 5)
    assert merged([], NOW) == known()
    assert not known()


def test_putting_together_again_changes_nothing() -> None:
    once = merged([known(ONE, wh_3=NOW - 7), known(wh_3=NOW - 5)], NOW)

    assert once.gone == {"wh_3": NOW - 5}
    assert merged([once, once], NOW) == once


def test_a_deletion_is_remembered_for_as_long_as_a_node_may_be_away() -> None:
    assert merged([known(wh_1=NOW - GONE_KEPT + 1)], NOW).gone
    assert not merged([known(wh_1=NOW - GONE_KEPT)], NOW).gone


def test_what_is_kept_can_be_read_again_and_by_other_versions() -> None:
    found = known(ONE, TWO, wh_3=NOW)
    said = json.loads(json.dumps(as_json(found)))

    assert from_json(said) == found
    said["living"]["wh_1"]["field_of_tomorrow"] = 1
    assert from_json(said) == found
    assert from_json({}) == known()


def test_equal_ones_have_equal_digests() -> None:
    assert digest(known(ONE, TWO)) == digest(known(TWO, ONE))
    assert len({digest(each) for each in (known(), known(ONE), known(TWO), known(wh_1=NOW))}) == 4


@pytest.mark.parametrize("kind", list(EventType))
def test_who_names_no_types_is_sent_all_that_are_kept(kind: EventType) -> None:
    assert TWO.wants(kind) is (kind not in SENT_ONLY)
    assert ONE.wants(kind) is (kind in {EventType.JOB_FINISHED, EventType.NODE_STATE})


def test_what_is_sealed_is_not_shown() -> None:
    assert "sealed-1" not in repr(ONE)
