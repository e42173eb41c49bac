"""Which backups are kept, and which may go. Pure: (backups, policy, now) -> a decision with its reasons.

As restic and borg have it: an hour, a day, a week keeps its newest backup, and the newest so many of them that have one
count. Nothing goes by age: a control plane that was away for a month, or whose clock is ahead, finds what it had.

Only backups that are good displace others, and only those of their own scope. To decide again when a part of what may
go has gone gives the same, so a removal that was cut off just goes on.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime

ALL = "all"
# strftime, in UTC: what two backups of one bucket have in common
_BUCKETS = {
    "hourly": "%Y-%m-%dT%H",
    "daily": "%Y-%m-%d",
    "weekly": "%G-W%V",  # ISO: a week belongs to the year of its Thursday
    "monthly": "%Y-%m",
    "yearly": "%Y",
}
_COUNT = re.compile(r"[0-9]{1,6}")


@dataclass(frozen=True)
class Held:
    """One backup that there is. `scope`: what was asked for, "*" or a canonical list of globs. `good`: every database
    that was asked for is in it. `parents`: backups whose objects it needs; theirs are followed from there.
    `hold`: a person has said that it stays."""

    id: str
    started_at: float  # seconds since the epoch
    scope: str
    good: bool
    parents: tuple[str, ...] = ()
    hold: bool = False
    running: bool = False


@dataclass(frozen=True)
class Policy:
    """How many backups of each scope are kept. `last`: whenever they were made. `everything`: the numbers are moot."""

    last: int = 0
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0
    everything: bool = field(default=False, kw_only=True)


@dataclass(frozen=True)
class Decision:
    """`keep`: id -> why, in words. `drop`: ids, oldest first. Together they are all that was asked about."""

    keep: dict[str, list[str]]
    drop: list[str]


_WORDS = tuple(known.name for known in fields(Policy) if not known.kw_only)
_RIGHT = f'write "{ALL}", or numbers such as "last=7, daily=14, weekly=8"; known are {", ".join(_WORDS)}'


def parse_policy(text: str) -> Policy:
    """Of text like "last=7, daily=14, weekly=8, monthly=12", or "all". ValueError says what is wrong in it."""
    text = text.strip().lower()
    if text == ALL:
        return Policy(everything=True)
    counts: dict[str, int] = {}
    for piece in text.split(",") if text else ():
        word, _, count = (part.strip() for part in piece.partition("="))
        if word == ALL:
            raise ValueError(f'"{ALL}" stands alone, not as in "{text}": {_RIGHT}')
        if word not in _WORDS:
            raise ValueError(f'"{piece.strip()}" is no rule of retention: {_RIGHT}')
        if word in counts:
            raise ValueError(f'"{word}" is there twice: give it one number')
        if not _COUNT.fullmatch(count):
            raise ValueError(f'"{piece.strip()}": {word} takes a whole number from 0 to 999999, as in {word}=7')
        counts[word] = int(count)
    if not any(counts.values()):
        raise ValueError(f'"{text}" keeps nothing: at least one number has to be above 0; {_RIGHT}')
    return Policy(*(counts.get(word, 0) for word in _WORDS))


def decide(backups: Sequence[Held], policy: Policy, now: float) -> Decision:
    """What stays, and why. ValueError where an id comes twice: of which of the two would we speak?"""
    ordered = sorted(backups, key=_age)
    by_id = {held.id: held for held in ordered}
    if len(by_id) < len(ordered):
        twice = sorted(name for name, times in Counter(held.id for held in ordered).items() if times > 1)
        raise ValueError(f"more than one backup has the id {', '.join(twice)}: none is dropped")

    reasons = {held.id: _by_itself(held, policy, now) for held in ordered}
    # one that is not over, or has a date that cannot be, says nothing about the others
    settled = [held for held in ordered if not held.running and held.started_at <= now]
    for scope in {held.scope for held in settled}:
        for name, reason in _by_policy([held for held in settled if held.scope == scope], policy):
            reasons[name].append(reason)
    for name, reason in _by_need(by_id, [name for name, why in reasons.items() if why]):
        reasons[name].append(reason)

    keep = {name: why for name, why in reasons.items() if why}
    return Decision(keep, [held.id for held in ordered if held.id not in keep])


def _age(held: Held) -> tuple[float, str]:
    return (held.started_at, held.id)


def _by_itself(held: Held, policy: Policy, now: float) -> list[str]:
    reasons = {
        "legal hold": held.hold,
        "running": held.running,
        "dated in the future: some clock was wrong": held.started_at > now,
        "the policy keeps all": policy.everything,
    }
    return [reason for reason, applies in reasons.items() if applies]


def _by_policy(oldest_first: Sequence[Held], policy: Policy) -> Iterable[tuple[str, str]]:
    """(id, reason) for backups of one scope."""
    good = [held for held in reversed(oldest_first) if held.good]
    for held in oldest_first:
        # what a failed night has is there until something better is
        if not held.good and not (good and good[0].started_at > held.started_at):
            yield held.id, "no newer one is good"
    for held in good[:1]:
        yield held.id, "the last good one"
    for held in good[: max(policy.last, 0)]:
        yield held.id, f"last {policy.last}"
    for word, form in _BUCKETS.items():
        newest: dict[str, str] = {}
        for held in good:
            newest.setdefault(datetime.fromtimestamp(held.started_at, UTC).strftime(form), held.id)
        for bucket, name in list(newest.items())[: max(getattr(policy, word), 0)]:
            yield name, f"{word} {bucket}"


def _by_need(by_id: Mapping[str, Held], kept: Iterable[str]) -> Iterable[tuple[str, str]]:
    """(id, reason) for those that others need, the ones that are `kept` and in turn their parents. The reason names
    the newest of the others: a full backup may have hundreds."""
    needed: dict[str, list[Held]] = {}
    ahead = list(kept)
    reached = set(ahead)
    while ahead:
        held = by_id[ahead.pop()]
        for parent in set(held.parents) - {held.id}:
            if parent not in by_id:  # has gone already: nothing of ours can bring it back
                continue
            needed.setdefault(parent, []).append(held)
            if parent not in reached:
                reached.add(parent)
                ahead.append(parent)
    for parent, children in needed.items():
        more = f" and {len(children) - 1} more" if len(children) > 1 else ""
        yield parent, f"needed by {max(children, key=_age).id}{more}"
