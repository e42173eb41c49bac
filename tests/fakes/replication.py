"""The fake's replicator: jobs that can be joined and cancelled, checkpoints, cumulative figures, links.

As measured on CouchDB 3.5: the counters of a session start at those of the session before; a second pull with
nothing to do answers `no_changes` and the old history; one-shot and continuous replications of a pair share
their checkpoint; cancelling leaves the first caller waiting.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from tests.fakes.documents import FakeDatabase, JsonObject, Refused
from worker.core.errors import TimedOut, Unreachable

if TYPE_CHECKING:
    from tests.fakes.couchdb import FakeCouch, FakeNode

COUNTERS = ("missing_checked", "missing_found", "docs_read", "docs_written", "doc_write_failures")
UNSUPPORTED = {"cancel", "continuous", "doc_ids", "selector", "since_seq"}  # by a stand-in
NO_CHECKPOINTS = {"ok": True, "use_checkpoints": False}  # no word of what was done
Said = tuple[int, Any]  # status and body of an answer


@dataclass
class Job:
    """A running one-shot replication. Its `callers`, so many so far, wait for `done`; a cancelled one never is."""

    id: str
    source: str
    target: str
    done: threading.Event = field(default_factory=threading.Event)
    said: Said = (500, {})
    cancelled: bool = False
    callers: int = 0


@dataclass(frozen=True)
class Link:
    """A continuous replication by a document of the node's `_replicator`."""

    node: FakeNode
    document: str
    revision: str
    body: JsonObject

    @property
    def identity(self) -> str:
        return _identity(self.body)

    @property
    def held(self) -> tuple[str, str | None] | None:
        """State and error of one that carries nothing, however often it is tried."""
        if self.body.get("_replication_state") == "failed":
            return "failed", str(self.body.get("_replication_state_reason"))
        stopped = self.node.stopped.get(self.document)
        return (stopped.state, stopped.error) if stopped and stopped.revision in {self.revision, None} else None

    @property
    def state(self) -> tuple[str, str | None]:
        """What the scheduler says, and the error where there is one."""
        crash = self.node.crashes.get(self.document)
        return self.held or (("crashing", crash) if crash else ("running", None))


class Replications:
    """What `_replicate` and `_replicator` do on the nodes of one fake cluster."""

    def __init__(self, couch: FakeCouch) -> None:
        self._couch = couch

    def one_shot(self, node: FakeNode, body: JsonObject) -> Said:
        """Start or join, and wait for the end. Raises TimedOut where it does not come while the node is held."""
        unsupported = body.keys() & UNSUPPORTED if node.standin else set()
        if unsupported:
            raise Refused(501, "not_implemented", min(unsupported))
        identity = body.get("replication_id") or _identity(body)
        with self._couch.lock:
            job = node.jobs.get(identity)
            if body.get("cancel"):
                if job is None:
                    raise Refused(404, "not_found", "missing")
                job.cancelled = True
                del node.jobs[identity]
                return 200, {"ok": True, "_local_id": identity}
            if job is None:
                ends = (f"{_url(body[side])}/" for side in ("source", "target"))
                job = node.jobs[identity] = Job(identity, *ends)
                threading.Thread(target=self._run, args=(node, identity, job, body), daemon=True).start()
            job.callers += 1
        if not job.done.wait(self._couch.patience if node.held else 10.0):
            raise TimedOut("connected, but no answer within the time-out")
        return job.said

    def run_links(self) -> None:
        """Carry every write through the continuous links, until nothing moves any more."""
        moved = True
        while moved:
            moved = False
            for link in self.links():
                if link.held:
                    continue
                try:
                    answer = self._copy(link.node, link.body)
                except Refused as refused:
                    link.node.crashes[link.document] = f"{refused.error}: {refused.reason}"
                    continue
                link.node.crashes.pop(link.document, None)
                if not answer.get("no_changes"):
                    moved = True
                    link.node.link_figures[link.document] = _figures(answer)

    def links(self) -> Iterator[Link]:
        """Every continuous link of every node."""
        for node in list(self._couch.nodes.values()):
            documents = node.databases["_replicator"].documents if "_replicator" in node.databases else {}
            for identity, document in list(documents.items()):
                winner = document.leaves()[0]
                leaf = document.revisions[winner]
                if leaf.body and not leaf.deleted and leaf.body.get("continuous"):
                    yield Link(node, identity, winner, leaf.body)

    def _run(self, node: FakeNode, identity: str, job: Job, body: JsonObject) -> None:
        node.wait_until_free()
        with self._couch.lock:
            if job.cancelled:
                return
            try:
                job.said = (200, self._copy(node, body))
            except Refused as refused:
                job.said = refused.said
            del node.jobs[identity]
            self.run_links()
        job.done.set()

    def _copy(self, node: FakeNode, body: JsonObject) -> JsonObject:
        found = []
        for side in ("source", "target"):
            there, name = self._reach(node, body[side]), _name(body[side])
            if node.standin and name not in there.databases:  # it makes what is missing, silently
                there.create(name)
            if name not in there.databases:
                raise Refused(500, "db_not_found", f"could not open {_url(body[side])}/")
            found.append(there.databases[name])
        refuses = self._reach(node, body["target"]).refuses
        if "doc_ids" in body:
            figures = copy(found[0], found[1], [key for key in body["doc_ids"] if key in found[0].documents], refuses)
            return {"ok": True, **figures} if body.get("use_checkpoints", True) else NO_CHECKPOINTS
        answer = replicate(found[0], found[1], _identity(body), refuses, body.get("selector") or {})
        return _standin_answer(answer) if node.standin else answer

    def _reach(self, node: FakeNode, endpoint: JsonObject) -> FakeNode:
        """The node at the endpoint, as CouchDB's replicator reaches it. Raises Refused in its words."""
        user = (endpoint.get("auth") or {}).get("basic") or {}
        try:
            there = self._couch.at(urlsplit(_url(endpoint)).netloc)
            broken = there is not node and there.broken(())
        except (Unreachable, TimedOut):
            why = "{session_request_failed,url,user,{conn_failed,{error,econnrefused}}}"
            raise Refused(500, "replication_auth_error", why) from None
        if broken or not there.logins.accepts(user.get("username", ""), user.get("password", "")):
            raise Refused(500, "replication_auth_error", "{session_request_unauthorized,url,user}")
        return there


def replicate(
    source: FakeDatabase,
    target: FakeDatabase,
    identity: str,
    refuses: Callable[[JsonObject], bool],
    selector: JsonObject,
) -> JsonObject:
    """Copy what `target` lacks, but for what its validation `refuses`; returns the answer of `_replicate`."""
    history, since = _agreed(source, target, identity)
    rows, _ = source.changes(since)
    if not rows:
        checkpoint = {"source_last_seq": since, "history": history} if history else {}
        return {"ok": True, "no_changes": True, **checkpoint}
    figures = copy(source, target, [document_id for _, document_id in rows], refuses, selector)
    earlier = history[0] if history else {}
    reached = source.sequence(rows[-1][0])
    session = {name: earlier.get(name, 0) + figures[name] for name in COUNTERS} | {"recorded_seq": reached}
    about = {"session_id": hashlib.md5(reached.encode()).hexdigest(), "replication_id_version": 4}  # noqa: S324
    kept = {**about, "source_last_seq": reached, "history": [session, *history][:50]}
    for database in (source, target):
        database.write_local(f"_local/{identity}", kept)
    return {"ok": True, **kept}


def copy(
    source: FakeDatabase,
    target: FakeDatabase,
    ids: list[str],
    refuses: Callable[[JsonObject], bool],
    selector: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, int]:
    figures = dict.fromkeys(COUNTERS, 0)
    for document_id in ids:
        for revision in source.documents[document_id].leaves():
            if not source.matches(document_id, revision, dict(selector)):
                continue
            figures["missing_checked"] += 1
            if target.has(document_id, revision):
                continue
            document = source.read(document_id, revision, attachments=True, revs=True)
            refused = refuses(document)
            for name in ("missing_found", "docs_read", "doc_write_failures" if refused else "docs_written"):
                figures[name] += 1
            if not refused:
                target.write_replicated(document)
    return figures


def _agreed(source: FakeDatabase, target: FakeDatabase, identity: str) -> tuple[list[JsonObject], str]:
    """History and checkpoint where both sides have the same, else a start from the beginning."""
    ours, theirs = (database.local.get(f"_local/{identity}") for database in (source, target))
    return (ours["history"], ours["source_last_seq"]) if ours and ours == theirs else ([], "0")


def _figures(answer: JsonObject) -> JsonObject:
    """As `_scheduler/docs` tells them of a running link."""
    session = answer["history"][0]
    told = {"revisions_checked": session["missing_checked"], "changes_pending": None}
    reached = answer["source_last_seq"]
    return {**told, **{name: session[name] for name in COUNTERS[2:]}, "through_seq": reached, "source_seq": reached}


def _standin_answer(answer: JsonObject) -> JsonObject:
    """PouchDB's server: no history, this call's own figures at the top, an integer sequence."""
    sessions = [] if answer.get("no_changes") else answer["history"]
    now, before = [*sessions, {}, {}][:2]
    figures = {name: now.get(name, 0) - before.get(name, 0) for name in COUNTERS[2:]}
    return {"ok": True, "last_seq": int(str(answer.get("source_last_seq", "0")).split("-")[0]), **figures}


def _identity(body: JsonObject) -> str:
    """The same for one-shot and continuous, whatever the socket options."""
    told = [_url(body["source"]), _url(body["target"]), *body.get("doc_ids", []), body.get("selector")]
    return hashlib.md5(json.dumps(told).encode()).hexdigest()  # noqa: S324


def _url(endpoint: JsonObject) -> str:
    return str(endpoint["url"]).rstrip("/")


def _name(endpoint: JsonObject) -> str:
    return unquote(urlsplit(_url(endpoint)).path.strip("/"))
