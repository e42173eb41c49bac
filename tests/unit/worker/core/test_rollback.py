"""What has to be written so that a document is again what it was: each case, and where it leads in a small model of a
document's leaves."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.rollback import Action, Leaf, Step, order, step, winner

PDF = ("application/pdf", "md5-x", 9)
Attachments = Mapping[str, tuple[str, str | None, int]]


def leaf(rev: str, value: object = None, attachments: Attachments = MappingProxyType({})) -> Leaf:
    return Leaf(rev, False, {"value": value}, attachments)


def gone(rev: str) -> Leaf:
    return Leaf(rev, True, {}, {})


# who wins


@pytest.mark.parametrize(
    ("leaves", "wanted"),
    [
        ([], None),
        ([leaf("1-a"), leaf("2-a")], "2-a"),
        ([leaf("10-a"), leaf("9-f")], "10-a"),
        ([leaf("2-a"), leaf("2-b")], "2-b"),
        ([leaf("1-a"), gone("5-f")], "1-a"),
        ([gone("1-f"), gone("2-a")], "2-a"),
    ],
)
def test_the_winner_is_the_one_that_couchdb_chooses(leaves: list[Leaf], wanted: str | None) -> None:
    for found in (winner(leaves), winner(leaves[::-1])):
        assert (found.rev if found else None) == wanted


# each case


@pytest.mark.parametrize(
    ("then", "now", "wanted"),
    [
        ([leaf("1-a", 1)], [leaf("1-a", 1)], Step(Action.NOTHING)),
        ([leaf("1-a", 1)], [leaf("3-c", 1)], Step(Action.NOTHING)),
        ([leaf("1-a", 1)], [leaf("2-b", 2)], Step(Action.UPDATE, parent="2-b")),
        ([leaf("1-a", 1)], [leaf("2-b", 2), leaf("2-a", 1)], Step(Action.UPDATE, parent="2-b")),
        ([leaf("1-a", 1)], [leaf("2-b", 1), leaf("2-a", 2)], Step(Action.NOTHING)),
        ([leaf("1-a", 1)], [gone("2-b")], Step(Action.RECREATE)),
        ([leaf("1-a", 1)], [], Step(Action.RECREATE)),
        ([gone("2-b")], [gone("2-b")], Step(Action.NOTHING)),
        ([], [gone("2-b")], Step(Action.NOTHING)),
        ([], [], Step(Action.NOTHING)),
    ],
)
def test_what_is_written(then: list[Leaf], now: list[Leaf], wanted: Step) -> None:
    assert step(then, now, delete_newer=False) == wanted
    assert step(then, now, delete_newer=True) == wanted


def test_what_was_made_since_is_kept_unless_it_is_to_go() -> None:
    now = [leaf("1-a", 1), leaf("1-b", 2), gone("2-c")]

    assert step([], now, delete_newer=False) == Step(Action.KEEP)
    assert step([], now, delete_newer=True) == Step(Action.DELETE, leaves=("1-a", "1-b"))


def test_what_was_deleted_then_and_lives_now_was_made_since() -> None:
    assert step([gone("2-b")], [leaf("3-c", 1)], delete_newer=False) == Step(Action.KEEP)
    assert step([gone("2-b")], [leaf("3-c", 1)], delete_newer=True) == Step(Action.DELETE, leaves=("3-c",))


def test_a_deletion_takes_every_live_leaf() -> None:
    """Were just the winner deleted, a conflict would come to light in its place."""
    now = [leaf("3-c", 1), leaf("2-b", 2), gone("2-d")]

    assert step([gone("2-d")], now, delete_newer=True).leaves == ("3-c", "2-b")


def test_attachments_are_content() -> None:
    then = [leaf("1-a", 1, {"scan": PDF})]

    assert step(then, [leaf("2-b", 1, {"scan": PDF})], delete_newer=False).action is Action.NOTHING
    for other in ({}, {"scan": ("application/pdf", "md5-y", 9)}, {"scan": PDF, "more": PDF}, {"other": PDF}):
        assert step(then, [leaf("2-b", 1, other)], delete_newer=False).action is Action.UPDATE


# where it leads


@dataclass(frozen=True)
class Node:
    """A document's leaves on a node, and what the node makes of a step."""

    leaves: tuple[Leaf, ...]

    def carry_out(self, what: Step, content: Leaf | None) -> Node:
        if what.action is Action.DELETE:
            return Node(tuple(self._tombstone(one) if one.rev in what.leaves else one for one in self.leaves))
        if what.action not in {Action.UPDATE, Action.RECREATE}:
            return self
        assert content is not None
        best = winner(self.leaves)
        parent = best.rev if best else None
        assert what.parent == (parent if what.action is Action.UPDATE else None), "a node takes no other"
        written = replace(content, rev=_child(parent, content), deleted=False)
        return Node((*(one for one in self.leaves if one.rev != parent), written))

    @staticmethod
    def _tombstone(one: Leaf) -> Leaf:
        assert not one.deleted, "a tombstone is not deleted again"
        return gone(_child(one.rev, gone("0-")))


def _child(parent: str | None, content: Leaf) -> str:
    generation = order(parent)[0] + 1 if parent else 1
    told = repr((parent, content.deleted, dict(content.content), dict(content.attachments)))
    return f"{generation}-{hashlib.md5(told.encode()).hexdigest()}"  # noqa: S324 - what CouchDB uses


def _seen(leaves: Sequence[Leaf]) -> tuple[object, object] | None:
    """What a client sees: None where the document is not there."""
    best = winner(leaves)
    return None if best is None or best.deleted else (best.content, best.attachments)


revisions = st.tuples(st.integers(1, 12), st.sampled_from("0123456789abcdef")).map(lambda pair: f"{pair[0]}-{pair[1]}")
attached = st.dictionaries(st.sampled_from(["scan", "note"]), st.sampled_from([PDF, ("text/plain", None, 3)]))
live = st.builds(
    lambda rev, value, files: Leaf(rev, False, {"value": value}, files), revisions, st.integers(0, 2), attached
)
documents = st.lists(live | st.builds(gone, revisions), max_size=4, unique_by=lambda one: one.rev).map(tuple)


@given(documents, documents, st.booleans())
def test_afterwards_the_old_content_wins(then: tuple[Leaf, ...], now: tuple[Leaf, ...], delete_newer: bool) -> None:
    what = step(then, now, delete_newer=delete_newer)

    after = Node(now).carry_out(what, winner(then))

    kept = what.action is Action.KEEP
    assert _seen(after.leaves) == (_seen(now) if kept else _seen(then))
    assert not kept or (_seen(then) is None and not delete_newer)


@given(documents, documents, st.booleans())
def test_doing_it_again_changes_nothing(then: tuple[Leaf, ...], now: tuple[Leaf, ...], delete_newer: bool) -> None:
    after = Node(now).carry_out(step(then, now, delete_newer=delete_newer), winner(then))

    assert step(then, after.leaves, delete_newer=delete_newer).action in {Action.NOTHING, Action.KEEP}


@given(documents, documents)
def test_nothing_is_written_where_a_client_sees_the_same(then: tuple[Leaf, ...], now: tuple[Leaf, ...]) -> None:
    same = step(then, now, delete_newer=True).action is Action.NOTHING

    assert same == (_seen(then) == _seen(now))


@given(documents, documents, st.booleans())
def test_only_what_is_there_is_written_on(then: tuple[Leaf, ...], now: tuple[Leaf, ...], delete_newer: bool) -> None:
    what = step(then, now, delete_newer=delete_newer)

    there = {one.rev for one in now if not one.deleted}
    assert {what.parent} - {None} <= there
    assert set(what.leaves) == (there if what.action is Action.DELETE else set())
