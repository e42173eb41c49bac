"""/metrics as Prometheus reads it, and a world in which everything is known."""

from __future__ import annotations

from typing import Any

from flask.testing import FlaskClient
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tasks.jobs import Kind, Request, State
from tests.unit.api.backing import backup, read
from tests.unit.api.world import World, link, settings
from worker.core.conflicts import Counter
from worker.core.figures import Asked, Figures
from worker.ops.backup.notes import Drill

Scraped = dict[str, dict[tuple[str, ...], float]]


def families(client: FlaskClient, **options: Any) -> dict[str, Metric]:
    answer = client.get("/metrics", **options)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    found = list(text_string_to_metric_families(answer.text))
    assert len({family.name for family in found}) == len(found), "a figure is there twice"
    return {family.name: family for family in found}


def scrape(client: FlaskClient, **options: Any) -> Scraped:
    """Name of the sample -> values of its labels, in the order of their names -> value."""
    found: Scraped = {}
    for family in families(client, **options).values():
        for sample in family.samples:
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def full() -> World:
    """Nothing is unknown in it."""
    world = World(settings=settings(backup_url="memory://", metrics_databases="*", replication_mode="auto"))
    now = world.now
    read(world, backup(24, "pdfs", drill=Drill(True, now - 600, "replica1", 1.5, 2, None)))
    world.backups.note("watched_since", now - 7_200)
    world.save_sweep({"pdfs": ["primary", "replica1"]})
    sweep = world.seen.sweep() or {}
    jobs = {"running": 3, "pending": 1, "crashed": 0, "total": 4}
    for node in sweep["nodes"]:
        node |= {"replication_jobs": jobs, "disk": {"file_bytes": 4_096}}
    world.seen.save_sweep(sweep, {"pdfs": ["primary", "replica1"]})
    asked = Asked(("pdfs",), (Figures("pdfs", 10, 1, 4_096, 2_048, "mark"),), last=True)
    world.seen.figures.save("primary", asked, ["pdfs"], now)
    world.seen.conflicts.save(
        "pdfs", Counter("primary", None, None, None, ids=frozenset({"one"}), through="mark", ended_at=now), whole=True
    )
    world.save_links(link(now), lag={"primary": 0, "replica1": 3, "replica2": None})
    world.save_reconcile()
    world.save_pass(changed={"moved": ["primary", "replica1"]}, lag={"moved": {"primary": 2}}, in_step_count=5)
    arrival = {"source": "primary", "target": "replica1", "seconds": 0.25, "precision": 0.1}
    world.replication.save_canary({"arrivals": [{**arrival, "overdue": None, "error": None}], "observed_at": now - 5})
    report = {"counts": {"high": 1, "low": 2}, "checked": [{"unknown": [1]}], "observed_at": now - 90}
    world.seen.audits.save(report, {}, [])
    world.alive()
    world.seen.worker_alive("control-1@host", now)
    feeds = {"primary": now - 5, "replica1": None}
    world.replication.watcher_alive("watcher-1@host", {"at": now, "leads": True, "feeds": feeds})
    world.depths = {"sync": 2, "control": 0}
    _work(world)
    world.client.get("/api/jobs")
    return world


def _work(world: World) -> None:
    tallies = world.workload.tallies
    ended = world.queued("ended")
    world.finish(ended.id)
    job = world.store.get(ended.id)
    assert job is not None
    tallies.job_ended(job)
    world.start(world.jobs.submit(Request(Kind.VERIFY, "pdfs", {"database": "pdfs"})).job.id)
    world.queued("waits")
    tallies.change_carried(0.3)
    world.workload.dirty.mark(["moved"], world.now - 30)
    assert job.state is State.SUCCEEDED
