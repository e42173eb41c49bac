"""The figures of bench/failover.py, from records that are made up."""

from __future__ import annotations

from typing import Any

from bench.failover_figures import (
    Asked,
    Beyond,
    History,
    Round,
    Sent,
    Side,
    acknowledged,
    beside,
    beyond,
    failed,
    first_sent,
    in_flight,
    last_sent,
    out,
    sent_of,
    up,
)

DIED = Round("primary", begun=0.0, killed=10.0, dead=10.1, revived=40.0, answers=42.0, ended=80.0)
LOG = """\
127.0.0.1:1 [24/Nov/2026:20:33:19.967] clients couchdb/replica1 0/0/0/36/36 201 398 - - ---- 4/4/1/0/0 0/0 "PUT /a/b?n=ours-1-2 HTTP/1.1"
127.0.0.1:1 [24/Nov/2026:20:33:20.001] clients couchdb/replica2 0/0/0/36/36 200 398 - - ---- 4/4/1/0/+1 0/0 "GET /a/_all_docs?limit=10&n=ours-1-3 HTTP/1.1"
127.0.0.1:1 [24/Nov/2026:20:33:20.002] clients couchdb/<NOSRV> 0/-1/-1/-1/0 503 398 - - SC-- 4/4/1/0/0 0/0 "GET /a/b?n=ours-1-4 HTTP/1.1"
Server couchdb/primary is DOWN, reason: Layer4 connection problem
"""  # noqa: E501 - one request a line


def asked(number: str, at: float, ended: float, **more: Any) -> Asked:
    fields: dict[str, Any] = {"kind": "new", "database": "db", "document": "doc", "result": "ok", "detail": "201"}
    return Asked(number, at=at, ended=ended, **{**fields, **more})


def side(*requests: Asked, sent: dict[str, Sent]) -> Side:
    return Side("ours", [*requests], sent, History())


def there(at: float, server: str = "primary", *, again: bool = False) -> Sent:
    return Sent(at, server, again)


def test_the_log_tells_where_each_request_went() -> None:
    found = sent_of(LOG.splitlines())
    assert {number: (sent.server, sent.again) for number, sent in found.items()} == {
        "ours-1-2": ("replica1", False),
        "ours-1-3": ("replica2", True),
        "ours-1-4": ("<NOSRV>", False),
    }
    assert round(found["ours-1-3"].at - found["ours-1-2"].at, 3) == 0.034


def test_a_server_that_fails_checks_is_up_until_it_is_down() -> None:
    states = History()
    for at, state in ((0, "UP"), (10.3, "UP 1/3"), (10.3, "UP 1/3"), (11.2, "DOWN"), (20, "DOWN (agent)"), (50, "UP")):
        states.add(at, {"primary": state})
    assert len(states.samples) == 5
    assert states.first(10, 40, out("primary")) == 11.2
    assert states.first(15, 40, out("primary")) == 15
    assert states.first(42, 80, up("primary")) == 50
    assert states.first(42, 49, up("primary")) is None
    assert History().first(0, 9, out("primary")) is None


def test_what_was_in_flight_is_told_apart_from_what_failed_beside_it() -> None:
    requests = [
        asked("in-flight", 9.9, 10.2, result="failed"),
        asked("given-to-it-as-it-died", 10.05, 10.2, result="failed"),
        asked("not-logged", 9.9, 10.2, result="failed"),
        asked("elsewhere", 9.9, 10.2, result="failed"),
        asked("later", 11.0, 11.1, result="failed"),
        asked("well", 9.9, 10.2),
        asked("long-before", 1.0, 2.0, result="failed"),
    ]
    sent = {one.number: there(one.at) for one in requests if one.number != "not-logged"}
    sent["elsewhere"] = there(9.9, "replica1")
    found = side(*requests, sent=sent)
    numbers = [one.number for one in in_flight(found, DIED, failed(found, DIED))]
    assert numbers == ["in-flight", "given-to-it-as-it-died", "not-logged"]
    assert [one.number for one in beside(found, DIED)] == ["elsewhere", "later"]


def test_a_request_that_was_sent_again_had_been_sent_to_the_dead_node() -> None:
    requests = [asked("1", 10.2, 10.3), asked("2", 11.0, 11.1), asked("3", 12.0, 12.1), asked("4", 45.0, 45.1)]
    sent = {
        "1": there(10.2),
        "2": there(11.0, "replica1", again=True),
        "3": there(12.0, "replica1"),
        "4": there(45.0),
    }
    assert last_sent(side(*requests, sent=sent), DIED) == 11.0
    assert first_sent(side(*requests, sent=sent), DIED) == 45.0


def test_stale_reads_are_held_against_the_lag_that_was_reported() -> None:
    lags = History()
    lags.add(0, {"replica1": None, "primary": 0})
    lags.add(20, {"replica1": 1, "primary": 0})
    reads = [
        asked("1", 11.0, 11.1, kind="read", result="stale", document="a"),
        asked("2", 21.0, 21.1, kind="read", result="stale", document="a"),
        asked("3", 22.0, 22.1, kind="read", result="stale", document="b"),
        asked("4", 23.0, 23.1, kind="read", document="a"),
        asked("5", 24.0, 24.1, kind="read", result="stale", document="b"),
        asked("6", 25.0, 25.1, kind="read", result="stale", document="b"),
    ]
    sent = {one.number: there(one.at, "replica1") for one in reads} | {"6": there(25.0)}
    assert beyond(side(*reads, sent=sent), reads, lags) == Beyond(unknown=1, within=2, beyond=2)


def test_every_acknowledged_revision_counts() -> None:
    requests = [asked("1", 1, 2, revision="1-a"), asked("2", 2, 3, result="failed"), asked("3", 3, 4, revision="2-b")]
    assert acknowledged(requests) == {"db": {"doc": ["1-a", "2-b"]}}
