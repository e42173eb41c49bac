"""What kind of error a replication died of, and at which end, out of the text that the scheduler gives. Pure.

`info.error` of `_scheduler/docs` is a printed Erlang term, or words; which of the two nodes it is about shows only
in a URL inside it. The signs below are from couch_replicator's sources (scheduler_job, httpc, auth_session,
api_wrap, doc_processor_worker), and most were met on real nodes (tests/unit/worker/core/test_remedies.py). A new
version of CouchDB may print others: an unknown text is "unknown", never guessed.
"""

from __future__ import annotations

import re
from enum import Enum

# Names of databases and users must not be taken for signs
_NAMES = re.compile(r"https?://[^\s\"<>`]*(?:\",\s*\"[^\"]*\")?|`[^`]*`")
_URL = re.compile(r"https?://[^\s\"<>`]+")

# The order counts: a dead worker's term holds what it died of, and the sign of that is the better one
_SIGNS = (
    ("duplicate", r"already started, triggered by|already running as a transient|[Dd]uplicate(_job| replication)"),
    ("bad-document", r"bad_rep_doc|mango_|Couldn't open document|mutually exclusive|invalid url|Invalid proxy"),
    ("bad-document", r"local_endpoints_not_supported|Missing replicator database|\bparameter\b"),
    ("locked-out", r"session_request_forbidden|temporarily locked"),
    ("unauthorized", r"session_requests?_unauthorized|session_requires_valid_user|\bunauthorized\b|_failed,401\b"),
    ("refused-by-validation", r"validate_doc_update|(doc_write|bulk_docs)_failed\b.*\b(forbidden|403)\b"),
    ("forbidden", r"\bforbidden\b|_failed,403\b"),
    ("too-large", r"_too_large\b|_failed,413\b|max_(document|attachment|http_request)_size"),
    ("missing", r"\bdb_not_found\b|(changes_req|revs_diff|bulk_docs)_failed,404\b"),
    ("tls", r"\btls_alert\b|certificate|\bunknown_ca\b|handshake|\bcacert"),
    ("unreachable", r"conn_failed|\be(connrefused|connreset|hostunreach|netunreach|timedout)\b|nxdomain"),
    ("unreachable", r"req_timedout|sel_conn_closed|connection_clos(ed|ing)|\btimeout\b"),
    ("not-couchdb", r"invalid_json|invalid_uri|cookie_not_found|session_(unexpected_result|not_supported)"),
    ("server-fault", r"http_error_code,(408|429|5\d\d)\b|_failed,5\d\d\b|\{code,\d+|max_backoff"),
    ("checkpoint-failed", r"checkpoint_commit_failure"),
    ("worker-died", r"_died\b|\bnoproc\b|\bkilled\b"),
)
_KINDS = tuple((kind, re.compile(pattern)) for kind, pattern in _SIGNS)
# Where no URL tells the end, the call does
_AT_SOURCE = re.compile(r"changes_re(q|ader)_|source (database|commit|checkpoint)|on source")
_AT_TARGET = re.compile(
    r"(revs_diff|bulk_docs|doc_write)_failed|_too_large|target (database|commit|checkpoint)|on target"
)


class Side(Enum):
    SOURCE = "source"
    TARGET = "target"


def one_line(text: str) -> str:
    """The term without the line breaks of its print-out, which also cuts long strings in pieces."""
    return re.sub(r'(?<![,{\[(])"\s+"', "", " ".join(text.split()))


def kind_of(text: str) -> str | None:
    """None where no sign is known."""
    bare = _NAMES.sub(" ", text)
    return next((kind for kind, sign in _KINDS if sign.search(bare)), None)


def side_of(text: str, source_url: str, target_url: str) -> Side | None:
    """The end that the text is about, by the first URL in it that is one of theirs."""
    for url in _URL.findall(text):
        at_source, at_target = _is_at(url, source_url), _is_at(url, target_url)
        if at_source != at_target:
            return Side.SOURCE if at_source else Side.TARGET
    at_source, at_target = _AT_SOURCE.search(text) is not None, _AT_TARGET.search(text) is not None
    if at_source == at_target:
        return None
    return Side.SOURCE if at_source else Side.TARGET


def _is_at(url: str, node_url: str) -> bool:
    return url == node_url or url.startswith(f"{node_url.rstrip('/')}/")
