"""What the API answers, as docs/api.md has it."""

from __future__ import annotations

from typing import Any

NOW = 1_795_446_060.0  # 2026-11-23T15:01:00Z
ID = "019ab1c2-6f3e-7c44-9d5a-0b8f2d1e7a90"
BACKUP = "20261123T030000Z-1e7a90"
AT = "2026-11-23T15:00:00.000Z"
SYNCED = {"caught_up": True, "complete": True, "nodes": ["a", "b"], "skipped": [], "pulls": [{"docs_written": 3}]}


def job(state: str = "succeeded", **more: Any) -> dict[str, Any]:
    ended = state in {"succeeded", "failed", "cancelled"}
    return {
        "id": ID,
        "kind": "sync",
        "state": state,
        "database": "pdfs",
        "params": {"database": "pdfs"},
        "created_at": AT,
        "started_at": None if state == "queued" else AT,
        "finished_at": "2026-11-23T15:00:02.500Z" if ended else None,
        "attempts": 0 if state == "queued" else 1,
        "cancel_requested": False,
        "progress": None,
        "result": SYNCED if state == "succeeded" else None,
        "error": {"type": "unreachable", "detail": "a is away", "retryable": True, "context": {}}
        if state == "failed"
        else None,
        "links": {"self": f"/api/jobs/{ID}", "events": f"/api/jobs/{ID}/events"},
        **more,
    }


def progress(done: int | None, total: int | None, eta: float | None = None, phase: str = "gather") -> dict[str, Any]:
    return {"phase": phase, "done": done, "total": total, "unit": "changes", "eta_seconds": eta}


def link(**more: Any) -> dict[str, Any]:
    return {
        "database": "pdfs",
        "source": "primary",
        "target": "replica1",
        "mode": "continuous",
        "state": "running",
        "since": AT,
        "lag": 0,
        "last_moved_at": AT,
        "doc_write_failures": 0,
        "last_error": None,
        "error_kind": None,
        "remedy": None,
        "observed_at": AT,
        **more,
    }


def status(*links: dict[str, Any], **more: Any) -> dict[str, Any]:
    whole = {"observed_at": AT, "mode": "continuous", "links": list(links), "removed": {}, "security_differs": {}}
    return {**whole, "canary": None, "next": None, **more}


def node(name: str = "primary", state: str = "healthy", **more: Any) -> dict[str, Any]:
    known = {"since": AT, "reason": None, "latency_ms": 2.6, "version": "3.5.0", "lag": 0, "kind": "couchdb"}
    return {"name": name, "state": state, "url": "http://127.0.0.1:5985", "observed_at": AT, **known, **more}


def cluster(verdict: str = "healthy", *nodes: dict[str, Any]) -> dict[str, Any]:
    return {"status": verdict, "observed_at": AT, "nodes": list(nodes) or [node()]}


def system(verdict: str = "ok") -> dict[str, Any]:
    return {
        "status": verdict,
        "redis": {"ok": verdict != "unavailable", "detail": None},
        "workers": {"count": 2, "last_heartbeat": AT},
        "beat": {"last_tick": AT, "ok": True},
        "jobs": {"queued": 0, "running": 1},
    }


def event(number: int, **more: Any) -> dict[str, Any]:
    known = {"type": "node.state", "at": AT, "severity": "error", "detail": f"event {number}", "node": "replica1"}
    return {"id": f"1795446000123-{number}", **known, "database": None, "data": {}, **more}


def backup(**more: Any) -> dict[str, Any]:
    known: dict[str, Any] = {"readable": True, "why": None, "started_at": AT, "seconds": 2.0, "scope": ["*"]}
    figures = {"databases": 2, "documents": 5210, "stored_bytes": 1_500_000}
    return {"id": BACKUP, "good": True, "full": False, "verified": True, **known, **figures, **more}
