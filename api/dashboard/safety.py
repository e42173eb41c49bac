"""Is the data safe? From what is known to one sentence, and the reasons for it. Pure.

The first thing that an operator reads, so it never says more than was looked at: what is not known is said to be so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from api.backup_schemas import BackupsBody, BackupSummary
from api.dashboard.words import moment, number, plural, span
from api.schemas import ServiceHealth
from api.topology_schemas import PairState, TopologyBody
from worker.core.health import ClusterState, NodeState
from worker.core.rules import Mode

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


def assess(
    whole: TopologyBody,
    service: ServiceHealth,
    backups: BackupsBody | None,
    failed_lately: int,
    *,
    max_lag: int,
    old_after: float,
    now: float,
) -> list[Finding]:
    """`backups`: None where none are kept. `failed_lately`: jobs within the last hour. `max_lag`: more is much.
    `old_after`: seconds after which a look at what travels no longer says how it is."""
    return [
        nodes(whole, now),
        replication(whole, max_lag, old_after, now),
        of_backups(backups, now),
        jobs(service, failed_lately),
        processes(service, now),
    ]


def nodes(whole: TopologyBody, now: float) -> Finding:
    def found(level: Level, what: str, why: str) -> Finding:
        return Finding("nodes", level, what, why, "/#topology")

    total = len(whole.nodes)
    if whole.status is ClusterState.UNKNOWN:
        why = (
            "No sweep has been seen"
            if whole.observed_at is None
            else f"Not for {span(now - moment(whole.observed_at))}"
        )
        return found(Level.UNKNOWN, "Nobody has looked at the nodes lately", f"{why}: is beat running?")
    ill = [node for node in whole.nodes if node.state is not NodeState.HEALTHY]
    holding = [node for node in whole.nodes if node.state in WHOLE]
    if not ill:
        return found(Level.OK, f"All {plural(total, 'node')} healthy" if total > 1 else "The node is healthy", "")
    why = "; ".join(f"{node.name} is {node.state.value}" + (f": {node.reason}" if node.reason else "") for node in ill)
    if not holding:
        return found(Level.BAD, "No node is whole", why)
    if len(holding) < min(2, total):
        return found(Level.BAD, "Only one node holds everything", why)
    return found(Level.WARN, f"{total - len(ill)} of {plural(total, 'node')} healthy", why)


def replication(whole: TopologyBody, max_lag: int, old_after: float, now: float) -> Finding:
    def found(level: Level, what: str, why: str = "") -> Finding:
        return Finding("replication", level, what, why, "/databases?only=behind")

    if len(whole.nodes) < 2:
        return found(Level.WARN, "There is only one node", "Nothing is replicated: name others in REPLICATION_NODES")
    if whole.mode == Mode.OFF.value:
        return found(Level.WARN, "Replication is off", "Databases are synced only when asked (CONTINUOUS_REPLICATION)")
    at = whole.links_observed_at
    if at is not None and now - moment(at) > old_after:
        return found(Level.UNKNOWN, "Lag is not known", f"Nobody has looked for {span(now - moment(at))}")
    away = {node.name for node in whole.nodes if node.state not in WHOLE}
    # what is wrong with a node is said of the node
    between = [link for link in whole.links if not {link.source, link.target} & away]
    broken = [link for link in between if link.state is PairState.BROKEN]
    if broken:
        pairs = ", ".join(f"{link.source} → {link.target}" for link in broken)
        return Finding(
            "replication", Level.BAD, "Changes are not carried", f"Between {pairs}", "/databases?only=broken"
        )
    if not between or at is None:
        return found(Level.UNKNOWN, "Lag is not known", "" if whole.links else "Nothing has been seen to travel yet")
    return found(*_lag([link.lag for link in between], max_lag))


def _lag(lags: Sequence[int | None], max_lag: int) -> tuple[Level, str, str]:
    known = [lag for lag in lags if lag is not None]
    if len(known) < len(lags):
        return Level.UNKNOWN, "Lag is not known", ""
    most = max(known)
    if most > max_lag:
        return Level.WARN, f"Up to {plural(most, 'change')} behind", f"More than READY_MAX_LAG ({number(max_lag)})"
    return Level.OK, f"{plural(most, 'change')} on the way" if most else "Everything is caught up", ""


def of_backups(seen: BackupsBody | None, now: float) -> Finding:
    level, what, why = _backups(seen, now)
    return Finding("backups", level, what, why, "/backups")


def _backups(seen: BackupsBody | None, now: float) -> tuple[Level, str, str]:
    if seen is None:
        return Level.WARN, "No backups are kept", "BACKUP_URL is not set"
    if seen.observed_at is None:
        return Level.UNKNOWN, "The backup store has not been read yet", ""
    trouble = f"The store could not be read: {seen.trouble.detail}" if seen.trouble else ""
    damaged = [one for one in seen.backups if one.damage]
    last = newest_good(seen)
    if seen.stale:
        return Level.BAD, "The last good backup is too old", trouble or _age(last, now)
    if damaged:
        return Level.BAD, f"{plural(len(damaged), 'backup')} damaged", damaged[0].id
    if last is None:
        return Level.WARN, "There is no good backup of everything yet", trouble
    verified = any(one.verified for one in seen.backups)
    why = "One was restored as a drill, and was right" if verified else "None has been restored as a drill yet"
    return Level.WARN if trouble else Level.OK, f"Last good backup: {_age(last, now)}", trouble or why


def newest_good(seen: BackupsBody) -> BackupSummary | None:
    """Of everything."""
    return next((one for one in seen.backups if one.good and one.scope == ["*"]), None)


def _age(backup: BackupSummary | None, now: float) -> str:
    if backup is None or backup.started_at is None:
        return "none is known"
    return f"{span(max(0.0, now - moment(backup.started_at)))} ago"


def jobs(service: ServiceHealth, failed_lately: int) -> Finding:
    counts = service.jobs or {}
    running, queued = (counts.get(state, 0) for state in ("running", "queued"))  # type: ignore[call-overload]
    why = f"{number(running)} running, {number(queued)} waiting"
    if failed_lately:
        return Finding(
            "jobs", Level.WARN, f"{plural(failed_lately, 'job')} failed within an hour", why, "/jobs?state=failed"
        )
    return Finding("jobs", Level.OK, why[0].upper() + why[1:], "", "/jobs")


def processes(service: ServiceHealth, now: float) -> Finding:
    def found(level: Level, what: str, why: str = "") -> Finding:
        return Finding("processes", level, what, why, "/api/health")

    if not service.workers.count:
        return found(Level.BAD, "No worker lives", "Jobs wait, and nothing is done")
    if not service.beat.ok:
        last = service.beat.last_tick
        why = f"Silent for {span(now - moment(last))}: " if last else ""
        return found(Level.BAD, "Nobody looks after things", f"{why}beat or the control process is not running")
    return found(Level.OK, f"{plural(service.workers.count, 'worker')}, beat and control at work")
