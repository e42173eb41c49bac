"""What happened, on fakeredis and on a real redis-server: what is kept, and how it is listed."""

from __future__ import annotations

from typing import Any

import pytest
import redis
import structlog

from tasks.events import KEPT, KEY, EventFilter, Events
from tasks.redis import StoreUnavailable, connect
from worker.core.events import Event, EventType, Severity

pytestmark = pytest.mark.contract

NOW = 1_795_446_000.0
SECRET = "hunter2-secret"
ALL = EventFilter()


@pytest.fixture
def events(store_redis: redis.Redis) -> Events:
    return Events(store_redis, secrets=(SECRET,))


def went_down(events: Events, node: str = "replica1", **more: Any) -> Event:
    said = {"at": NOW, "detail": "connection refused", "severity": "error", **more}
    return events.record("node.state", node=node, **said, **{"from": "suspect", "to": "down"})


def test_an_event_is_kept_as_it_was_told(events: Events) -> None:
    event = went_down(events, database="pdfs")

    assert events.list(ALL).events == [event]
    assert (event.type, event.severity, event.at) == (EventType.NODE_STATE, Severity.ERROR, NOW)
    assert (event.node, event.database, event.detail) == ("replica1", "pdfs", "connection refused")
    assert event.data == {"from": "suspect", "to": "down", "failure": None}


def test_it_is_logged_once_by_its_severity_and_without_credentials(events: Events) -> None:
    with structlog.testing.capture_logs() as logged:
        went_down(events, detail=f"http://admin:{SECRET}@a:5984 refused", failure=f"the password {SECRET}")

    (line,) = logged
    assert (line["log_level"], line["event"], line["type"]) == ("error", "event", "node.state")
    assert line["node"] == "replica1"
    assert SECRET not in f"{logged}{events.list(ALL)}"


@pytest.mark.parametrize(
    ("kind", "severity", "data"),
    [
        ("node.exploded", "error", {}),
        ("node.state", "fatal", {}),
        ("node.state", "error", {"til": "down"}),
    ],
)
def test_what_is_not_in_the_table_is_a_defect(events: Events, kind: str, severity: str, data: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"node\.exploded|fatal|til"):
        events.record(kind, at=NOW, detail="x", severity=severity, **data)
    assert events.list(ALL).events == []


def test_the_last_thousand_are_kept(events: Events, store_redis: redis.Redis) -> None:
    made = [went_down(events, str(number)).id for number in range(KEPT + 3)]

    assert store_redis.xlen(KEY) == KEPT
    seen, page = [], events.list(ALL, limit=170)
    while True:
        seen += [event.id for event in page.events]
        if page.next is None:
            break
        page = events.list(ALL, before=page.next, limit=170)
    assert seen == made[:2:-1]


def test_newest_first_page_by_page(events: Events) -> None:
    made = [went_down(events).id for _ in range(5)]

    first = events.list(ALL, limit=2)
    second = events.list(ALL, before=first.next, limit=2)
    third = events.list(ALL, before=second.next, limit=2)

    pages = [[event.id for event in page.events] for page in (first, second, third)]
    assert pages == [made[:2:-1], made[2:0:-1], made[:1]]
    assert (first.next, second.next, third.next) == (made[3], made[1], None)


def test_who_follows_gets_them_oldest_first_and_misses_none(events: Events) -> None:
    made = [went_down(events).id for _ in range(5)]

    first = events.list(ALL, after=made[0], limit=3)
    second = events.list(ALL, after=first.next, limit=3)

    assert [event.id for event in first.events] == made[1:4]
    assert [event.id for event in second.events] == made[4:]
    assert second.next is None
    assert events.list(ALL, after=made[4]).events == []
    newer = went_down(events)
    assert events.list(ALL, after=made[4]).events == [newer]


def test_two_ids_bound_what_is_between_them(events: Events) -> None:
    made = [went_down(events).id for _ in range(5)]

    assert [event.id for event in events.list(ALL, after=made[0], before=made[4]).events] == made[1:4]
    assert events.list(ALL, after=made[4], before=made[0]).events == []


@pytest.mark.parametrize("edge", ["0-0", "1-0", "0-1", "9999999999999999999-9999999999999999999"])
def test_any_id_may_be_asked_for(events: Events, edge: str) -> None:
    made = went_down(events)

    beyond = edge.startswith("9")
    assert events.list(ALL, before=edge).events == ([made] if beyond else [])
    assert events.list(ALL, after=edge).events == ([] if beyond else [made])


def test_by_type_and_node_however_many_others_are_between(events: Events) -> None:
    wanted = [went_down(events, "replica2").id for _ in range(2)]
    moved = events.record("primary.moved", at=NOW, detail="x", severity="info")
    for _ in range(450):
        went_down(events, "replica1")

    assert [event.id for event in events.list(EventFilter(node="replica2")).events] == wanted[::-1]
    assert events.list(EventFilter(EventType.PRIMARY_MOVED)).events == [moved]
    assert events.list(EventFilter(EventType.PRIMARY_MOVED, "replica2")).events == []
    page = events.list(EventFilter(node="replica2"), limit=1)
    assert page.next == wanted[1]
    assert events.list(EventFilter(node="replica2"), before=page.next).next is None


def test_each_is_sent_once_it_is_kept(store_redis: redis.Redis) -> None:
    sent: list[Event] = []
    events = Events(store_redis, sent.append)

    event = went_down(events)

    assert sent == [event]
    assert event.id


def test_without_redis_it_is_at_least_in_the_log() -> None:
    events = Events(connect("redis://127.0.0.1:1/0"))

    with structlog.testing.capture_logs() as logged:
        with pytest.raises(StoreUnavailable):
            went_down(events)
        with pytest.raises(StoreUnavailable):
            events.list(ALL)

    assert [line["type"] for line in logged] == ["node.state"]
