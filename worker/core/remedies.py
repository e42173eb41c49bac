"""What ails a continuous link in plain words, and what would help. Pure.

A term such as `{replication_auth_error,{session_request_failed,"http://…` tells an operator nothing, and looking
it up takes CouchDB's sources. Here each kind of error has a sentence with the names of the nodes in it, and
another that names the setting or the call that mends it.

A link's document is in its target's `_replicator`: it is the target that connects, to the source and to itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from worker.core.redact import scrub
from worker.core.scheduler_errors import Side, kind_of, one_line, side_of

TROUBLED = frozenset({"error", "crashing", "failed"})
LONGEST_SHOWN = 300  # characters of CouchDB's own text

_BY_ITSELF = "CouchDB tries again by itself, in ever longer pauses."
_AGAIN = "then run setup again, which writes it into the links."
# kind -> (words, remedy). {node}: the end at fault, {url}: its URL among nodes
_TOLD: dict[str, tuple[str, str]] = {
    "duplicate": (
        "another replication with the same source, target and options runs on {target}",
        "Remove the other one: a document in _replicator on {target} that is not ours, or a continuous _replicate. "
        "Then run setup again, which starts ours anew.",
    ),
    "bad-document": (
        "{target} cannot use the replication document: {text}",
        "Mend what it names (a selector, a filter, a URL), then run setup again: CouchDB does not look at a failed "
        "document any more.",
    ),
    "locked-out": (
        "{node} refuses every password of this user for a while: somebody used a wrong one too often",
        "Find who uses the wrong password: an old client, or REPLICATION_PASSWORD (COUCHDB_PASSWORD). {node} opens "
        f"again within 5 minutes of the last wrong one. {_BY_ITSELF}",
    ),
    "unauthorized": (
        "{node} does not take the user and password that {target} uses for it",
        "Make REPLICATION_USER and REPLICATION_PASSWORD (without them: COUCHDB_USER and COUCHDB_PASSWORD) those of a "
        f"user on {{node}}, {_AGAIN}",
    ),
    "forbidden": (
        "the user that {target} uses for {node} has no right to the database there",
        f"Make that user an admin of the database on {{node}} (_security), or a server admin. {_BY_ITSELF}",
    ),
    "refused-by-validation": (
        "{node} refuses a document: a validate_doc_update function in one of its design documents says no",
        "Change the function or the document, and run verify: what was refused is not offered again.",
    ),
    "documents-refused": (
        "{target} has refused {refused} of the documents of {source}, and replication went on without them",
        "Mostly a validate_doc_update function says no, or something is above max_document_size or "
        "max_attachment_size of {target}; its log names them. Mend that and run a sync, which lists what is missing: "
        "refused documents are not offered again until they change.",
    ),
    "too-large": (
        "a document or an attachment is larger than {node} takes",
        "Make [couchdb] max_document_size and max_attachment_size, and [chttpd] max_http_request_size, on {node} at "
        "least what they are on the other nodes.",
    ),
    "missing": (
        "there is no such database on {node}",
        "Where it is wanted, run setup, which makes it. Where it was deleted on purpose, delete it on the other nodes "
        f"as well. {_BY_ITSELF}",
    ),
    "tls": (
        "{target} makes no TLS connection to {itself} at {url}",
        "The certificate of {node} must be valid and for the host in that URL (a name: CouchDB verifies no address), "
        "and its CA must be in [replicator] ssl_trusted_certificates_file on {target}.",
    ),
    "unreachable-from-node": (
        "{target} does not reach {itself} at {url}{cause}, but we reach {node}",
        "Where nodes know {node} under another address than we do (Docker, NAT), give it as peer_url in "
        f"REPLICATION_NODES or COUCHDB_URL: name=url|peer_url, {_AGAIN} Otherwise something between the nodes, such as "
        "a firewall, is in the way.",
    ),
    "unreachable": (
        "{target} does not reach {itself} at {url}{cause}{nor}",
        f"Start {{node}}, or mend the way to it. {_BY_ITSELF}",
    ),
    "not-couchdb": (
        "what answers {target} at {url} is not CouchDB, but perhaps a proxy in front of {node}",
        "Give an address of {node} itself as peer_url in REPLICATION_NODES or COUCHDB_URL: name=url|peer_url, "
        f"{_AGAIN}",
    ),
    "server-fault": (
        "{node} answers with server errors, or with too many requests",
        f"Look into the log of {{node}}: a full disk, too little memory, too many open files. {_BY_ITSELF}",
    ),
    "checkpoint-failed": (
        "{target} could not note how far it is, on {node}: {text}",
        f"Nothing, where the database was just made anew: it is compared from the beginning. {_BY_ITSELF}",
    ),
    "worker-died": (
        "a part of the replication on {target} ended unexpectedly: {text}",
        f"Nothing yet. {_BY_ITSELF} Where it happens again and again, look into the log of {{target}}.",
    ),
    "unknown": ("the replication on {target} fails: {text}", f"Look into the log of {{target}}. {_BY_ITSELF}"),
}
_CAUSES = {
    "nxdomain": "unknown host name",
    "econnrefused": "connection refused",
    "req_timedout": "no answer in time",
    "etimedout": "no answer in time",
}


@dataclass(frozen=True)
class End:
    """One end of a link. `url` is its node's, as the other nodes use it; `up`: whether we reach it, None: unknown."""

    name: str
    url: str
    up: bool | None = None


@dataclass(frozen=True)
class Trouble:
    """`kind` is a slug that never changes; `words` and `remedy` are for people."""

    kind: str
    words: str
    remedy: str


def trouble(
    state: str, error: str | None, source: End, target: End, *, refused: int = 0, secrets: Iterable[str] = ()
) -> Trouble | None:
    """What ails a link; None where nothing does.

    `state` and `error` (`info.error`) are those of `_scheduler/docs`. `refused` is its `info.doc_write_failures`: a
    link whose target skips documents goes on running, as if nothing were wrong. `secrets` are masked in the text.
    """
    if state not in TROUBLED:
        return _told("documents-refused", target, source, target, refused=refused) if refused else None
    text = scrub(one_line(error or "no reason given"), secrets)
    kind = kind_of(text) or ("bad-document" if state == "failed" else "unknown")
    side = side_of(text, source.url, target.url)
    end = {Side.SOURCE: source, Side.TARGET: target, None: _either(source, target)}[side]
    if kind == "missing":
        slug = f"{side.value}-missing" if side else "database-missing"
        return _told(kind, end, source, target, slug=slug)
    if kind == "unreachable":
        end = _down_one(end, source, target)
        kind = "unreachable-from-node" if end.up else "unreachable"
    return _told(kind, end, source, target, text=text)


def _told(
    kind: str, end: End, source: End, target: End, *, slug: str = "", text: str = "", refused: int = 0
) -> Trouble:
    cause = next((f" ({words})" for sign, words in _CAUSES.items() if sign in text), "")
    words, remedy = (
        template.format(
            node=end.name,
            url=end.url,
            source=source.name,
            target=target.name,
            itself="itself" if end == target else end.name,
            text=text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…",
            cause=cause,
            nor=", and neither do we" if end.up is False else "",
            refused=refused,
        )
        for template in _TOLD[kind]
    )
    return Trouble(slug or kind, words, remedy)


def _either(source: End, target: End) -> End:
    """Where the text does not tell the end."""
    up = source.up and target.up
    return End(f"{source.name} or {target.name}", f"{source.url} or {target.url}", up)


def _down_one(end: End, source: End, target: End) -> End:
    """Of two possible ends, the one that we do not reach either."""
    if end in (source, target):
        return end
    return next((one for one in (source, target) if one.up is False), end)
