"""What has to be written so that a document is again what a backup says. Pure.

In a live mesh the past cannot be put back: every peer has the newer revisions, and sends them again. What wins
everywhere is a new revision with the old content on top of the one that wins now. A document that did not exist then is
deleted, every live leaf of it: were just the winner, a conflict would come to light in its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Action(StrEnum):
    NOTHING = "unchanged"
    UPDATE = "update"  # it is there, with other content
    RECREATE = "recreate"  # it is gone
    DELETE = "delete"
    KEEP = "keep"  # made since, and to be kept


@dataclass(frozen=True)
class Leaf:
    """A leaf revision. `content`: all of its fields but CouchDB's own, comparable; `attachments`: name -> (content
    type, digest, length)."""

    rev: str
    deleted: bool
    content: Mapping[str, Any]
    attachments: Mapping[str, tuple[str, str | None, int]]


@dataclass(frozen=True)
class Step:
    """`parent`: the revision to write on top of; None where the document is gone. `leaves`: those to delete."""

    action: Action
    parent: str | None = None
    leaves: tuple[str, ...] = ()


def winner(leaves: Sequence[Leaf]) -> Leaf | None:
    """As CouchDB chooses it: live before deleted, then the longest history, then the highest hash."""
    return max(leaves, key=lambda leaf: (not leaf.deleted, *order(leaf.rev)), default=None)


def order(rev: str) -> tuple[int, str]:
    generation, _, digest = rev.partition("-")
    return int(generation), digest


def step(then: Sequence[Leaf], now: Sequence[Leaf], *, delete_newer: bool) -> Step:
    """`then`: the leaves in the backup, none where it was not there; `now`: those on the node. A document that was
    deleted then and lives now was made since."""
    was, is_now = winner(then), winner(now)
    live = tuple(leaf.rev for leaf in now if not leaf.deleted)
    if was is None or was.deleted:
        if not live:
            return Step(Action.NOTHING)
        return Step(Action.DELETE, leaves=live) if delete_newer else Step(Action.KEEP)
    if is_now is None or is_now.deleted:
        return Step(Action.RECREATE)
    if (was.content, was.attachments) == (is_now.content, is_now.attachments):
        return Step(Action.NOTHING)
    return Step(Action.UPDATE, parent=is_now.rev)
