"""/metrics as a whole: docs/metrics.md tells of every figure and of no other, its text is what Prometheus reads, and it
stays small however much there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from redis.connection import Encoder, PythonRespSerializer

from api.metrics import FIGURES
from api.metrics.databases import MOST
from tests.unit.api.metrics.scraped import families, full, scrape
from tests.unit.api.world import World, link, settings

PACKER = PythonRespSerializer(6_000, Encoder("utf-8", "strict", False).encode)  # in pieces of so many bytes
GUIDE = (Path(__file__).parents[4] / "docs" / "metrics.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(nbr_\w+)` \| (\w+) \| ([^|]*) \| ([^|]+) \|$", re.MULTILINE)
TOLD = {
    name: (kind, tuple(re.findall(r"`(\w+)`", labels)), meaning) for name, kind, labels, meaning in ROW.findall(GUIDE)
}
# https://prometheus.io/docs/practices/naming/ : base units, at the end of the name
OTHER_UNITS = re.compile(r"_(ms|milliseconds|minutes|hours|days|kb|mb|percent)(_|$)")


def base(name: str) -> str:
    """A family's name as the parser tells it."""
    return name.removesuffix("_total")


def test_the_guide_tells_of_every_figure_and_of_no_other() -> None:
    assert {figure.full_name: (figure.type, figure.labels, figure.meaning) for figure in FIGURES} == TOLD


def test_where_all_is_known_every_figure_is_there_as_it_is_told() -> None:
    found = families(full().client)

    assert found.keys() == {base(figure.full_name) for figure in FIGURES}
    for figure in FIGURES:
        family = found[base(figure.full_name)]
        assert (family.type, family.documentation) == (figure.type, figure.meaning)
        for sample in family.samples:
            assert sample.labels.keys() - {"le"} == {*figure.labels}, sample


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.name)
def test_names_are_as_prometheus_wants_them(figure) -> None:  # type: ignore[no-untyped-def]
    assert re.fullmatch(r"nbr_[a-z][a-z_]*[a-z]", figure.full_name)
    assert (figure.type == "counter") == figure.full_name.endswith("_total")
    assert not OTHER_UNITS.search(figure.full_name)
    assert figure.type != "histogram" or figure.full_name.endswith("_seconds")


def test_histograms_are_whole() -> None:
    for family in families(full().client).values():
        if family.type != "histogram":
            continue
        buckets = [sample for sample in family.samples if sample.name.endswith("_bucket")]
        counts = [sample for sample in family.samples if sample.name.endswith("_count")]
        assert buckets
        assert counts
        for count in counts:
            mine = [one for one in buckets if {**one.labels, "le": ""} == {**count.labels, "le": ""}]
            assert [one.value for one in mine] == sorted(one.value for one in mine)
            assert (mine[-1].labels["le"], mine[-1].value) == ("+Inf", count.value)


def test_what_is_not_known_is_not_there(world: World) -> None:
    found = scrape(world.client)

    # what it knows by asking now: that nothing waits, nothing runs and nobody is there
    assert found.keys() == {
        "nbr_redis_up", "nbr_metrics_unreadable", "nbr_broker_up",
        "nbr_cluster_state", "nbr_node_state", "nbr_jobs_queued", "nbr_jobs_running",
        "nbr_jobs_ended_total", "nbr_processes", "nbr_on_change_waiting", "nbr_on_change_delay_seconds_bucket",
        "nbr_on_change_delay_seconds_count", "nbr_on_change_delay_seconds_sum",
    }  # fmt: skip
    assert found["nbr_cluster_state"][("unknown",)] == 1
    assert found["nbr_node_state"][("replica1", "unknown")] == 1
    assert sum(found["nbr_node_state"].values()) == 3


def test_without_redis_it_tells_that_and_what_the_process_knows() -> None:
    client = World().without_redis()
    client.get("/api/health")

    found = scrape(client)

    assert found["nbr_redis_up"] == {(): 0}
    assert found["nbr_api_request_duration_seconds_count"] == {("GET", "/api/health", "5xx"): 1}
    assert {name.removesuffix("_bucket").removesuffix("_count").removesuffix("_sum") for name in found} == {
        "nbr_redis_up",
        "nbr_api_request_duration_seconds",
    }


def test_a_record_of_another_form_takes_away_no_more_than_its_own_part() -> None:
    world = full()
    world.seen.audits.save({"observed_at": world.now}, {}, [])
    world.replication.save_canary({"arrivals": [{"target": 3}], "observed_at": world.now})

    found = scrape(world.client)

    assert {part for (part,), value in found["nbr_metrics_unreadable"].items() if value} == {"links", "security"}
    assert len(found["nbr_metrics_unreadable"]) > 2
    assert found["nbr_redis_up"] == {(): 1}
    assert "nbr_links" in found, "what was read before it"
    assert "nbr_backups" in found
    assert "nbr_canary_seconds" not in found


def test_where_the_broker_alone_is_away_only_its_queues_are_unknown() -> None:
    world = full()
    world.depths = None

    found = scrape(world.client)

    assert (found["nbr_redis_up"], found["nbr_broker_up"]) == ({(): 1}, {(): 0})
    assert "nbr_queue_messages" not in found
    assert "nbr_backups" in found


def many(count: int, **more: str) -> World:
    world = World(settings=settings(**more))
    # fakeredis takes seconds for a command of megabytes that comes in one piece, as hiredis would make it
    world.redis.connection_pool.connection_kwargs["command_packer"] = PACKER
    names = [f"db-{number:05}" for number in range(count)]
    world.save_sweep({name: ["primary", "replica1"] for name in names})
    world.save_links(*(link(world.now, name) for name in names), lag={"replica1": 3})
    return world


def lines(world: World) -> int:
    return len([line for line in world.client.get("/metrics").text.splitlines() if not line.startswith("#")])


def test_ten_thousand_databases_are_as_many_series_as_one() -> None:
    assert lines(many(10_000)) == lines(many(1))


def test_of_databases_that_are_asked_for_no_more_than_so_many_are_told() -> None:
    found = scrape(many(10_000, metrics_databases="db-*").client)

    assert len(found["nbr_database_lag_changes"]) == MOST
    assert next(iter(found["nbr_database_lag_changes"])) == ("db-00000", "replica1")
    assert found["nbr_databases_not_shown"] == {(): 10_000 - MOST}


def test_only_databases_that_match_are_told_one_by_one() -> None:
    found = scrape(many(3, metrics_databases="*-00001, other").client)

    assert found["nbr_database_lag_changes"] == {("db-00001", "replica1"): 3}
    assert found["nbr_databases_not_shown"] == {(): 0}


def test_databases_that_are_told_have_sizes_and_conflicts() -> None:
    found = scrape(full().client)

    assert found["nbr_database_bytes"] == {("pdfs", "primary"): 4_096}
    assert found["nbr_database_documents"] == {("pdfs", "primary"): 10}
    assert found["nbr_database_conflicts"] == {("pdfs",): 1}


def test_a_lag_of_which_one_link_is_unknown_is_unknown() -> None:
    world = World(settings=settings(metrics_databases="*"))
    world.save_links(
        link(world.now, "pdfs", target="replica1", lag=7),
        link(world.now, "pdfs", source="replica2", target="replica1", lag=5),
        link(world.now, "pdfs", target="replica2", lag=2),
        link(world.now, "pdfs", source="replica1", target="replica2", lag=None),
    )

    assert scrape(world.client)["nbr_database_lag_changes"] == {("pdfs", "replica1"): 7}


def test_it_takes_the_token_of_one_who_only_looks() -> None:
    token = "a-token-of-sixteen-characters"
    client = World(settings=settings(api_tokens=f"prometheus=view:{token}")).client

    assert client.get("/metrics").status_code == 401
    assert scrape(client, headers={"Authorization": f"Bearer {token}"})["nbr_redis_up"] == {(): 1}
