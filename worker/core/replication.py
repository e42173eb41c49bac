"""What is sent to CouchDB's replicator, and what its answers mean. Pure.

Body: https://docs.couchdb.org/en/stable/json-structure.html#replication-settings . Two choices are measured:
`nodelay` makes a one-document pull ten times faster (it is no part of the replication id, so old checkpoints
stay good), and credentials go in `auth.basic`, because a URL ends up in logs and task lists.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from worker.core.model import UNKNOWN, Credentials, Link, Node, PullStats

SOCKET_OPTIONS = "[{keepalive, true}, {nodelay, true}]"
BEGINNING = "0"
_COUCHDB_ADDS = frozenset({"owner", "user_ctx"})


def endpoint(node: Node, database: str) -> dict[str, Any]:
    """A database as a replication's source or target."""
    body: dict[str, Any] = {"url": database_url(node, database)}
    user: Credentials | None = node.peer_credentials or node.credentials
    if user and user != UNKNOWN:
        body["auth"] = {"basic": {"username": user.user, "password": user.password}}
    return body


def database_url(node: Node, database: str) -> str:
    return f"{node.peer_url}/{quote(database, safe='')}"


def pull_body(
    database: str, source: Node, target: Node, *, tuned: bool, selector: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The body of a one-shot `_replicate`. The same arguments give the same body: that is how a retry, or
    another worker, joins the job that still runs on the node. `tuned`: the server knows socket options.
    `selector`: only documents that match this Mango selector."""
    body: dict[str, Any] = {"source": endpoint(source, database), "target": endpoint(target, database)}
    if selector is not None:
        body["selector"] = dict(selector)
    return {**body, "socket_options": SOCKET_OPTIONS} if tuned else body


def selective_body(
    database: str, source: Node, target: Node, document_ids: Sequence[str], *, tuned: bool
) -> dict[str, Any]:
    """The body of a one-shot `_replicate` of these documents alone.

    Without checkpoints: one of an earlier pull would hide what was lost on the target since, by a purge say. The
    source is spelt as `repair_url`.
    """
    body = pull_body(database, source, target, tuned=tuned)
    body["source"]["url"] = repair_url(source, database)
    return {**body, "doc_ids": list(document_ids), "use_checkpoints": False}


def repair_url(node: Node, database: str) -> str:
    """A database's URL with its first letter percent-encoded: the same resource (RFC 3986, 6.2.2.2) under another
    spelling. CouchDB's scheduler tells of a job only its URLs, so this is how whoever cleans up after a dead worker
    knows a repair's pulls from those of a sync of the same database, which must go on."""
    return f"{node.peer_url}/%{ord(database[0]):02X}{quote(database[1:], safe='')}"


def link_document(
    link: Link, source: Node, target: Node, *, selector: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The `_replicator` document of a continuous link."""
    return {
        "_id": link.document_id,
        **pull_body(link.database, source, target, tuned=True, selector=selector),
        "continuous": True,
    }


def shape(document: Mapping[str, Any], database: str) -> str:
    """What a link's document asks for, but for the database's name: a digest, equal for all databases of one pair
    of nodes and one rule. Fields that CouchDB adds are left out; what somebody else added is not.

    It is made from the credentials too, so it is for comparing in memory, and never stored or shown.
    """
    asked = {key: value for key, value in document.items() if not key.startswith("_") and key not in _COUCHDB_ADDS}
    for side in ("source", "target"):
        place = asked.get(side)
        if isinstance(place, dict) and isinstance(place.get("url"), str):
            asked[side] = {**place, "url": place["url"].removesuffix(f"/{quote(database, safe='')}")}
    return hashlib.blake2b(json.dumps(asked, sort_keys=True).encode(), digest_size=16).hexdigest()


def pull_stats(answer: Mapping[str, Any], *, joined: bool) -> PullStats:
    """The figures of a finished `_replicate`.

    `no_changes` means this call moved nothing; its history is that of earlier calls and counts only where
    we had `joined` a call of ours that ended between two looks. An empty database has no checkpoint yet.
    """
    counts = joined or not answer.get("no_changes")
    figures = _figures(answer) if counts else {}
    return PullStats(
        source_last_seq=str(answer.get("source_last_seq") or answer.get("last_seq") or BEGINNING),
        docs_read=figures.get("docs_read", 0),
        docs_written=figures.get("docs_written", 0),
        doc_write_failures=figures.get("doc_write_failures", 0),
        ever_refused=int((answer.get("history") or [{}])[0].get("doc_write_failures") or 0),
    )


def _figures(answer: Mapping[str, Any]) -> dict[str, int]:
    """This session's share of the history's figures.

    CouchDB starts a session's counters at those of the session before (couch_replicator_scheduler_job.erl,
    init_state: max_stats), so one document that was refused long ago would look refused in every later
    answer. Stand-ins have no history and put the call's own figures at the top.
    """
    history = [*(answer.get("history") or [answer]), {}]
    names = ("docs_read", "docs_written", "doc_write_failures")
    now, before = ({name: int(entry.get(name) or 0) for name in names} for entry in history[:2])
    grown = all(now[name] >= before[name] for name in names)
    return {name: now[name] - before[name] for name in names} if grown else now
