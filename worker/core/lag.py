"""What the state of a continuous link is, from two looks at it. Pure: (earlier status, look, now) -> status.

CouchDB's own words are not enough. Its `changes_pending` is null on an idle link and stale on a waiting one, so lag is
asked of the source: how many changes come after the sequence up to which the target has everything? And "running" is
said of a link whose connection hangs: one that has something to carry, and carries nothing, is called stalled here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

FIRST_KICK_AFTER = 60.0  # seconds; CouchDB's own first retries come within 30
KICK_PAUSE = 60.0  # seconds after the first kick; doubles
LONGEST_PAUSE = 3_600.0
# A node has just come back for so many seconds. Links to and from it may still hang on connections from before, which
# CouchDB notices after 30 s, and then lets them wait for as long again: they get no such time
JUST_BACK = 120.0
STALLED_WHEN_BACK = 15.0  # seconds
KICK_PAUSE_WHEN_BACK = 5.0  # seconds; there may be several such connections, and each start anew can meet the next
FORGIVEN_AFTER = 900.0  # seconds without trouble, after which earlier kicks are forgotten


class LinkState(StrEnum):
    """CouchDB's states of a replication document, and our own."""

    INITIALIZING = "initializing"
    RUNNING = "running"
    PENDING = "pending"
    CRASHING = "crashing"
    ERROR = "error"
    FAILED = "failed"
    COMPLETED = "completed"
    STALLED = "stalled"  # runs, lags, and moves nothing
    UNKNOWN = "unknown"  # its node did not answer


# carry no changes, and will not without help or a long wait
BROKEN = frozenset({LinkState.CRASHING, LinkState.ERROR, LinkState.FAILED, LinkState.STALLED})


@dataclass(frozen=True)
class LinkLook:
    """One look. `through`: the source's sequence up to which the target has everything; None where it is not known.
    `lag`: changes after it, None where nobody could tell. `source_sequence`: the source's update_seq at that time.
    `done`: revisions looked at, read and written since the job began: what grows while it works."""

    state: LinkState
    replication_id: str | None = None
    through: str | None = None
    lag: int | None = None
    source_sequence: str | None = None
    done: int | None = None
    refused: int = 0
    error: str | None = None


@dataclass(frozen=True)
class LinkStatus:
    """`since`: when it came into this state; `moved_at`: when it was last seen to carry something; `behind_since`:
    since when it has had something to carry. All in seconds since the epoch, None where that was not seen."""

    look: LinkLook
    state: LinkState
    since: float
    moved_at: float | None = None
    behind_since: float | None = None


@dataclass(frozen=True)
class Kicks:
    """How often a link was started anew by us, and when last."""

    count: int
    at: float


@dataclass(frozen=True)
class Ends:
    """What the last sweep says of a link's two nodes, the kind of its trouble (worker.core.remedies), and whether one
    of the nodes has just come back."""

    healthy: bool
    trouble: str | None = None
    just_back: bool = False


def judge(earlier: LinkStatus | None, look: LinkLook, now: float, stall_seconds: float) -> LinkStatus:
    """The status after one more look."""
    moved = _moved(earlier, look)
    moved_at = now if moved else (earlier.moved_at if earlier else None)
    behind_since = None
    if look.lag is None:  # a source that is slow to tell is no reason to begin anew
        behind_since = earlier.behind_since if earlier else None
    elif look.lag:
        behind_since = earlier.behind_since if earlier and earlier.behind_since is not None else now
    waits = behind_since is not None and now - max(behind_since, moved_at or 0.0) >= stall_seconds
    state = LinkState.STALLED if waits and look.state is LinkState.RUNNING else look.state
    since = earlier.since if earlier and earlier.state is state else now
    return LinkStatus(look, state, since, moved_at, behind_since)


def _moved(earlier: LinkStatus | None, look: LinkLook) -> bool:
    if earlier is None or earlier.look.replication_id != look.replication_id:
        return False
    before = earlier.look
    return bool(look.through and before.through and look.through != before.through) or (
        look.done is not None and before.done is not None and look.done > before.done
    )


# trouble that starting anew cannot mend; a refused password would only come nearer to its lock-out
HOPELESS = frozenset(
    {
        "unauthorized",
        "forbidden",
        "locked-out",
        "tls",
        "bad-document",
        "duplicate",
        "refused-by-validation",
        "too-large",
    }
)


def to_kick(
    statuses: Mapping[str, LinkStatus], ends: Mapping[str, Ends], history: Mapping[str, Kicks], now: float
) -> list[str]:
    """The links (by the ids of their documents) that are to be started anew: broken long enough, both nodes healthy,
    or at once where a node has just come back, the trouble not one that this cannot mend, and the last kick long enough
    ago (each pause twice the one before)."""
    return [
        key
        for key, status in statuses.items()
        if status.state in BROKEN - {LinkState.FAILED}  # a failed one is rewritten by the plan
        and ends[key].healthy
        and ends[key].trouble not in HOPELESS
        and (status.state is LinkState.STALLED or ends[key].just_back or now - status.since >= FIRST_KICK_AFTER)
        and now >= _not_before(history.get(key), KICK_PAUSE_WHEN_BACK if ends[key].just_back else KICK_PAUSE)
    ]


def _not_before(kicks: Kicks | None, first_pause: float) -> float:
    if kicks is None:
        return 0.0
    return kicks.at + min(LONGEST_PAUSE, first_pause * float(2 ** min(kicks.count - 1, 10)))


def forgiven(statuses: Mapping[str, LinkStatus], history: Mapping[str, Kicks], now: float) -> list[str]:
    """Links whose kicks are forgotten: gone, or well for so long that the next trouble is a new one."""
    return [
        key
        for key in history
        if key not in statuses
        or (statuses[key].state not in BROKEN and now - max(statuses[key].since, history[key].at) >= FORGIVEN_AFTER)
    ]


@dataclass(frozen=True)
class Summary:
    """Of many links: how many are in each state, and each node's lag: changes of others that it has not confirmed, None
    where that of one of its links is not known. `behind`: the same told apart by source, without those that it does not
    lag behind. `pairs`: target -> source -> how many of its links are in each state."""

    states: Mapping[str, int] = field(default_factory=dict)
    lag: Mapping[str, int | None] = field(default_factory=dict)
    behind: Mapping[str, Mapping[str, int | None]] = field(default_factory=dict)
    pairs: Mapping[str, Mapping[str, Mapping[str, int]]] = field(default_factory=dict)

    @property
    def broken(self) -> int:
        return sum(self.states.get(state.value, 0) for state in BROKEN)


def summarise(statuses: Mapping[tuple[str, str, str], LinkStatus]) -> Summary:
    """`statuses` by (database, source, target)."""
    states: dict[str, int] = {}
    lag: dict[str, int | None] = {}
    behind: dict[str, dict[str, int | None]] = {}
    pairs: dict[str, dict[str, dict[str, int]]] = {}
    for (_, source, target), status in statuses.items():
        states[status.state.value] = states.get(status.state.value, 0) + 1
        of_pair = pairs.setdefault(target, {}).setdefault(source, {})
        of_pair[status.state.value] = of_pair.get(status.state.value, 0) + 1
        lag[target] = added(lag.get(target, 0), status.look.lag)
        if status.look.lag != 0:
            of_target = behind.setdefault(target, {})
            of_target[source] = added(of_target.get(source, 0), status.look.lag)
    return Summary(states, lag, behind, pairs)


def added(one: int | None, other: int | None) -> int | None:
    """Unknown where one of them is."""
    return None if one is None or other is None else one + other
