"""Sync just those documents that a verify found different.

On CouchDB by its replicator, with `doc_ids`; what the target does not take that way is sent once more by hand, for
its answer says why. Stand-ins know no `doc_ids` (501), so there everything is sent by hand: read from the source
with its history and attachments, written to the target with `new_edits` false, which is what a replicator does.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import zip_longest
from typing import Any

from worker.core.difference import Differing, sources, transfers
from worker.core.errors import ReplicationError, Unsupported
from worker.core.model import Link
from worker.core.replication import repair_url, selective_body
from worker.couch.cluster import Cluster
from worker.couch.database import IDS_A_CALL
from worker.couch.replicator import Replicator
from worker.ops import pulls
from worker.ops.look import reason
from worker.ops.panel import Panel
from worker.ops.parallel import batches, each
from worker.ops.verify_result import MOST_LISTED

Reasons = dict[str, str]  # id -> why it could not be repaired
Sends = Mapping[tuple[str, str], list[str]]  # (source, target) -> ids

CUT = "no node lacks a revision that another has: their histories of it were cut at different places"
REFUSED = (
    "its target did not take it; common causes: a validate_doc_update function, a size limit, an attachment name "
    "that starts with _"
)


def repair_documents(panel: Panel, found: Differing, primary: str | None = None) -> tuple[Differing, Reasons]:
    """What differs still, and why, as far as that is known. With a `primary` documents go out from it alone.

    Raises Cancelled after the nodes were told to stop, NotEnoughNodes where too few are left.
    """
    wanted = {document_id: sources(at, primary) for document_id, at in found.items()}
    lacking = panel.lacking(wanted, "repair")
    held = found if primary is None else {key: {primary: at.get(primary, ())} for key, at in found.items()}
    sends = transfers(held, lacking)
    reasons: Reasons = {}
    if _selective(panel):
        _pull(panel, sends, reasons)
        left = panel.second_look(found, "check")
        again = _worth_a_word(panel, sends, left)
        if again:
            _send(panel, again, lacking, reasons, attachments=False)
            left = panel.second_look(left, "check")
    else:
        _send(panel, sends, lacking, reasons, attachments=True)
        left = panel.second_look(found, "check")
    sent = {document_id for ids in sends.values() for document_id in ids}
    return left, {key: reasons.get(key, REFUSED if key in sent else CUT) for key in left}


def cancel_repair(cluster: Cluster, database: str) -> list[str]:
    """Stop on the nodes the pulls of a repair that an earlier attempt may have left there, and no others. Returns
    those that may still run, each with the reason."""
    sources = {repair_url(server.node, database) for server in cluster.servers.values()}
    outcomes = each(cluster.names, lambda name: Replicator(cluster[name]).stop(sources))
    failed = {name: outcome.error for name, outcome in outcomes.items() if outcome.error is not None}
    # a node that cannot run such a pull has none left
    return [f"{name}: {reason(error)}" for name, error in failed.items() if not isinstance(error, Unsupported)]


def _selective(panel: Panel) -> bool:
    return all(panel.cluster[name].capabilities().selective for name in panel.names)


def _worth_a_word(panel: Panel, sends: Sends, left: Differing) -> Sends:
    """What to send by hand of what the replicator left: as many documents as a result names."""
    named = set(sorted(left)[:MOST_LISTED])
    few = {ends: [key for key in ids if key in named] for ends, ids in sends.items() if _same_rights(panel, ends[1])}
    return {ends: ids for ends, ids in few.items() if ids}


def _same_rights(panel: Panel, target: str) -> bool:
    """Whether the replicator writes as the user that we are: else what it is refused might be taken from us."""
    node = panel.cluster[target].node
    return node.peer_credentials in {None, node.credentials}


def _pull(panel: Panel, sends: Sends, reasons: Reasons) -> None:
    """All links at once, each as many documents at a time as CouchDB looks up by id."""
    queues = [[(Link(panel.database, *ends), part) for part in batches(ids, IDS_A_CALL)] for ends, ids in sends.items()]
    for turn in zip_longest(*queues):
        parts = dict(one for one in turn if one is not None and {one[0].source, one[0].target} <= set(panel.names))
        outcomes = pulls.run(panel.cluster, list(parts), "repair", panel.control, partial(_body, parts))
        panel.drop({name: reason(error) for name, error in outcomes.lost.items()})
        for link, error in outcomes.failed.items():
            reasons.update(dict.fromkeys(parts[link], f"{link}: {reason(error)}"))


def _body(parts: Mapping[Link, list[str]], cluster: Cluster, link: Link) -> dict[str, Any]:
    target = cluster[link.target]
    tuned = target.capabilities().scheduler
    return selective_body(link.database, cluster[link.source].node, target.node, parts[link], tuned=tuned)


def _send(
    panel: Panel,
    sends: Sends,
    lacking: Mapping[str, Mapping[str, list[str]]],
    reasons: Reasons,
    *,
    attachments: bool,
) -> None:
    """By hand, one document after the other. Without `attachments` those that have any are left out."""
    for (source, target), ids in sends.items():
        for document_id in ids:
            panel.control.check()
            try:
                why = _copy(panel, source, target, document_id, lacking[target][document_id], attachments)
            except ReplicationError as error:
                why = reason(error)
            if why:
                reasons[document_id] = f"{target}: {why}"  # of the last target, where several refuse it


def _copy(
    panel: Panel, source: str, target: str, document_id: str, revisions: list[str], attachments: bool
) -> str | None:
    """Returns why the target refused a revision, or None."""
    params: dict[str, Any] = {"revs": "true", **({"attachments": "true"} if attachments else {})}
    for revision in revisions:
        document = panel[source].get(document_id, rev=revision, **params)
        if document is None or (not attachments and "_attachments" in document):
            continue
        for refused in panel[target].bulk([document], new_edits=False):
            return f"{refused.get('error')}: {refused.get('reason')}"
    return None
