"""Look at every continuous link: its state as CouchDB's scheduler tells it, and its true lag.

Lag is asked of the source, `_changes?since=THROUGH&limit=0`, with the sequence up to which the target has everything:
the running job's `through_seq`, or the checkpoint in the target's `_local` document where no job tells. A link that had
no lag, and whose source has not changed since, is not asked again: with `_dbs_info` 100 links cost one request.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from worker.core.errors import ReplicationError
from worker.core.lag import LinkLook, LinkState, LinkStatus
from worker.core.model import Link
from worker.core.names import parse_replication_document_id
from worker.core.redact import scrub
from worker.couch.cluster import Cluster
from worker.couch.database import Database
from worker.couch.replicator import Replicator
from worker.ops.parallel import each, pooled

AT_ONCE = 8
BEGINNING = "0"

Looks = dict[Link, LinkLook]


Selectors = Callable[[str], Mapping[str, Any] | None]  # a database -> the selector of its rule


def look_at_links(
    cluster: Cluster,
    names: Sequence[str],
    earlier: Mapping[Link, LinkStatus],
    timeout: float,
    selector_of: Selectors = lambda database: None,
) -> Looks:
    """Our links on these nodes (those that answered the last sweep). A link that was seen earlier and whose node does
    not tell now is there still, in state unknown."""
    rows = each(names, lambda name: _scheduled(cluster, name, timeout))
    looks: Looks = {}
    for outcome in rows.values():
        looks.update(outcome.value or {})
    told = {name for name, outcome in rows.items() if outcome.error is None}
    for link in earlier:
        if link.target not in told and link.target in cluster.names and link.source in cluster.names:
            looks.setdefault(link, LinkLook(LinkState.UNKNOWN))
    return _with_lag(cluster, looks, earlier, told, selector_of)


def stuck(cluster: Cluster, names: Sequence[str], node: str, timeout: float) -> list[str]:
    """The ids of the links to and from `node` that have crashed or were put off, as these nodes tell: after a peer was
    away CouchDB tries them again only later and later."""
    rows = each(names, lambda name: _scheduled(cluster, name, timeout))
    return sorted(
        link.document_id
        for outcome in rows.values()
        for link, look in (outcome.value or {}).items()
        if node in {link.source, link.target} and look.state in {LinkState.CRASHING, LinkState.ERROR}
    )


def carried(
    cluster: Cluster, links: Sequence[Link], noted: Mapping[str, str], selector: Mapping[str, Any] | None = None
) -> bool | None:
    """Whether all that the sources had at the `noted` sequences (node -> update_seq) has reached the targets, as far as
    these links carry it. None where there are no such links; False where one is behind, or does not tell.

    Sequences cannot be compared, but what comes after them can be counted: a target that has fewer changes before it
    than came after the noted sequence is past that. So a database that is written to all the time settles too.
    """

    def there(link: Link) -> bool:
        row = Replicator(cluster[link.target]).document(link.document_id)
        if row is None:
            return True  # no such link: nothing comes this way
        lag = _ask(cluster, link, _look(row), selector).lag
        since = noted.get(link.source)
        return lag == 0 or (
            lag is not None
            and since is not None
            and lag <= Database(cluster[link.source], link.database).changes_after(since, selector=selector)
        )

    return all(outcome.value for outcome in each(links, there).values()) if links else None


def _scheduled(cluster: Cluster, name: str, timeout: float) -> Looks:
    if not cluster[name].capabilities().scheduler:
        return {}
    found = {}
    for row in Replicator(cluster[name]).documents(read_timeout=timeout):
        parsed = parse_replication_document_id(str(row.get("doc_id") or ""))
        if parsed is not None:  # else it is somebody else's
            source, target, database = parsed
            found[Link(database, source, target)] = _look(row)
    return found


def _look(row: Mapping[str, Any]) -> LinkLook:
    info = row.get("info") or {}
    state = str(row.get("state"))
    error = info.get("error")
    return LinkLook(
        state=LinkState(state) if state in set(LinkState) else LinkState.UNKNOWN,
        replication_id=str(row["id"]).partition("+")[0] if row.get("id") else None,
        through=info.get("through_seq"),
        done=sum(int(info.get(name) or 0) for name in ("revisions_checked", "docs_read", "docs_written")),
        refused=int(info.get("doc_write_failures") or 0),
        error=scrub(str(error)) if error else None,
    )


def _with_lag(
    cluster: Cluster, looks: Looks, earlier: Mapping[Link, LinkStatus], told: set[str], selector_of: Selectors
) -> Looks:
    by_source: dict[str, set[str]] = defaultdict(set)
    for link in looks:
        if link.source in told:
            by_source[link.source].add(link.database)
    sequences = each(by_source, lambda name: cluster[name].sequences(sorted(by_source[name])))
    now = {
        (name, database): sequence
        for name, outcome in sequences.items()
        for database, sequence in (outcome.value or {}).items()
    }
    asked: list[Link] = []
    for link in list(looks):
        sequence = now.get((link.source, link.database))
        look = looks[link] = replace(looks[link], source_sequence=sequence)
        known = earlier.get(link)
        if sequence is None or link.target not in told:
            continue
        if known is not None and _still_in_step(known.look, look):
            looks[link] = replace(look, lag=0, through=look.through or known.look.through)
        else:
            asked.append(link)
    for outcome in pooled(asked, lambda link: _ask(cluster, link, looks[link], selector_of(link.database)), AT_ONCE):
        if outcome.value is not None:
            looks[outcome.key] = outcome.value
    return looks


def _still_in_step(before: LinkLook, now: LinkLook) -> bool:
    return (
        before.lag == 0
        and before.source_sequence == now.source_sequence
        and before.replication_id == now.replication_id
        and now.state not in {LinkState.CRASHING, LinkState.ERROR, LinkState.FAILED}
    )


def _ask(cluster: Cluster, link: Link, look: LinkLook, selector: Mapping[str, Any] | None) -> LinkLook:
    """The look with its lag; unknown stays None."""
    through = look.through or _checkpoint(cluster, link, look)
    if through is None:
        return look
    try:
        lag = Database(cluster[link.source], link.database).changes_after(through, selector=selector)
    except ReplicationError:
        return replace(look, through=through)
    return replace(look, through=through, lag=lag)


def _checkpoint(cluster: Cluster, link: Link, look: LinkLook) -> str | None:
    """What the target has confirmed, from its own record; the beginning where it has confirmed nothing yet."""
    if look.replication_id is None:
        return None
    try:
        found = Database(cluster[link.target], link.database).get(f"_local/{look.replication_id}")
    except ReplicationError:
        return None
    return str(found["source_last_seq"]) if found and found.get("source_last_seq") else BEGINNING
