"""Schemathesis asks the API everything its own document allows, and much that it does not.

In this process (WSGI) on a job store of fakeredis, with a worker that ends each job at once, so that no
generated request waits for anything.
"""

from __future__ import annotations

import re
import time
import uuid
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings

from api.webhook_schemas import MOST_CHARACTERS
from tests.unit.api.world import BEARER, TOKEN, World
from tests.unit.api.world import settings as api_settings
from worker.core.names import is_node_name

pytestmark = pytest.mark.system


def _world() -> World:
    world = World(api_settings(api_tokens=TOKEN, secret_key="k" * 32))
    world.on_publish = lambda job_id, request: world.finish(job_id)
    world.look = lambda database: (["primary"] if len(database) % 2 else [], [])
    world.now = time.time()
    world.alive()
    world.databases("pdfs", "categories")
    standing = {"state": "healthy", "reason": None, "lag": 0, "way": "ready", "way_reason": None}
    standing |= {"observed_at": world.now, "lag_observed_at": world.now}
    world.seen.save_standings({node.name: standing for node in world.settings.nodes})
    return world


WORLD = _world()
schema = schemathesis.openapi.from_wsgi("/openapi.json", WORLD.app, headers=BEARER)
schema = schema.exclude(path="/api/stream")  # which lasts for a minute (tests/unit/api/test_stream.py)
BOUNDS = settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
IDEMPOTENCY_KEY = "Idempotency-Key"
LONGEST_CURSOR = 1_000


def _is_url(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MOST_CHARACTERS and bool(re.fullmatch("https?://[!-~]+", value))


@schemathesis.hook
def before_call(_context: schemathesis.HookContext, case: Any, _kwargs: dict[str, Any]) -> None:
    """Keys that can be used are made unlike each other, nodes that could be are those of the world, no node is taken
    out, and selectors and the URLs of receivers are plain: a key for two requests is 422, an unknown node too, a node
    that is not ready 503, and rightly; and what Mango takes, which host is public, and which cursor an answer had, no
    schema can say."""
    key = (case.headers or {}).get(IDEMPOTENCY_KEY)
    if isinstance(key, str) and re.fullmatch(r"[\x20-\x7e]{1,255}", key):
        case.headers[IDEMPOTENCY_KEY] = uuid.uuid4().hex
    if isinstance(case.body, dict) and case.body.get("on") is True:
        case.body["on"] = False
    if isinstance(case.body, dict) and _is_url(case.body.get("url")):
        case.body["url"] = "https://hook.example.com/token"
    if isinstance(case.body, dict) and isinstance(case.body.get("selector"), dict) and case.body["selector"]:
        case.body["selector"] = {"kind": "note"}
    cursor = (case.query or {}).get("cursor")
    if case.path == "/api/databases" and isinstance(cursor, str) and 0 < len(cursor) <= LONGEST_CURSOR:
        del case.query["cursor"]
    nodes = case.body.get("nodes") if isinstance(case.body, dict) else None
    if isinstance(nodes, list) and all(isinstance(name, str) and is_node_name(name) for name in nodes):
        known = [node.name for node in WORLD.settings.nodes]
        case.body["nodes"] = known[: len(nodes)] if len(set(nodes)) == len(nodes) else nodes


@schema.auth()
class Bearer:
    def get(self, _case: Any, _context: schemathesis.AuthContext) -> str:
        return BEARER["Authorization"]

    def set(self, case: Any, data: str, _context: schemathesis.AuthContext) -> None:
        case.headers["Authorization"] = data


@schema.parametrize()
@BOUNDS
def test_the_api_keeps_to_its_document(case: Any) -> None:
    case.call_and_validate()


# requests that follow from answers: a job that a POST made is looked at, followed, cancelled
TestFlow = schema.as_state_machine().TestCase
TestFlow.settings = settings(BOUNDS, stateful_step_count=6)
