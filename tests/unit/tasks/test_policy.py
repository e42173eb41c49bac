from __future__ import annotations

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.jobs import Kind
from tasks.policy import FIRST_DELAY, LOCK_OUT, LONGEST_DELAY, PAUSES, SPREAD, GiveUp, Retry, decide, starts
from worker.core import errors

KINDS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, errors.ReplicationError) and kind not in {errors.ReplicationError, errors.Transient}
]
TRANSIENT = [kind for kind in KINDS if issubclass(kind, errors.Transient)]
PERMANENT = [kind for kind in KINDS if issubclass(kind, errors.Permanent)]


@pytest.mark.parametrize("kind", TRANSIENT)
def test_a_transient_error_is_tried_again_while_starts_are_left(kind: type[errors.ReplicationError]) -> None:
    assert isinstance(decide(kind("x"), 1, 3, 0.5), Retry)
    assert isinstance(decide(kind("x"), 2, 3, 0.5), Retry)
    assert decide(kind("x"), 3, 3, 0.5) == GiveUp(retryable=True)


@pytest.mark.parametrize("kind", PERMANENT)
def test_a_permanent_error_is_not(kind: type[errors.ReplicationError]) -> None:
    assert decide(kind("x"), 1, 3, 0.5) == GiveUp(retryable=False)


@pytest.mark.parametrize("defect", [ZeroDivisionError(), RuntimeError("connection refused"), KeyError("x")])
def test_a_defect_of_ours_is_not_repeated(defect: Exception) -> None:
    assert decide(defect, 1, 3, 0.5) == GiveUp(retryable=False)


def test_messages_decide_nothing() -> None:
    assert decide(errors.NotFound("timed out, try again"), 1, 3, 0.5) == GiveUp(retryable=False)


def test_a_lock_out_is_waited_out() -> None:
    assert decide(errors.LockedOut("x"), 1, 3, 0.0) == Retry(LOCK_OUT)


@given(st.integers(1, 100), st.floats(0, 1, exclude_max=True))
def test_delays_grow_to_a_bound_and_are_spread_over_their_upper_half(attempt: int, chance: float) -> None:
    verdict = decide(errors.Unreachable("x"), attempt, 101, chance)

    assert isinstance(verdict, Retry)
    whole = min(LONGEST_DELAY, FIRST_DELAY * 2 ** (attempt - 1))
    assert whole / 2 <= verdict.delay <= whole


# --- kinds with a schedule of their own

WEBHOOK = PAUSES[Kind.WEBHOOK]


def test_a_webhook_is_tried_over_three_days_whatever_other_jobs_may() -> None:
    most = starts(Kind.WEBHOOK, 3)

    verdicts = [decide(errors.DeliveryFailed("x"), attempt, most, 0.0, WEBHOOK) for attempt in range(1, most + 1)]

    minutes = [5 / 60, 5, 30, *(60 * hours for hours in (2, 5, 10, 14, 20, 24))]
    assert verdicts == [*(Retry(60.0 * each) for each in minutes), GiveUp(retryable=True)]
    assert starts(Kind.SYNC, 3) == 3


def test_a_receiver_that_is_gone_or_unknown_is_given_up_at_once() -> None:
    for kind in (errors.WebhookGone, errors.WebhookUnknown):
        assert decide(kind("x"), 1, 10, 0.0, WEBHOOK) == GiveUp(retryable=False)


@given(st.integers(1, len(WEBHOOK)), st.floats(0, 1, exclude_max=True))
def test_chance_only_adds_to_a_pause(attempt: int, chance: float) -> None:
    verdict = decide(errors.DeliveryFailed("x"), attempt, len(WEBHOOK) + 1, chance, WEBHOOK)

    assert isinstance(verdict, Retry)
    assert WEBHOOK[attempt - 1] <= verdict.delay <= WEBHOOK[attempt - 1] * (1 + SPREAD)


@pytest.mark.parametrize(("asked", "delay"), [(0, 5), (4, 5), (60, 60), (10**9, 24 * 3_600)])
def test_a_receiver_may_ask_for_a_longer_pause_within_reason(asked: float, delay: float) -> None:
    busy = errors.DeliveryFailed("x")
    busy.retry_after = asked
    assert decide(busy, 1, 10, 0.0, WEBHOOK) == Retry(delay)
