"""Names: CouchDB's rules for database names, and the ids of our replication documents.

Rules: https://docs.couchdb.org/en/stable/api/database/common.html#put--db . CouchDB refuses anything else
with 400 illegal_database_name; we refuse it before anything is queued, with the same words.
"""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Iterable, Sequence

MAX_LENGTH = 238  # [couchdb] max_database_name_length
RULE = (
    "a database name starts with a lowercase letter (a-z), goes on with lowercase letters, digits "
    f"and any of _ $ ( ) + - /, and has at most {MAX_LENGTH} characters"
)
PATTERN = r"^[a-z][a-z0-9_$()+/-]{0,237}$"
OWN_DATABASE = "notebook-replication"  # ours, on every node: the canary, ledgers, choices; never a user's
# databases that a restore drill makes and drops: on one node, and never to be carried to another
SCRATCH = f"{OWN_DATABASE}-scratch-"
_DATABASE = re.compile(PATTERN)
NODE_PATTERN = r"^[a-z0-9][a-z0-9-]{0,62}$"
_NODE = re.compile(NODE_PATTERN)
_DOCUMENT_PREFIX = "nbr"


def database_name_error(name: str) -> str | None:
    """Why CouchDB would refuse `name` for a user database, or None where it would take it."""
    if name.startswith("_"):
        return f"names that start with _ are CouchDB's own system databases; {RULE}"
    # fullmatch, because $ also matches before a final line feed
    return None if _DATABASE.fullmatch(name) else RULE


def is_own(name: str) -> bool:
    """Whether the database is ours, and not a user's."""
    return name == OWN_DATABASE or name.startswith(SCRATCH)


def is_node_name(name: str) -> bool:
    return _NODE.fullmatch(name) is not None


def nearest(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """The databases somebody who typed `name` most likely meant, best first."""
    return difflib.get_close_matches(name, list(known), n=count, cutoff=0.6)


def selected(name: str, include: Sequence[str], exclude: Sequence[str]) -> bool:
    """Whether a user database is replicated: it matches a glob of `include` and none of `exclude`."""
    if name.startswith("_") or is_own(name):
        return False
    return any(fnmatch.fnmatchcase(name, glob) for glob in include) and not any(
        fnmatch.fnmatchcase(name, glob) for glob in exclude
    )


def replication_document_id(database: str, source: str, target: str) -> str:
    """The id of the continuous link's document. Node names have no colon, so it cannot be ambiguous."""
    return replication_document_prefix(source, target) + database


def replication_document_prefix(source: str, target: str) -> str:
    """What the ids of all links of a pair begin with; the database's name follows."""
    return f"{_DOCUMENT_PREFIX}:{source}:{target}:"


def parse_replication_document_id(document_id: str) -> tuple[str, str, str] | None:
    """(source, target, database) of one of our documents, or None where it is somebody else's."""
    prefix, _, rest = document_id.partition(":")
    source, _, rest = rest.partition(":")
    target, _, database = rest.partition(":")
    if prefix != _DOCUMENT_PREFIX or not (is_node_name(source) and is_node_name(target) and database):
        return None
    return source, target, database
