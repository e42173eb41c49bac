"""How each database's changes travel: by continuous links, or by syncs of what changed. Pure.

Continuous links are the quickest, and CouchDB's scheduler runs 500 of them on a node ([replicator] max_jobs). Beyond
that they take turns, 20 a minute, and a change waits minutes to hours; one-shot replications wait behind them too. So
`auto` uses links only while all jobs of each node stay under half of that, and on-change for everything else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from worker.core.observed import Observed
from worker.core.rules import Mode
from worker.core.topology import Topology, links

SHARE = 0.5  # of a node's max_jobs that may be taken, so that forced syncs find a free slot
SHARE_TO_RETURN = 0.45  # once beyond it: without a gap, one database more or less would rewrite every link


@dataclass(frozen=True)
class Wish:
    """How many databases want this mode over this topology."""

    mode: Mode
    topology: Topology
    bidirectional: bool
    databases: int


@dataclass(frozen=True)
class Load:
    """Jobs that continuous links would put on the fullest node, and how many that node may take."""

    node: str
    jobs: int
    limit: int


def automatic(
    wishes: Sequence[Wish], nodes: Sequence[str], observed: Observed, *, earlier: Mode | None
) -> tuple[Mode, Load | None]:
    """The mode of all databases that leave it to us, and the load that decided it (None without any scheduler).

    `earlier`: what it was at the last look, None where that is not known.
    """
    schedulers = {name: found for name, found in observed.items() if found.scheduler}
    if not schedulers or len(schedulers) < len(observed):
        return Mode.ON_CHANGE, None
    jobs = _jobs(wishes, nodes)
    share = SHARE_TO_RETURN if earlier is Mode.ON_CHANGE else SHARE
    loads = [
        Load(name, jobs[name] + found.foreign_jobs, int(found.max_jobs * share)) for name, found in schedulers.items()
    ]
    fullest = max(loads, key=lambda load: load.jobs - load.limit)
    return (Mode.CONTINUOUS if fullest.jobs <= fullest.limit else Mode.ON_CHANGE), fullest


def _jobs(wishes: Sequence[Wish], nodes: Sequence[str]) -> Mapping[str, int]:
    """Node -> jobs on it, if all that want links or leave it to us get them. A link's job runs on its target."""
    jobs: Counter[str] = Counter()
    for wish in wishes:
        if wish.mode in {Mode.AUTO, Mode.CONTINUOUS}:
            for link in links("", nodes, wish.topology, bidirectional=wish.bidirectional):
                jobs[link.target] += wish.databases
    return jobs
