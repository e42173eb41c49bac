"""Documents that differ between nodes, and which node should send them to which. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from worker.core.model import Leaves

Differing = dict[str, dict[str, Leaves]]  # id -> node -> its leaves there, () where it has none
Lacking = Mapping[str, Mapping[str, Sequence[str]]]  # node -> id -> revisions it never had


def differing(nodes: Mapping[str, Mapping[str, Leaves]]) -> Differing:
    """The documents that are not the same on all nodes. `nodes`: node -> id -> leaves."""
    found: Differing = {}
    for document_id in set().union(*nodes.values()):
        at = {name: rows.get(document_id, ()) for name, rows in nodes.items()}
        if len(set(at.values())) > 1:
            found[document_id] = at
    return found


def all_leaves(nodes: Mapping[str, Leaves]) -> list[str]:
    """What a document's leaves are on any node."""
    return sorted(set().union(*nodes.values()))


def sources(nodes: Mapping[str, Leaves], primary: str | None) -> list[str]:
    """The leaves of a document that should be everywhere: those of all nodes, or of the `primary` where changes only go
    out from it."""
    return all_leaves(nodes) if primary is None else list(nodes.get(primary, ()))


def behind(lacking: Lacking) -> set[str]:
    """The documents of which a node lacks a revision."""
    return set().union(*lacking.values())


def standing(first: Differing, behind: Collection[str], others: Differing) -> Differing:
    """Of the differences of a first look, those that a second one confirms.

    A document that is written to all the time differs at every look, because nodes are never asked at the very same
    moment. So a difference stands where a node still lacks a leaf that another had at the first look (`behind`).
    Of the `others` that still differ every node has got what any of them had then: they are in step, just younger,
    unless nothing has moved at all, which is how histories differ that were cut at different places. Nodes may have
    dropped out since the first look.
    """
    still = {key: at for key, at in first.items() if key in behind}
    return still | {key: now for key, now in others.items() if now.items() <= first[key].items()}


def transfers(differing: Differing, lacking: Lacking) -> dict[tuple[str, str], list[str]]:
    """(source, target) -> ids to send, so that every node gets what it lacks, each leaf once: from the first node
    that has it."""
    found: dict[tuple[str, str], list[str]] = {}
    for target, rows in lacking.items():
        for document_id, revisions in rows.items():
            for source in _sources(differing.get(document_id, {}), target, revisions):
                found.setdefault((source, target), []).append(document_id)
    return found


def _sources(at: Mapping[str, Leaves], target: str, revisions: Iterable[str]) -> list[str]:
    left = set(revisions)
    chosen = []
    for name, leaves in at.items():
        if name != target and left.intersection(leaves):
            chosen.append(name)
            left.difference_update(leaves)
    return chosen
