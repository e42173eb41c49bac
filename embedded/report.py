"""The demo's words: what happened, as a person wants to read it. Pure: facts in, lines out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from embedded.census import Census


def size(count: int) -> str:
    """Bytes in a unit that reads well.

    >>> size(1_002_910)
    '1.0 MB'
    """
    value, unit = float(count), "bytes"
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{count} bytes" if unit == "bytes" else f"{value:.1f} {unit}"


def many(count: int, word: str) -> str:
    """
    >>> many(1, "document"), many(2, "document")
    ('1 document', '2 documents')
    """
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def table(before: Mapping[str, Census], after: Mapping[str, Census]) -> list[str]:
    """Documents and attachments of each node, before and after."""
    rows = [("node", "documents before", "after", "attachments before", "after")]
    for node, then in before.items():
        now = after[node]
        rows.append((node, str(then.documents), str(now.documents), _attachments(then), _attachments(now)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  " + "   ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def pulls(job: Mapping[str, Any]) -> list[str]:
    """What moved, as the job reports it."""
    result = job.get("result") or {}
    lines = []
    for pull in result.get("pulls", []):
        lines.append(
            f"  {pull['target']:<9} pulled from {pull['source']:<9} "
            f"{many(int(pull['docs_written']), 'document') + ' written':<22} {float(pull.get('seconds') or 0):.2f} s"
        )
    if lines and not any(pull["docs_written"] for pull in result["pulls"]):
        lines.append("  nothing was left to carry: changes travel by themselves, and these had arrived already")
    lines += [f"  skipped {item['node']}: {item['reason']}" for item in result.get("skipped", [])]
    return lines


def verified(job: Mapping[str, Any]) -> str:
    """What a verify found."""
    result = job.get("result") or {}
    if result.get("equal"):
        rows = ", ".join(f"{node} {count}" for node, count in (result.get("documents") or {}).items())
        return f"equal on all nodes, leaf by leaf (documents compared, deleted ones too: {rows})"
    differing = (result.get("differing") or {}).get("count")
    return f"NOT equal: {differing} documents differ" if result.get("equal") is False else "still being replicated"


def backed_up(job: Mapping[str, Any], folder: Path) -> str:
    """What a backup saved, and where."""
    result = job["result"]
    kind = "a full one" if result["full"] else f"going on from {', '.join(result['parents'])}"
    held = f"{many(result['changed'], 'changed document')}, {many(result['attachments'], 'attachment')}"
    return f"{result['backup_id']} ({kind}) in {folder}: {many(result['databases'], 'database')}, {held}"


def drilled(job: Mapping[str, Any]) -> str:
    """What a restore drill compared."""
    leaves = sum(found["leaves"] for found in job["result"]["databases"].values())
    return f"restored on {job['result']['node']}, compared and dropped: {many(leaves, 'leaf revision')} as they were"


def set_up(job: Mapping[str, Any], database: str) -> str:
    """What setup did for one database, and how its changes travel from now on."""
    result = job.get("result") or {}
    told = (result.get("databases") or {}).get(database) or {}
    links = told.get("links") or {}
    created = ", ".join(told.get("created_on") or [])
    made = f"database made on {created}" if created else "database was on all nodes already"
    words = {
        "continuous": f"{many(sum(map(len, links.values())), 'continuous link')} "
        f"({many(len(links.get('created') or []), 'new one')})",
        "on-change": "these nodes have no replication scheduler: what changed is synced every few seconds",
        "off": "continuous replication is off",
    }
    mode = str(result.get("mode"))
    return f"{made}; {words.get(mode, mode)}"


def outcome(job: Mapping[str, Any]) -> str:
    """One line: which job, how it ended, how long it took (from its request to its end)."""
    taken = seconds_taken(job)
    words = f"{job['kind']} job {job['id']} {job['state']}"
    if taken is not None:
        words += f" in {taken:.2f} s"
    error = job.get("error")
    return f"{words}: {error['detail']}" if error else words


def seconds_taken(job: Mapping[str, Any]) -> float | None:
    start, end = _seconds(job.get("created_at")), _seconds(job.get("finished_at"))
    return None if start is None or end is None else end - start


def comparison(database: str, nodes: Mapping[str, Census], ids: Sequence[str]) -> list[str]:
    """Whether the nodes hold the same, in numbers."""
    first = next(iter(nodes.values()))
    if ids:
        shown = ", ".join(ids[:10]) + (", ..." if len(ids) > 10 else "")
        return [f"  {database}: NOT identical, {many(len(ids), 'document')} differ: {shown}"]
    held = [many(first.documents, "document")]
    held += [f"{first.conflicts} with a conflict"] if first.conflicts else []
    held += [f"{first.deleted} deleted"] if first.deleted else []
    held += [f"attachments: {_attachments(first)}"] if first.attachments else []
    return [f"  {database}: identical on {', '.join(nodes)}: {', '.join(held)}"]


def _attachments(census: Census) -> str:
    return f"{len(census.attachments)} ({size(census.attachment_bytes)})"


def _seconds(moment: Any) -> float | None:
    """A job's time: seconds since the epoch, or ISO 8601."""
    if isinstance(moment, int | float):
        return float(moment)
    if isinstance(moment, str):
        return datetime.fromisoformat(moment).timestamp()
    return None
