"""docs/operations.md is what people read when something is broken, so it has to be true of the code: its calls, fields,
settings, states and figures are looked up here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from dotenv import dotenv_values
from pydantic import BaseModel

from api import schemas
from config.settings import Settings
from tasks import health, policy, rejoin, rejoining
from tests.unit.api.world import World
from worker.core import remedies
from worker.core.events import ABOUT, EventType
from worker.core.health import FLAPPING, MOST_DOUBLINGS, Failure, NodeState
from worker.core.lag import LinkState
from worker.core.plan import Plan
from worker.couch import server
from worker.ops import rejoin as rejoin_steps
from worker.ops.rejoin import Rejoined
from worker.ops.setup_result import SetupResult
from worker.ops.sync_result import SyncResult
from worker.ops.verify_result import VerifyResult

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
CODE = re.findall(r"```sh\n(.*?)```", re.sub(r"^ +", "", GUIDE, flags=re.MULTILINE), re.DOTALL)
ON_CHANGE = {"in-step", "behind", "failing", "unknown"}  # api/status.py
BODIES: dict[str, type[BaseModel]] = {
    "/api/replication/sync": schemas.SyncRequest,
    "/api/replication/setup": schemas.SetupRequest,
    "/api/replication/verify": schemas.VerifyRequest,
    "/api/nodes/{name}/maintenance": schemas.MaintenanceRequest,
    "/api/nodes/{name}/rejoin": schemas.RejoinRequest,
}


def _explained(header: str) -> set[str]:
    """What stands in the first column of the table with this header."""
    (table,) = re.findall(rf"^\| {re.escape(header)} \| .*\n((?:\|.*\n)+)", GUIDE, re.MULTILINE)
    cells = re.findall(r"^\| ([^|]+?) \|", table, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([a-z][a-z. -]*)`", cell)}


@cache
def _document() -> dict[str, Any]:
    found: dict[str, Any] = World().client.get("/openapi.json").get_json()
    return found


def _template(path: str) -> str:
    """An address of an example as /openapi.json writes it."""
    path = re.sub(r"/nodes/(NAME|\$node|replica\d|primary)", "/nodes/{name}", path)
    path = re.sub(r"/webhooks/ID", "/webhooks/{webhook_id}", path)
    return re.sub(r"/jobs/(ID|\$ID)", "/jobs/{job_id}", path)


def _calls() -> Iterator[tuple[str, str, str]]:
    """(method, path, query) of every call of our API in the guide."""
    for method, path, query in re.findall(r"\b(GET|POST|DELETE) (/api/[\w/$-]*)(?:\?([^`\s\"]*))?", GUIDE):
        yield method, path, query
    for curl in re.findall(r"curl [^`]*?\$API(?:/[^`\n]*)", GUIDE):
        # what is asked for comes after the last curl that is named before it
        call = curl.rpartition("curl ")[2]
        method = (re.search(r"-X (\w+)", call) or [None, "GET"])[1]
        (path, query) = re.search(r"\$API(/api/[\w/$-]*)(?:\?([^\"'`\s]*))?", call).groups("")  # type: ignore[union-attr]
        yield str(method), path, query
    for path in re.findall(r"(?<![\w$A-Z] )`(/api/[\w/-]+)`", GUIDE):
        yield "GET", path, ""


CALLS = sorted(set(_calls()))


def test_calls_are_found() -> None:
    assert len(CALLS) > 20
    assert ("POST", "/api/nodes/replica2/maintenance", "") in CALLS
    assert ("GET", "/api/events", "type=node.state&node=replica1") in CALLS


@pytest.mark.parametrize(("method", "path", "query"), CALLS)
def test_every_call_exists_with_its_parameters(method: str, path: str, query: str) -> None:
    operation = _document()["paths"][_template(path)][method.lower()]
    known = {parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "query"}
    assert {pair.partition("=")[0] for pair in query.split("&") if pair} <= known


def test_bodies_are_taken() -> None:
    """Of every example that sends one."""
    found = 0
    for block in [*CODE, *re.findall(r"`(curl [^`]+)`", GUIDE)]:
        for path, body in re.findall(r"\$API(/api/\S+)[^$]*?-d '(\{.*?\})'", block, re.DOTALL):
            BODIES[_template(path)].model_validate(json.loads(body))
            found += 1
    assert found >= 4


@pytest.mark.parametrize("name", sorted(set(re.findall(r"\b[A-Z]{2,}(?:_[A-Z]+)+\b", GUIDE))))
def test_every_setting_that_it_names_exists(name: str) -> None:
    assert name.lower() in Settings.model_fields or name in dotenv_values(ROOT / ".env.example")


def test_the_defaults_it_tells_are_the_defaults() -> None:
    told = re.findall(r"^\| `([A-Z_]+)` \| ([\d,.]+|`\w+`)", GUIDE.partition("## Settings")[2], re.MULTILINE)
    assert len(told) > 10
    for name, value in told:
        default = Settings.model_fields[name.lower()].default
        assert str(default).lower().removesuffix(".0") == value.replace(",", "").strip("`"), name
    for name, value in re.findall(r"`([A-Z_]+)` \((\d[\d,]*)", GUIDE):
        assert float(value.replace(",", "")) == Settings.model_fields[name.lower()].default, name


@pytest.mark.parametrize(
    ("header", "names"),
    [
        ("`failure`", {*Failure}),
        ("state", {*NodeState}),
        ("type", {*EventType}),
        ("kind", {*remedies._TOLD} - {"missing"} | {"source-missing", "target-missing", "database-missing", "stalled"}),
    ],
)
def test_every_failure_state_event_and_trouble_is_explained_and_no_other(header: str, names: set[str]) -> None:
    assert _explained(header) == {str(name) for name in names}


def test_every_state_of_a_link_is_explained() -> None:
    assert _explained("`state` of a link") == {*LinkState, *ON_CHANGE} | {"lag"}


@pytest.mark.parametrize("state", health.SEVERITY)
def test_severities_are_told_right(state: NodeState) -> None:
    (row,) = re.findall(r"^\| `node.state` \| (.*?) \|", GUIDE, re.MULTILINE)
    told = {
        state: severity for severity, states in re.findall(r"`(error|warning)`(.*?)(?:;|$)", row) for state in
        re.findall(r"`([a-z]+)`", states.partition("else")[0])
    }  # fmt: skip
    assert told.get(state.value, "info") == health.SEVERITY[state]


def test_the_phases_of_a_rejoin_are_told() -> None:
    """As its progress tells them."""
    source = "".join(Path(str(module.__file__)).read_text(encoding="utf-8") for module in (rejoin, rejoin_steps))
    phases = set(re.findall(r"(?:\.report|_each_database)\(\s*\"([a-z ]+)\"", source))
    assert _explained("phase") == phases


def _properties(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        yield from schema.get("properties", {}) if isinstance(schema.get("properties"), dict) else ()
        for value in schema.values():
            yield from _properties(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _properties(value)


@cache
def _known_fields() -> set[str]:
    """Of all answers: those of the schemas, and those that jobs and events have inside."""
    setup = SetupResult([], {}, Plan(), None)
    results = [Rejoined("").as_json(), SyncResult("").as_json(), VerifyResult("").as_json(), setup.as_json()]
    inside = {name for result in results for name in result} | setup.counts().keys()
    inside |= {"set_up", "links_caught_up", "counts", "failures"}  # tasks/rejoin.py
    inside |= {name for about in ABOUT.values() for name in about.fields}
    inside |= {"source", "target", "node", "reason", "id", "ids", "count", "truncated", "nodes", "asked"}
    inside |= {"primary", "replica1", "replica2", "replication"}  # names of nodes, and a type of task
    return {*_properties(_document()["components"]["schemas"]), *inside}


def test_every_field_of_an_answer_exists() -> None:
    answers = re.findall(r"```json\n(.*?)```", GUIDE, re.DOTALL)
    assert len(answers) >= 4
    fields = {name for answer in answers for name in re.findall(r'"(\w+)":', answer)}
    assert fields <= _known_fields()


def test_every_field_that_is_named_with_its_parents_exists() -> None:
    dotted = set(re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)`", GUIDE)) - {kind.value for kind in EventType}
    dotted = {name for name in dotted if not name.endswith((".cfg", ".md", ".yml"))}
    assert "load.run_queue" in dotted
    assert {part for name in dotted for part in name.split(".")} <= _known_fields()


def test_the_scripts_in_it_can_be_read() -> None:
    scripts = re.findall(r"python3 -c '(.*?)'", GUIDE, re.DOTALL)
    assert len(scripts) >= 2
    for script in scripts:
        compile(re.sub(r"^   (?=\S|  )", "", script.strip("\n"), flags=re.MULTILINE).strip(), "guide", "exec")


@pytest.mark.parametrize("name", re.findall(r"\]\(([a-z./-]+\.md)\)", GUIDE))
def test_every_page_it_points_to_exists(name: str) -> None:
    assert (ROOT / "docs" / name).is_file()


@pytest.mark.parametrize("target", re.findall(r"\bmake ([a-z-]+)", GUIDE))
def test_every_make_target_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize(
    ("figure", "words"),
    [
        (health.LOOK_AGAIN, "a node in doubt again {:g} s later"),
        (rejoining.FIRST_PAUSE, "asked for again after {:g} s"),
        (rejoining.LONGEST_PAUSE / 60, "up to {:g} minutes"),
        (rejoin.LINKS_PATIENCE, "waits at most {:g} s until the links"),
        (rejoin_steps.TRIES, "`still lags after {} syncs`"),
        (rejoin_steps.AT_ONCE, "at most {} at a time"),
        (2**MOST_DOUBLINGS, "up to {} times"),
        (server.HOLD_OFF / 60, "not sent again for {:g} minutes"),
        (policy.LONGEST_DELAY / 60, "a few seconds to {:g} minutes"),
        (Settings.model_fields["health_failures"].default + FLAPPING, "{} failures among the last ten looks"),
    ],
)
def test_figures_are_those_of_the_code(figure: float, words: str) -> None:
    assert words.format(figure) in " ".join(GUIDE.split())
