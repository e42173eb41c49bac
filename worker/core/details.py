"""What a node tells of its work, from CouchDB's own figures to ours. Pure.

Each function takes one answer and raises (KeyError, TypeError, ValueError, AttributeError) where that has another
shape: the caller makes one error of them all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SYSTEM_DATABASES = ("_users", "_replicator", "_global_changes")
_MEMORY = ("processes", "atom", "binary", "code", "ets", "other")  # the other keys are parts of these


@dataclass(frozen=True)
class Details:
    """Ready for JSON; None is unknown.

    `active_tasks`: {counts: {type: how many}, slowest: {type, database, progress} or None}. `replication_jobs`:
    {running, pending, crashed, total}. `load`: {run_queue, messages, memory_bytes}. `disk`: see worker.core.disk.
    """

    active_tasks: Mapping[str, Any] | None = None
    replication_jobs: Mapping[str, int] | None = None
    load: Mapping[str, int] | None = None
    disk: Mapping[str, Any] | None = None
    system_databases_missing: Sequence[str] | None = None


def active_tasks(said: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Of `_active_tasks`. Only what has an end (an index, a compaction) tells its progress, in percent."""
    tasks = list(said)
    slowest = min((task for task in tasks if task.get("progress") is not None), key=_progress, default=None)
    return {
        "counts": dict(sorted(Counter(str(task["type"]) for task in tasks).items())),
        "slowest": slowest
        and {"type": str(slowest["type"]), "database": _database(slowest), "progress": _progress(slowest)},
    }


def _progress(task: Mapping[str, Any]) -> int:
    return int(task["progress"])


def _database(task: Mapping[str, Any]) -> str | None:
    """Without the shard that it is about: shards/80000000-ffffffff/NAME.1795548206"""
    name = task.get("database")
    if not isinstance(name, str) or not name.startswith("shards/"):
        return name
    return name.split("/", 2)[-1].rpartition(".")[0]


def replication_jobs(said: Mapping[str, Any]) -> dict[str, int]:
    """Of `_node/_local/_stats/couch_replicator/jobs`: gauges, which cost the node nothing."""
    return {state: int(said[state]["value"]) for state in ("running", "pending", "crashed", "total")}


def load(said: Mapping[str, Any]) -> dict[str, int]:
    """Of `_node/_local/_system`. `run_queue`: processes that wait for a core: far above the count of cores it is
    short of CPU. `messages`: unread, in all mailboxes; of a kind with many processes the fullest counts."""
    queues = said["message_queues"].values()
    return {
        "run_queue": int(said["run_queue"]),
        "messages": sum(int(found.get("max", 0)) if isinstance(found, Mapping) else int(found) for found in queues),
        "memory_bytes": sum(int(said["memory"].get(part, 0)) for part in _MEMORY),
    }


def uptime(said: Mapping[str, Any]) -> float:
    """Of `_node/_local/_system`: seconds."""
    return float(said["uptime"])


def system_databases_missing(names: Iterable[str]) -> list[str]:
    there = set(names)
    return [name for name in SYSTEM_DATABASES if name not in there]
