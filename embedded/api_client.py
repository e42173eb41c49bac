"""The system's API as the demo calls it: JSON in, JSON out, with a time-out."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from typing import Any

CALL_SECONDS = 70.0  # the API holds an answer for at most 60 s
JOB_SECONDS = 300.0
POLL_SECONDS = 0.25
ENDED = frozenset({"succeeded", "failed", "cancelled"})


class ApiError(RuntimeError):
    """The API refused, or did not answer; the message is meant for people."""


class ApiClient:
    def __init__(self, url: str) -> None:
        self.url = url

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        """Status and JSON of the answer, problem documents included. Raises ApiError where nothing answers."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=CALL_SECONDS) as answer:
                return int(answer.status), _json(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _json(error.read())
        except (OSError, ValueError) as error:
            raise ApiError(f"{method} {path}: the API does not answer ({error})") from error

    def takes_jobs(self) -> bool:
        """Whether Redis answers the API and a worker is there (GET /api/health says 503 where not)."""
        try:
            return self.call("GET", "/api/health")[0] == 200
        except ApiError:
            return False

    def run_job(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Start a job, wait for its end, return it. Raises ApiError where it was refused or did not end."""
        status, job = self.call("POST", path, body)
        if status not in {200, 202}:
            raise ApiError(f"POST {path}: {status} {job.get('title', '')}: {job.get('detail', '')}")
        deadline = time.monotonic() + JOB_SECONDS
        while job["state"] not in ENDED:
            if time.monotonic() > deadline:
                raise ApiError(f"job {job['id']} is still {job['state']} after {JOB_SECONDS:g} s")
            time.sleep(POLL_SECONDS)
            _, job = self.call("GET", f"/api/jobs/{job['id']}")
        return job


def _json(body: bytes) -> dict[str, Any]:
    found = json.loads(body) if body else {}
    return found if isinstance(found, dict) else {"value": found}
