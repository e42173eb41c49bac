"""What the demo writes: each run adds documents, so that each run has something to sync.

Twelve reports with a PDF each, four on each node; one document edited on two nodes at once (a conflict);
one that two nodes hold and one of them deletes. Ids carry the run's number: nothing of an earlier run is
touched.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from embedded import pdf
from worker.couch.database import Database

PDFS = "pdfs"
CATEGORIES = "categories"
# bytes of the attachments; the last one is the big one
SIZES = (2_000, 5_000, 9_000, 14_000, 20_000, 32_000, 45_000, 64_000, 90_000, 150_000, 300_000, 1_000_000)
SUBJECTS = ("Invoices", "Lab notes", "Minutes", "Contracts")


@dataclass(frozen=True)
class Written:
    """What one run added, for the report."""

    reports: int
    attachment_bytes: int
    conflict_id: str
    deleted_id: str


def report(run: int, number: int, node: str, size: int) -> dict[str, Any]:
    """A document with its PDF."""
    title = f"{SUBJECTS[number % len(SUBJECTS)]} {run}-{number:02d}"
    file = pdf.make(title, [f"Written on node {node} in run {run} of the demo."], size)
    return {
        "_id": f"report-{run:04d}-{number:02d}",
        "type": "report",
        "title": title,
        "written_on": node,
        "_attachments": {"report.pdf": {"content_type": "application/pdf", "data": base64.b64encode(file).decode()}},
    }


def write_pdfs(databases: Sequence[tuple[str, Database]], run: int) -> Written:
    """Fill `pdfs`: (node name, its database) of every node, the primary first."""
    total = 0
    for number, size in enumerate(SIZES, start=1):
        node, database = databases[(number - 1) % len(databases)]
        document = report(run, number, node, size)
        total += len(base64.b64decode(document["_attachments"]["report.pdf"]["data"]))
        database.put(document)
    (first_name, first), (second_name, second) = databases[0], databases[1]
    conflict, deleted = f"conflict-{run:04d}", f"deleted-{run:04d}"
    first.put({"_id": conflict, "type": "note", "title": "Edited on two nodes", "text": f"as {first_name} has it"})
    second.put({"_id": conflict, "type": "note", "title": "Edited on two nodes", "text": f"as {second_name} has it"})
    shared = {"_id": deleted, "_rev": f"1-{hashlib.md5(deleted.encode()).hexdigest()}", "type": "note"}  # noqa: S324
    for database in (first, second):
        database.bulk([shared], new_edits=False)  # the same revision on both, as if they had replicated before
    second.delete(deleted, str(shared["_rev"]))
    return Written(len(SIZES), total, conflict, deleted)


def write_categories(database: Database, run: int) -> int:
    """Fill `categories` on the primary; returns how many documents were added."""
    documents = [
        {"_id": f"category-{run:04d}-{number}", "type": "category", "name": subject}
        for number, subject in enumerate(SUBJECTS, start=1)
    ]
    database.bulk(documents)
    return len(documents)


def next_run(ids: Sequence[str]) -> int:
    """One more than the highest run number among the ids of `pdfs` on all nodes."""
    runs = [int(parts[1]) for parts in (item.split("-") for item in ids) if len(parts) > 1 and parts[1].isdigit()]
    return max(runs, default=0) + 1
