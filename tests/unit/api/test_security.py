"""/api/security/report: null before the first, then what was kept; and asking for one."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tasks.jobs import Kind
from tests.unit.api.world import TOKEN, World, settings
from tests.unit.worker.core.audit.seen import NODE, OWN, node
from worker.core.audit.observed import Anonymous
from worker.core.audit.report import report

PATH = "/api/security/report"


@pytest.fixture(scope="module")
def kept_world() -> World:
    return World()


@pytest.fixture
def world(kept_world: World) -> World:
    kept_world.redis.flushall()
    kept_world.published.clear()
    return kept_world


def party(world: World) -> dict[str, Any]:
    open_ = node(anonymous=Anonymous(admin=True, welcomed=True, names=True), version="3.2.1")
    found = report([NODE, open_], OWN, world.now - 90)
    world.seen.audits.save(found, {}, [])
    return found


def test_before_the_first_report_nothing_is_known(world: World) -> None:
    answer = world.client.get(PATH)

    assert answer.status_code == 200
    assert set(answer.get_json().values()) == {None}


def test_the_last_report_is_answered_as_it_was_made(world: World) -> None:
    found = party(world)

    said = world.client.get(PATH).get_json()

    assert said.pop("observed_at") == "2026-11-23T14:58:30.123Z"
    found.pop("observed_at")
    assert said == found
    assert said["counts"]["critical"] == 2


def test_asking_for_one_makes_a_job(world: World) -> None:
    answer = world.client.post(PATH)

    job = answer.get_json()
    assert answer.status_code == 202
    assert (job["kind"], job["params"], job["database"]) == (Kind.AUDIT, {}, None)
    assert answer.headers["Location"] == f"/api/jobs/{job['id']}"
    assert world.published == [job["id"]]
    again = world.client.post(PATH, json={}).get_json()
    assert (again["id"], again["deduplicated"]) == (job["id"], True)


def test_waiting_for_it_answers_with_the_report(world: World) -> None:
    world.on_publish = lambda job_id, request: world.finish(job_id, {"findings": []})

    answer = world.client.post(PATH, json={"wait": True})

    world.on_publish = lambda job_id, request: None
    assert answer.status_code == 200
    assert answer.get_json()["result"] == {"findings": []}


@pytest.mark.parametrize("body", [{"node": "a"}, {"wait": "yes"}, []])
def test_a_wrong_body_is_refused(world: World, body: Any) -> None:
    assert world.client.post(PATH, json=body).status_code == 422
    assert world.published == []


def test_it_takes_no_query(world: World) -> None:
    assert world.client.get(f"{PATH}?node=a").status_code == 422


def test_it_needs_a_token() -> None:
    client = World(settings=settings(api_tokens=TOKEN)).client
    assert client.get(PATH).status_code == 401
    assert client.post(PATH).status_code == 401


def test_without_redis_it_is_503(world: World) -> None:
    assert world.without_redis().get(PATH).status_code == 503


def figures(world: World) -> dict[tuple[str, str | None], float]:
    families = text_string_to_metric_families(world.client.get("/metrics").text)
    samples = [sample for family in families for sample in family.samples if "security" in sample.name]
    return {(sample.name, sample.labels.get("severity")): sample.value for sample in samples}


def test_figures_of_the_last_report(world: World) -> None:
    assert figures(world) == {}
    party(world)

    found = figures(world)

    assert found.pop(("nbr_security_report_age_seconds", None)) == pytest.approx(90)
    assert found.pop(("nbr_security_not_checked", None)) == 2
    assert {severity: value for (name, severity), value in found.items()} == {
        "critical": 2,
        "high": 0,
        "medium": 3,
        "low": 3,
        "info": 0,
    }
