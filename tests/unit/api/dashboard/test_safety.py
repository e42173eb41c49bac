"""Is the data safe? Each thing that can be wrong, and that what is not known is never called well."""

from __future__ import annotations

from typing import Any

import pytest

from api.backup_schemas import BackupsBody
from api.dashboard import safety
from api.dashboard.processes import processes
from api.dashboard.safety import Bounds, Finding, Known, Level
from api.schemas import ServiceHealth
from api.topology_schemas import TopologyBody

NOW = 1_795_446_000.0
NAMES = ("primary", "replica1", "replica2")


def whole(links: dict[tuple[str, str], dict[str, Any]] | None = None, **more: Any) -> TopologyBody:
    """All is well, but for `links` and `more`; `states`: node -> state."""
    states = {**dict.fromkeys(NAMES, "healthy"), **more.pop("states", {})}
    names = more.pop("names", NAMES)
    found = []
    for source in names:
        for target in names:
            if source != target:
                link = {"state": "well", "databases": 2, "states": {"running": 2}, "lag": 0, "seconds": None}
                found.append({"source": source, "target": target, **link, **(links or {}).get((source, target), {})})
    node = {"since": NOW, "reason": None, "role": "replica", "acting": False, "clients": None, "lag": 0}
    nodes = [{**node, "name": name, "state": states[name]} for name in names]
    body = {"observed_at": NOW, "links_observed_at": NOW, "status": "healthy", "mode": "continuous"}
    more = {"topology": "mesh", "primary": "primary", "nodes": nodes, "links": found, **more}
    return TopologyBody.model_validate({**body, **more})


def service(workers: int | None = 1, beat: bool | None = True, **jobs: int) -> ServiceHealth:
    return ServiceHealth.model_validate(
        {
            "status": "ok",
            "redis": {"ok": True, "detail": None},
            "workers": {"count": workers, "last_heartbeat": NOW},
            "beat": {"last_tick": NOW - 90, "ok": beat},
            "watcher": {"count": 0, "last_heartbeat": None},
            "nodes": [],
            "jobs": jobs,
            "observed_at": NOW,
        }
    )


def backups(*found: dict[str, Any], **more: Any) -> BackupsBody:
    body = {"observed_at": NOW, "trouble": None, "schedule": None, "next_at": None, "stale": False, "next": None}
    good = {"id": "b", "readable": True, "why": None, "good": True, "scope": ["*"], "started_at": NOW - 3_600}
    return BackupsBody.model_validate({**body, "backups": [{**good, **one} for one in found], **more})


def assess(**given: Any) -> dict[str, Finding]:
    kept = given.pop("backups", backups({}))
    good = [one for one in kept.backups if one.good and one.scope == ["*"]] if kept else []
    last = good[0] if good else None
    parts: dict[str, Any] = {"whole": whole(), "service": service(), "last_good": last, **given}
    bounds = Bounds(max_lag=100, look=60, store=600, backup=36 * 3_600, wait=900)
    return {one.about: one for one in safety.assess(Known(backups=kept, bounds=bounds, now=NOW, **parts))}


def test_all_is_well() -> None:
    found = assess()
    assert safety.worst([*found.values()]) is Level.OK
    assert found["nodes"].what == "All 3 nodes healthy"
    assert found["backups"].what == "Last good backup: 1 h ago"


def link(**of_the_first: Any) -> dict[str, Any]:
    return {"whole": whole({("primary", "replica1"): of_the_first})}


def states(**of_nodes: str) -> dict[str, Any]:
    return {"whole": whole(states=of_nodes)}


UNREADABLE = {"readable": False, "why": "another key", "good": None, "scope": None}
DAMAGE = {"by": "check", "at": NOW, "detail": "x"}
AWAY = {"at": NOW, "error": "e", "detail": "away"}
WRONG: dict[str, tuple[dict[str, Any], str, Level]] = {
    "a node is down": (states(replica1="down"), "nodes", Level.WARN),
    "a node is suspect": (states(replica1="suspect"), "nodes", Level.WARN),
    "no sweep lately": ({"whole": whole(status="unknown")}, "nodes", Level.UNKNOWN),
    "a broken link": (link(state="broken", lag=None), "replication", Level.BAD),
    "a link nobody knows of": (link(state="unknown", lag=None), "replication", Level.UNKNOWN),
    "much lag": (link(state="behind", lag=101), "replication", Level.WARN),
    "some lag": (link(state="behind", lag=100), "replication", Level.OK),
    "links not looked at lately": ({"whole": whole(links_observed_at=NOW - 61)}, "replication", Level.UNKNOWN),
    "links not looked at": ({"whole": whole(links_observed_at=None)}, "replication", Level.UNKNOWN),
    "replication off": ({"whole": whole(mode="off")}, "replication", Level.WARN),
    "one node": ({"whole": whole(names=("primary",))}, "replication", Level.WARN),
    "no backups": ({"backups": None}, "backups", Level.WARN),
    "store not read": ({"backups": backups(observed_at=None)}, "backups", Level.UNKNOWN),
    "no backup yet": ({"backups": backups()}, "backups", Level.WARN),
    "no good backup": ({"backups": backups({"good": False})}, "backups", Level.WARN),
    "none of everything": ({"backups": backups({"scope": ["pdfs"]})}, "backups", Level.WARN),
    "stale": ({"backups": backups({}, stale=True)}, "backups", Level.BAD),
    "damaged": ({"backups": backups({"damage": DAMAGE}, {})}, "backups", Level.BAD),
    "store away": ({"backups": backups({}, trouble=AWAY)}, "backups", Level.WARN),
    "failed jobs": ({"failed_lately": 2}, "jobs", Level.WARN),
    "behind by nobody knows how much": (link(state="behind", lag=None), "replication", Level.UNKNOWN),
    "a pair that is not known, at lag 0": (link(state="unknown", lag=0), "replication", Level.UNKNOWN),
    "too old": ({"backups": backups({"started_at": NOW - 37 * 3_600})}, "backups", Level.BAD),
    "store not read for long": ({"backups": backups({}, observed_at=NOW - 601)}, "backups", Level.UNKNOWN),
    "the newest cannot be read": ({"backups": backups({**UNREADABLE}, {})}, "backups", Level.WARN),
    "the newest is incomplete": ({"backups": backups({"good": False}, {})}, "backups", Level.WARN),
    "a job waits": ({"waiting_since": NOW - 901}, "jobs", Level.WARN),
    "jobs are not known": ({"service": service().model_copy(update={"jobs": None})}, "jobs", Level.UNKNOWN),
    "no watcher": ({"needs_watcher": True}, "processes", Level.WARN),
    "a copy was deleted": ({"removed": {"pdfs": ["replica1"]}}, "removed", Level.WARN),
    "who may read it differs": ({"differing": {"pdfs": ["replica1"]}}, "security", Level.WARN),
    "no worker": ({"service": service(workers=0)}, "processes", Level.BAD),
    "workers not known": ({"service": service(workers=None)}, "processes", Level.BAD),
    "beat silent": ({"service": service(beat=False)}, "processes", Level.BAD),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_told_where_it_belongs_and_nowhere_else(wrong: str) -> None:
    given, about, level = WRONG[wrong]
    found = assess(**given)
    assert found[about].level is level
    assert {name for name, one in found.items() if one.level is not Level.OK} <= {about}
    assert safety.worst([*found.values()]) is level


@pytest.mark.parametrize(
    "given",
    [states(replica1="down", replica2="recovering"), states(**dict.fromkeys(NAMES, "down"))],
    ids=["one", "none"],
)
def test_fewer_than_two_whole_nodes_are_no_copies(given: dict[str, Any]) -> None:
    found = assess(**given)
    assert found["nodes"].level is Level.BAD
    assert found["replication"].level is Level.UNKNOWN  # nobody is left between whom something would be carried


def test_a_node_that_is_away_is_no_fault_of_its_links() -> None:
    """Its links are broken because it is away, which is said of it once."""
    away = {pair: {"state": "broken", "lag": None} for pair in (("primary", "replica2"), ("replica2", "primary"))}
    found = assess(whole=whole(away, states={"replica2": "down"}))
    assert (found["nodes"].level, found["replication"].level) == (Level.WARN, Level.OK)
    assert found["replication"].what == "The others are caught up"
    assert found["replication"].why == "What replica2 has or lacks is not known"


def test_the_reasons_of_nodes_are_told() -> None:
    ill = whole(states={"replica1": "down"})
    node = ill.nodes[1].model_copy(update={"reason": "unreachable: connection refused"})
    found = assess(whole=ill.model_copy(update={"nodes": [ill.nodes[0], node, ill.nodes[2]]}))["nodes"]
    assert found.why == "replica1 is down: unreachable: connection refused"
    assert found.what == "2 of 3 nodes healthy"


def test_since_when_nobody_has_looked_at_the_nodes() -> None:
    for seen, why in ((NOW - 90, "Not for 1 min 30 s:"), (None, "No sweep has been seen:")):
        assert assess(whole=whole(status="unknown", observed_at=seen))["nodes"].why.startswith(why)


@pytest.mark.parametrize(
    ("given", "only"),
    [(link(state="broken", lag=None), "broken"), (link(state="unknown", lag=None), "unknown"), ({}, "behind")],
    ids=["broken", "unknown", "well"],
)
def test_the_reason_leads_to_the_databases_that_it_speaks_of(given: dict[str, Any], only: str) -> None:
    assert assess(**given)["replication"].href == f"/databases?only={only}"


def test_a_whole_node_with_no_link_at_all_is_told() -> None:
    """Its set-up failed, say: nothing lags, because nothing travels."""
    full = whole()
    linked = [link for link in full.links if "replica2" not in {link.source, link.target}]
    found = assess(whole=full.model_copy(update={"links": linked}))["replication"]
    assert (found.level, found.why) == (Level.UNKNOWN, "Nothing is seen to travel to or from replica2")


def test_the_last_good_backup_counts_however_many_came_after_it() -> None:
    partly = backups(*({"scope": ["pdfs"]} for _ in range(50)))
    last = backups({}).backups[0]
    found = assess(backups=partly, last_good=last)["backups"]
    assert (found.level, found.what) == (Level.OK, "Last good backup: 1 h ago")


@pytest.mark.parametrize(
    ("controls", "who"), [(0, "the control process"), (1, "beat")], ids=["no-control", "control-lives"]
)
def test_since_when_nobody_looks_after_things_and_who_is_missing(controls: int, who: str) -> None:
    silent = service(beat=False)
    found = assess(service=silent, ours=[*processes(silent, controls, {}, needs_watcher=False)])["processes"]
    assert found.why == f"Silent for 1 min 30 s: {who} is not running"
    assert found.href == "/#processes"
