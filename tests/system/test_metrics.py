"""/metrics of a running system: what a sync, a job that failed, a change and a backup leave in it, and a real
Prometheus that scrapes it with the shipped configuration and a token that may only look."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from prometheus_client.parser import text_string_to_metric_families

from api.metrics import FIGURES
from config.celery import CONTROL_QUEUE, JOB_QUEUES, ON_CHANGE_QUEUE
from embedded import promtool
from embedded.folders import PROJECT
from embedded.ports import any_free
from embedded.process import Command, Process
from tests.system.conftest import Fresh
from tests.system.couch import Couch
from tests.system.harness import System, kill_dash_nine, wait_until

pytestmark = pytest.mark.system

ADMIN = f"token-{secrets.token_hex(16)}"
VIEW = f"token-{secrets.token_hex(16)}"
NODES = ("primary", "replica1", "replica2")
SHIPPED = PROJECT / "monitoring" / "prometheus"


@pytest.fixture(scope="module")
def prefix(fresh: Fresh) -> str:
    """What the names of these tests' databases begin with: nodes may be somebody's own."""
    return fresh("metrics-")


@pytest.fixture(scope="module")
def measured(nodes: list[Couch], prefix: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    settings = {
        "API_TOKENS": f"{ADMIN},prometheus=view:{VIEW}",
        "CONTINUOUS_REPLICATION": "true",
        "REPLICATION_MODE": "on-change",
        "REPLICATION_RETRY_SECONDS": "1",
        "REPLICATION_INCLUDE": f"{prefix}*",
        "CANARY_SECONDS": "0",
        "BACKUP_URL": f"file://{tmp_path_factory.mktemp('backups')}",
        "BACKUP_INCLUDE": f"{prefix}*",
        "BACKUP_SCHEDULE": "off",
        "METRICS_DATABASES": f"{prefix}*",
    }
    with System(nodes, tmp_path_factory.mktemp("metrics"), settings) as made:
        made.start("worker", "worker", "control", "beat", "api")
        yield made


def scrape(system: System) -> dict[tuple[str, ...], float]:
    """(name of the sample, values of its labels in the order of their names) -> value."""
    answer = requests.get(f"{system.api.url}/metrics", headers={"Authorization": f"Bearer {VIEW}"}, timeout=10)
    assert answer.status_code == 200, answer.text
    samples = [sample for family in text_string_to_metric_families(answer.text) for sample in family.samples]
    return {(sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value for sample in samples}


def figure(system: System, *key: str) -> Callable[[], float | None]:
    return lambda: scrape(system).get(key)


def wait_for(system: System, value: float, *key: str) -> None:
    wait_until(lambda: figure(system, *key)() == value, f"{key} is {value}", tell=lambda: scrape(system))


def test_a_sync_a_failed_job_and_a_backup_are_counted(
    measured: System, nodes: list[Couch], fresh: Fresh, prefix: str
) -> None:
    name = fresh(f"{prefix}-counted-", on=nodes[:1])
    nodes[0].fill(name, 5)
    before = scrape(measured)
    api = measured.api

    assert api.sync(name, wait=True).json()["state"] == "succeeded"
    made = api.call("POST", "/api/backups", json={"wait": True}).json()
    assert made["state"] == "succeeded", made
    path = f"/api/backups/{made['result']['backup_id']}/restore"
    assert api.call("POST", path, json={"database": name, "as": name, "wait": True}).json()["state"] == "failed"

    # a job is counted a moment after its end was written
    for kind, state in (("sync", "succeeded"), ("backup", "succeeded"), ("restore", "failed")):
        key = ("nbr_jobs_ended_total", kind, state)
        wait_for(measured, before[key] + 1, *key)
        assert scrape(measured)["nbr_job_duration_seconds_bucket", kind, "+Inf", state] == before[key] + 1
    found = scrape(measured)
    assert found["nbr_backup_last_failed",] == 0
    assert found["nbr_backups",] == before.get(("nbr_backups",), 0) + 1
    assert 0 < found["nbr_backup_age_seconds",] < 120
    assert found["nbr_backup_documents",] >= 5
    assert found["nbr_api_request_duration_seconds_count", "POST", "/api/replication/sync", "2xx"] >= 1


def test_nodes_processes_queues_and_schedules_are_told(measured: System) -> None:
    for schedule in ("sweep", "links", "reconcile", "drift"):  # each is done for the first time
        wait_for(measured, 0, "nbr_schedule_overdue_seconds", schedule)
    found = scrape(measured)

    assert found["nbr_redis_up",] == found["nbr_broker_up",] == 1
    assert {node: found["nbr_node_state", node, "healthy"] for node in NODES} == dict.fromkeys(NODES, 1)
    assert all(0 < found["nbr_node_latency_seconds", node] < 5 for node in NODES)
    processes = {process: found["nbr_processes", process] for process in ("worker", "control", "watcher")}
    assert processes == {"worker": 2, "control": 1, "watcher": 0}
    queues = {key[1] for key in found if key[0] == "nbr_queue_messages"}
    assert queues == {*JOB_QUEUES, ON_CHANGE_QUEUE, CONTROL_QUEUE}
    assert {key[0] for key in found if not key[0].startswith("nbr_")} == set()
    known = {figure.full_name for figure in FIGURES}
    assert {key[0].removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") for key in found} <= known


def test_a_change_that_was_carried_is_counted_with_its_delay(
    measured: System, nodes: list[Couch], fresh: Fresh, prefix: str
) -> None:
    name = fresh(f"{prefix}-changed-", on=nodes)
    wait_until(lambda: measured.parts.seen.synced(name), f"{name} is in step", tell=lambda: scrape(measured))
    before = scrape(measured)["nbr_on_change_delay_seconds_count",]

    nodes[1].put(name, {"_id": "one"})

    def carried() -> bool:
        return (figure(measured, "nbr_on_change_delay_seconds_count")() or 0) > before

    wait_until(carried, "the change is counted", tell=lambda: scrape(measured))
    assert nodes[2].has(name, "one")
    wait_until(lambda: ("nbr_on_change_oldest_age_seconds",) not in scrape(measured), "nothing waits any more")
    wait_for(measured, 0, "nbr_database_lag_changes", name, "replica2")


def test_what_lies_on_a_queue_is_told_while_no_worker_takes_it(
    nodes: list[Couch], fresh: Fresh, tmp_path: Path
) -> None:
    name = fresh(on=nodes[:1])
    with System(nodes, tmp_path / "queued", {"API_TOKENS": f"{ADMIN},prometheus=view:{VIEW}"}) as system:
        system.start("control", "api")
        wait_until(system.parts.seen.database_names, "the databases were looked at")
        system.api.start_sync(name)

        found = scrape(system)
        assert (found["nbr_queue_messages", "sync"], found["nbr_jobs_queued", "sync"]) == (1, 1)
        assert found["nbr_jobs_oldest_queued_age_seconds", "sync"] >= 0
        assert found["nbr_processes", "worker"] == 0
        system.kill_redis()
        assert scrape(system)["nbr_redis_up",] == 0
        assert ("nbr_jobs_queued", "sync") not in scrape(system)
        system.start_redis()
        wait_for(system, 1, "nbr_jobs_queued", "sync")


# --- a real Prometheus


@pytest.fixture
def prometheus(measured: System, tmp_path: Path) -> Iterator[Callable[[str], Any]]:
    """With the shipped files; only the address and the token's path are others, and all goes faster."""
    program = promtool.find("prometheus")
    if program is None:
        pytest.skip(promtool.MISSING)
    configuration = yaml.safe_load((SHIPPED / "prometheus.yml").read_text(encoding="utf-8"))
    configuration["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    (job,) = configuration["scrape_configs"]
    (tmp_path / "token").write_text(f"{VIEW}\n", encoding="utf-8")
    job["authorization"]["credentials_file"] = str(tmp_path / "token")
    job["static_configs"] = [{"targets": [f"127.0.0.1:{measured.port}"]}]
    configuration["rule_files"] = [str(SHIPPED / "rules.yml")]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(configuration), encoding="utf-8")
    address = f"127.0.0.1:{any_free()}"
    argv = [
        str(program),
        f"--config.file={tmp_path / 'prometheus.yml'}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address={address}",
    ]
    process = Process(Command("prometheus", argv), tmp_path / "prometheus.log")
    process.start()

    def ask(path: str) -> Any:
        answer = requests.get(f"http://{address}/api/v1/{path}", timeout=5)
        answer.raise_for_status()  # 503 while it starts
        return answer.json()["data"]

    try:
        wait_until(lambda: ask("targets")["activeTargets"], "Prometheus runs", tell=process.last_lines)
        yield ask
    finally:
        process.kill()


def test_a_prometheus_scrapes_it_with_a_token_that_may_only_look(
    measured: System, prometheus: Callable[[str], Any]
) -> None:
    def target() -> Any:
        return prometheus("targets")["activeTargets"][0]

    wait_until(lambda: target()["health"] == "up", "the target is up", tell=target)

    def state() -> dict[str, tuple[str, str]]:
        (group,) = prometheus("rules")["groups"]
        return {rule["name"]: (rule["health"], rule["state"]) for rule in group["rules"]}

    wait_until(lambda: {health for health, _ in state().values()} == {"ok"}, "all alerts were looked at", tell=state)
    assert state()["NbrApiDown"][1] == state()["NbrNodeDown"][1] == state()["NbrNoWorker"][1] == "inactive"
    (found,) = prometheus('query?query=nbr_processes{process="worker"}')["result"]
    assert found["value"][1] == "2"

    kill_dash_nine(measured.processes["api"])
    wait_until(lambda: state()["NbrApiDown"][1] == "pending", "its silence is noticed", tell=state)
