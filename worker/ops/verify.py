"""Is a database the same on all nodes? Compares the leaf revisions of every document, while writes go on.

    look      who answers, and who has the database
    digest    read every node's feed at once into buckets (worker.core.digest)
    narrow    read again, and keep the documents of the buckets that differ: which ids?
    confirm   once replication has nothing outstanding, look at those again
    repair    where asked: sync just those documents, and look once more

Memory is bounded whatever the database: the digests have a fixed size, and narrow, confirm and repair take the
differing buckets in portions, so that never more than MOST_HELD rows are held. Of a database that is all
different every portion reads the feeds again: slow, but every document is counted.

A look cannot be taken on all nodes at the same moment, so a database that is written to always shows differences;
what confirm means by "differs" is in worker.core.difference.standing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from worker.core.difference import Differing, behind, differing, sources
from worker.core.digest import Digest, bucket_of, portions
from worker.core.errors import ReplicationError
from worker.core.model import Leaves, Route, Row
from worker.couch.cluster import Cluster
from worker.ops.control import Control
from worker.ops.look import look, require_database, require_two
from worker.ops.panel import Panel
from worker.ops.repair import Reasons, repair_documents
from worker.ops.verify_result import Repaired, VerifyResult

MOST_HELD = 100_000  # rows, of all nodes together
PATIENCE = 30.0  # seconds that replication has to catch up before a difference is left unconfirmed
ASK_EVERY = 0.25  # seconds

Settled = Callable[[], bool | None]


def nothing_to_wait_for() -> None:
    """A `Settled` for databases that nothing replicates by itself."""


def verify(
    cluster: Cluster,
    database: str,
    control: Control,
    *,
    nodes: Sequence[str] | None = None,
    repair: bool = False,
    route: Route = Route(),
    settled: Settled = nothing_to_wait_for,
    patience: float = PATIENCE,
) -> VerifyResult:
    """`nodes`: only these (two or more). `repair`: sync what differs. `route`: how this database travels: what does
    not travel may differ, and is counted apart (`not_carried`). `settled()`: whether replication of this database has
    nothing outstanding (True) or has (False); None where none runs by itself. A ReplicationError of it counts as False.

    Nodes that fail are skipped and named. Raises NotFound (no node has the database), NotEnoughNodes, OneNodeOnly,
    MixedNodeKinds, and what all nodes failed with.
    """
    began = time.monotonic()
    panel = _look(cluster, database, control, nodes, route.selector)
    primary = None if route.gathers else cluster.names[0]
    partly = primary is not None or route.selector is not None  # not everything travels
    repaired = Repaired() if repair else None
    result = VerifyResult(database, skipped=panel.skipped, repaired=repaired)
    digests = _digest(panel, result)
    wait = _Patience(settled, patience, control)
    for portion in portions(digests, Digest.differing(digests), MOST_HELD):
        first = _narrow(panel, portion)
        sure = not first or wait.until_settled()
        found = panel.second_look(first, "confirm")
        if partly:
            carried = _carried(panel, found, primary)
            result.not_carried += len(found) - len(carried)
            found = carried
        if not sure:
            result.unconfirmed += len(found)
            continue
        reasons: Reasons = {}
        if repaired is not None and found:
            left, reasons = repair_documents(panel, found, primary)
            if partly:
                left = _carried(panel, left, primary)
            repaired.add([key for key in found if key not in left])
            found = left
        _tell(panel, result, found, reasons)
    result.nodes = panel.names
    result.documents = {name: result.documents[name] for name in panel.names}
    result.seconds = time.monotonic() - began
    return result


def _look(
    cluster: Cluster,
    database: str,
    control: Control,
    nodes: Sequence[str] | None,
    selector: Mapping[str, Any] | None,
) -> Panel:
    control.report("look")
    chosen = cluster.only(nodes) if nodes else cluster
    found = look(chosen, database, control)
    require_database(chosen, database, found)
    found.skipped.update(dict.fromkeys(found.missing, "database-missing: made there only by setup or a sync"))
    # of a request that waited while the settings changed
    gone = set(nodes or ()) - set(cluster.names)
    found.skipped.update(dict.fromkeys(sorted(gone), "not among the configured nodes any more"))
    require_two(chosen, list(found.infos), found.skipped)
    return Panel(chosen, found.infos, found.skipped, selector, control)


def _carried(panel: Panel, found: Differing, primary: str | None) -> Differing:
    """Of these, the documents of which a node lacks what should have travelled to it: a leaf of the primary's where the
    database goes one way, else one of any node's. What only stopped to match a selector is lacking nowhere."""
    wanted = {key: sources(at, primary) for key, at in found.items()}
    lacking = panel.lacking({key: leaves for key, leaves in wanted.items() if leaves}, "confirm")
    kept = behind(lacking)
    return {key: at for key, at in found.items() if key in kept}


def _digest(panel: Panel, result: VerifyResult) -> list[Digest]:
    began = time.monotonic()
    digests = {name: Digest() for name in panel.names}
    result.documents = panel.read("digest", lambda name, rows: digests[name].add(rows))
    result.digest_seconds = time.monotonic() - began
    return [digests[name] for name in panel.names]


def _narrow(panel: Panel, portion: set[int]) -> Differing:
    held: dict[str, dict[str, Leaves]] = {name: {} for name in panel.names}

    def keep(name: str, rows: list[Row]) -> None:
        held[name].update(row for row in rows if bucket_of(row[0]) in portion)

    panel.read("narrow", keep)
    return differing({name: held[name] for name in panel.names})


def _tell(panel: Panel, result: VerifyResult, found: Differing, reasons: Reasons) -> None:
    """Count all, and name some with what each node has of them now."""
    result.differing += len(found)
    result.refused += len(found.keys() & reasons.keys())
    named = sorted(found)[: result.room]
    now = panel.leaves_of(named, "confirm") if named else {}
    for key in named:
        result.name(key, {name: rows.get(key, ()) for name, rows in now.items()}, reasons.get(key))


class _Patience:
    """Waits for replication, for a bounded time in all. One that was not settled in time is asked again for each
    portion, but not waited for."""

    def __init__(self, settled: Settled, seconds: float, control: Control) -> None:
        self._settled = settled
        self._seconds = seconds
        self._control = control
        self._deadline: float | None = None

    def until_settled(self) -> bool:
        """False where it has something outstanding still, or cannot tell."""
        self._control.report("settle")
        if self._deadline is None:
            self._deadline = time.monotonic() + self._seconds
        while self._outstanding():
            if time.monotonic() >= self._deadline:
                return False
            self._control.check()
            time.sleep(ASK_EVERY)
        return True

    def _outstanding(self) -> bool:
        try:
            return self._settled() is False
        except ReplicationError:
            return True
