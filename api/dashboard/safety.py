"""Is the data safe? From what is known to one sentence, and the reasons for it. Pure.

The first thing that an operator reads, so it never says more than was looked at: what is not known is said to be so.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from api.backup_schemas import BackupsBody, BackupSummary
from api.dashboard.processes import MISSING, Process
from api.dashboard.words import moment, number, plural, span
from api.schemas import ServiceHealth
from api.topology_schemas import PairBody, PairState, TopologyBody
from tasks.jobs import State
from worker.core.health import ClusterState, NodeState
from worker.core.rules import Mode

FEW = 3  # of a list within a sentence
# they hold what they should, and answer
WHOLE = frozenset({NodeState.HEALTHY, NodeState.SUSPECT, NodeState.MAINTENANCE})


class Level(IntEnum):
    """The greater counts."""

    OK = 0
    UNKNOWN = 1
    WARN = 2
    BAD = 3

    @property
    def word(self) -> str:
        return self.name.lower()


@dataclass(frozen=True)
class Bounds:
    """Beyond them: `max_lag` changes are much; a look at what travels (`look`), and one at the backup store (`store`),
    no longer say how it is; the last good backup is too old (`backup`); a job has waited too long (`wait`). In seconds.
    """

    max_lag: int
    look: float
    store: float
    backup: float
    wait: float = 900.0


@dataclass(frozen=True)
class Known:
    """`backups`: the newest of them; None where none are kept. `last_good`: the newest good one of everything.
    `failed_lately`: jobs within the last hour. `waiting_since`: when the oldest job that nobody has begun was asked
    for, in seconds since the epoch. `removed`, `differing`: database -> nodes on which somebody deleted it, and on
    which its `_security` is another. `ours`: our own processes."""

    whole: TopologyBody
    service: ServiceHealth
    backups: BackupsBody | None
    last_good: BackupSummary | None
    bounds: Bounds
    now: float
    failed_lately: int = 0
    waiting_since: float | None = None
    needs_watcher: bool = False
    ours: Sequence[Process] = ()
    removed: Mapping[str, Sequence[str]] = field(default_factory=dict)
    differing: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """`what`: in a few words; `why`: what is known of it; `href`: where more is."""

    about: str
    level: Level
    what: str
    why: str
    href: str


HEADLINES = {
    Level.OK: "Your data is safe.",
    Level.UNKNOWN: "Not everything is known.",
    Level.WARN: "Your data is there, and something needs a look.",
    Level.BAD: "Act now.",
}


def worst(findings: Sequence[Finding]) -> Level:
    return max((finding.level for finding in findings), default=Level.UNKNOWN)


def assess(known: Known) -> list[Finding]:
    found = [nodes(known), replication(known), backups(known), jobs(known), processes(known)]
    return [*found, *databases(known)]


def nodes(known: Known) -> Finding:
    level, what, why = _nodes(known.whole, known.now)
    return Finding("nodes", level, what, why, "/#topology")


def _nodes(whole: TopologyBody, now: float) -> tuple[Level, str, str]:
    total = len(whole.nodes)
    if whole.status is ClusterState.UNKNOWN:
        seen = whole.observed_at
        why = "No sweep has been seen" if seen is None else f"Not for {span(now - moment(seen))}"
        return Level.UNKNOWN, "Nobody has looked at the nodes lately", f"{why}: is beat running?"
    ill = [node for node in whole.nodes if node.state is not NodeState.HEALTHY]
    holding = [node for node in whole.nodes if node.state in WHOLE]
    if not ill:
        return Level.OK, f"All {plural(total, 'node')} healthy" if total > 1 else "The node is healthy", ""
    why = "; ".join(f"{node.name} is {node.state.value}" + (f": {node.reason}" if node.reason else "") for node in ill)
    if not holding:
        return Level.BAD, "No node is whole", why
    if len(holding) < min(2, total):
        return Level.BAD, "Only one node holds everything", why
    return Level.WARN, f"{total - len(ill)} of {plural(total, 'node')} healthy", why


def replication(known: Known) -> Finding:
    level, what, why = _replication(known.whole, known.bounds, known.now)
    only = {Level.BAD: "broken", Level.UNKNOWN: "unknown"}.get(level, "behind")
    return Finding("replication", level, what, why, f"/databases?only={only}")


def _replication(whole: TopologyBody, bounds: Bounds, now: float) -> tuple[Level, str, str]:
    if len(whole.nodes) < 2:
        return Level.WARN, "There is only one node", "Nothing is replicated: name others in REPLICATION_NODES"
    if whole.mode == Mode.OFF.value:
        return Level.WARN, "Replication is off", "Databases are synced only when asked (CONTINUOUS_REPLICATION)"
    able = {node.name for node in whole.nodes if node.state in WHOLE}
    # what is wrong with a node is said of the node
    between = [link for link in whole.links if {link.source, link.target} <= able]
    unknown = _why_unknown(whole, able, between, bounds, now)
    if unknown is not None:
        return Level.UNKNOWN, "Lag is not known", unknown
    broken = [link for link in between if link.state is PairState.BROKEN]
    if broken:
        return Level.BAD, "Changes are not carried", f"Between {_pairs(broken)}"
    return _lag(between, bounds.max_lag, [node.name for node in whole.nodes if node.name not in able])


def _why_unknown(
    whole: TopologyBody, able: Collection[str], between: Sequence[PairBody], bounds: Bounds, now: float
) -> str | None:
    """Where what was seen says nothing of now, or nothing of some node."""
    seen = whole.links_observed_at
    if seen is not None and now - moment(seen) > bounds.look:
        return f"Nobody has looked for {span(now - moment(seen))}"
    if seen is None or not between:
        return "" if whole.links else "Nothing has been seen to travel yet"
    apart = sorted(set(able) - {name for link in between for name in (link.source, link.target)})
    return f"Nothing is seen to travel to or from {', '.join(apart)}" if apart else None


def _pairs(links: Sequence[PairBody]) -> str:
    more = f" and {number(len(links) - FEW)} more" if len(links) > FEW else ""
    return ", ".join(f"{link.source} → {link.target}" for link in links[:FEW]) + more


def _lag(between: Sequence[PairBody], max_lag: int, away: Sequence[str]) -> tuple[Level, str, str]:
    """`away`: that they are is said of the nodes; that what is said here leaves them out, here."""
    lags = [link.lag for link in between if link.lag is not None]
    unknown = [link for link in between if link.lag is None or link.state is PairState.UNKNOWN]
    most = max(lags, default=0)
    if most > max_lag:
        return Level.WARN, f"Up to {plural(most, 'change')} behind", f"More than READY_MAX_LAG ({number(max_lag)})"
    if unknown:
        return Level.UNKNOWN, "Lag is not known", f"Between {_pairs(unknown)}"
    why = f"What {', '.join(away)} has or lacks is not known" if away else ""
    if any(link.state is PairState.BEHIND for link in between):
        return Level.OK, f"{plural(most, 'change')} on the way" if most else "Changes are on the way", why
    return Level.OK, f"{'The others are' if away else 'Everything is'} caught up", why


def backups(known: Known) -> Finding:
    level, what, why = _backups(known)
    return Finding("backups", level, what, why, "/backups")


def _backups(known: Known) -> tuple[Level, str, str]:
    seen, last = known.backups, known.last_good
    if seen is None:
        return Level.WARN, "No backups are kept", "BACKUP_URL is not set"
    if seen.observed_at is None:
        return Level.UNKNOWN, "The backup store has not been read yet", ""
    trouble = f"The store could not be read: {seen.trouble.detail}" if seen.trouble else ""
    if last is None or last.started_at is None:
        return (Level.BAD if seen.stale else Level.WARN), "There is no good backup of everything", trouble
    age = known.now - moment(last.started_at)
    if seen.stale or age > known.bounds.backup:
        return Level.BAD, "The last good backup is too old", trouble or f"It was begun {span(age)} ago"
    level, why = _but(seen, trouble, known.now - moment(seen.observed_at), known.bounds.store)
    return level, f"Last good backup: {span(max(0.0, age))} ago", why


def _but(seen: BackupsBody, trouble: str, unread: float, longest: float) -> tuple[Level, str]:
    """What else is to be said where there is a good one. `unread`: seconds since the store was read."""
    damaged = [one for one in seen.backups if one.damage]
    if damaged:
        return Level.BAD, f"{plural(len(damaged), 'backup')} damaged: {damaged[0].id}"
    if trouble:
        return Level.WARN, trouble
    if unread > longest:
        return Level.UNKNOWN, f"The store was last read {span(unread)} ago"
    if seen.backups and not (seen.backups[0].readable and seen.backups[0].good):
        return Level.WARN, f"The newest, {seen.backups[0].id}, is not good"
    verified = any(one.verified for one in seen.backups)
    return Level.OK, "One was restored as a drill, and was right" if verified else "None was restored as a drill yet"


def jobs(known: Known) -> Finding:
    def found(level: Level, what: str, why: str = "", href: str = "/jobs") -> Finding:
        return Finding("jobs", level, what, why, href)

    counts = known.service.jobs
    if counts is None:
        return found(Level.UNKNOWN, "Jobs are not known")
    running, queued = counts.get(State.RUNNING, 0), counts.get(State.QUEUED, 0)
    words = f"{number(running)} running, {number(queued)} waiting"
    waited = known.now - known.waiting_since if known.waiting_since is not None else 0.0
    if waited > known.bounds.wait:
        return found(Level.WARN, f"A job has waited for {span(waited)}", words, "/jobs?state=queued")
    if known.failed_lately:
        lately = f"{plural(known.failed_lately, 'job')} failed within an hour"
        return found(Level.WARN, lately, words, "/jobs?state=failed")
    return found(Level.OK, words)


def processes(known: Known) -> Finding:
    missing = [one.name for one in known.ours if one.state == MISSING]
    level, what, why = _processes(known.service, known.now, missing, needs_watcher=known.needs_watcher)
    return Finding("processes", level, what, why, "/#processes")


def _processes(
    service: ServiceHealth, now: float, missing: Collection[str], *, needs_watcher: bool
) -> tuple[Level, str, str]:
    if not service.workers.count:
        return Level.BAD, "No worker lives", "Jobs wait, and nothing is done"
    if not service.beat.ok:
        last = service.beat.last_tick
        why = f"Silent for {span(now - moment(last))}: " if last else ""
        who = "the control process" if "control" in missing else "beat" if "beat" in missing else ""
        return Level.BAD, "Nobody looks after things", f"{why}{who or 'beat or the control process'} is not running"
    if needs_watcher and not service.watcher.count:
        return Level.WARN, "No watcher lives", "Changes travel only with each periodic pass"
    return Level.OK, f"{plural(service.workers.count, 'worker')}, beat and control at work", ""


def databases(known: Known) -> list[Finding]:
    """What no figure shows, and only a person can decide. Nothing is said where there is nothing."""
    found = []
    if known.removed:
        words = _first(known.removed)
        what = f"{plural(len(known.removed), 'database')} deleted on a node"
        why = f"{words}: a set-up makes it there again"
        found.append(Finding("removed", Level.WARN, what, why, f"/databases/{next(iter(known.removed))}"))
    if known.differing:
        words = _first(known.differing)
        what = f"Who may read {plural(len(known.differing), 'database')} differs"
        why = f"The _security of {words} is not that of the others"
        found.append(Finding("security", Level.WARN, what, why, f"/databases/{next(iter(known.differing))}"))
    return found


def _first(found: Mapping[str, Sequence[str]]) -> str:
    name, on = next(iter(found.items()))
    more = f", and {number(len(found) - 1)} more" if len(found) > 1 else ""
    return f"{name} on {', '.join(on)}{more}"
