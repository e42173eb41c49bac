"""What a fake node's `_scheduler` tells of its links and jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.fakes.documents import JsonObject, Refused

if TYPE_CHECKING:
    from tests.fakes.couchdb import FakeNode
    from tests.fakes.replication import Link
    from tests.fakes.request import Request


def scheduler(node: FakeNode, request: Request, what: str, *one: str) -> JsonObject:
    """A page of its jobs or documents, or one of them by `_replicator/ID`."""
    rows = scheduled(node, what)
    if not one:
        return _page(what, rows, request.params)
    found = next((row for row in rows if row["doc_id"] == one[-1]), None)
    if found is None:
        raise Refused(404, "not_found", "missing")
    return found


def scheduled(node: FakeNode, what: str) -> list[JsonObject]:
    """Continuous links run for ever; one-shot replications are jobs without a document."""
    rows = [_link(node, link) for link in node.couch.replications.links() if link.node is node]
    if what == "docs":
        return rows
    rows = [row for row in rows if row["state"] != "failed"]
    for job in list(node.jobs.values()):
        ends = {"source": job.source, "target": job.target}
        rows.append({"database": None, "id": job.id, "doc_id": None, "info": {"revisions_checked": 3}, **ends})
    return rows


def _link(node: FakeNode, link: Link) -> JsonObject:
    """`info` is null for a job that waits, an error for one that crashed, and figures once it has moved something."""
    state, error = link.state
    told = node.link_figures.get(link.document) if state == "running" else None
    ends = {side: f"{link.body[side]['url'].rstrip('/')}/" for side in ("source", "target")}
    return {
        "database": "_replicator",
        "doc_id": link.document,
        "id": None if state in {"failed", "error"} else f"{link.identity}+continuous",
        "state": state,
        "info": {"error": error} if error else told,
        **ends,
    }


def _page(what: str, rows: list[JsonObject], params: Any) -> JsonObject:
    skip, limit = int(params.get("skip", 0)), int(params.get("limit", 100))
    return {"total_rows": len(rows), "offset": skip, what: rows[skip : skip + limit]}
