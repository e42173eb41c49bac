"""A job to its end, whatever becomes of the stream."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from cli.access import Access
from cli.api import Api
from cli.errors import ApiError, Unavailable
from cli.following import PATIENCE, follow
from tests.unit.cli.bodies import ID, job, progress
from tests.unit.cli.terminal import URL, FakeApi, Reply, Stream, problem, told

JOB = f"GET /api/jobs/{ID}"
EVENTS = f"{JOB}/events"
QUEUED, RUNNING, DONE = job("queued"), job("running", progress=progress(1, 2)), job()


def followed(fake: FakeApi) -> tuple[list[Any], list[float]]:
    pauses: list[float] = []
    with Api(Access(URL), adapter=fake) as api:
        return list(follow(api, ID, pauses.append)), pauses


def test_each_change_once_with_comments_passed_over() -> None:
    fake = FakeApi()
    fake.on(EVENTS, Stream([": keep-alive\n\n", told(QUEUED, QUEUED), told(RUNNING), told(DONE)]))
    assert followed(fake) == ([QUEUED, RUNNING, DONE], [])


def test_lines_may_come_in_any_pieces() -> None:
    fake = FakeApi()
    fake.on(EVENTS, Stream(list(told(RUNNING, job(database="Grüße")).replace("\n", "\r\n"))))
    seen, _ = followed(fake)
    assert [one["state"] for one in seen] == ["running", "succeeded"]
    assert seen[1]["database"] == "Grüße"


@pytest.mark.parametrize("broken", [True, False], ids=["reset", "ended"])
def test_a_stream_that_broke_off_is_opened_again(broken: bool) -> None:
    fake = FakeApi()
    fake.on(EVENTS, Stream([told(QUEUED), "data: {half"], broken), Stream([told(QUEUED, DONE)]))
    seen, pauses = followed(fake)
    assert seen == [QUEUED, DONE]
    assert len(pauses) == 1


def test_where_streams_are_refused_the_job_is_asked_for() -> None:
    fake = FakeApi()
    fake.on(EVENTS, problem(503, "too-many-streams"))
    fake.on(JOB, QUEUED, RUNNING, RUNNING, DONE)
    seen, _ = followed(fake)
    assert seen == [QUEUED, RUNNING, DONE]
    assert fake.calls().count(EVENTS) == 1


def test_where_a_stream_brings_nothing_the_job_is_asked_for() -> None:
    fake = FakeApi()
    fake.on(EVENTS, Stream([], broken=True))
    fake.on(JOB, RUNNING, DONE)
    assert followed(fake)[0] == [RUNNING, DONE]
    assert fake.calls().count(EVENTS) == 1


def test_an_api_that_is_restarted_meanwhile_is_waited_for() -> None:
    fake = FakeApi()
    away = [requests.ConnectionError("refused")] * 5
    fake.on(
        EVENTS, Stream([told(RUNNING)], broken=True), *away, problem(503, "store-unavailable"), Stream([told(DONE)])
    )
    assert followed(fake)[0] == [RUNNING, DONE]


def test_patience_has_an_end_and_says_how_to_go_on() -> None:
    fake = FakeApi()
    fake.on(EVENTS, requests.ConnectionError("refused"))
    with pytest.raises(Unavailable, match=f"nbr jobs watch {ID}"):
        followed(fake)
    assert len(fake.asked) == PATIENCE + 1


def test_a_job_that_is_not_there_is_told_at_once() -> None:
    fake = FakeApi()
    fake.on(EVENTS, problem(404, "unknown-job"))
    with pytest.raises(ApiError):
        followed(fake)
    assert len(fake.asked) == 1


def test_a_proxy_that_knows_no_api_for_a_moment_is_waited_out() -> None:
    fake = FakeApi()
    fake.on(EVENTS, Stream([told(RUNNING)]), Reply(404, "<html>Not found</html>"), Stream([told(DONE)]))
    seen, _ = followed(fake)
    assert seen == [RUNNING, DONE]


def test_an_address_that_was_never_the_api_is_not_waited_for() -> None:
    fake = FakeApi()
    fake.on(EVENTS, Reply(404, "<html>Not found</html>"))
    with pytest.raises(ApiError, match="is this the API"):
        followed(fake)
    assert fake.calls() == [EVENTS]
