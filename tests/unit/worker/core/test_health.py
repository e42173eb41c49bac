from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.health import (
    Bounds,
    ClusterState,
    Facts,
    Failure,
    Look,
    NodeState,
    Payment,
    Strange,
    Verdict,
    cluster,
    judge,
)

BOUNDS = Bounds(failures=3, successes=2)
GOOD = Look("a", ok=True)
BAD = Look("a", ok=False, failure=Failure.REFUSED, reason="unreachable: connection refused")
SLOW = Look("a", ok=False, failure=Failure.SLOW, reason="slow: answers in 4,000 ms")
EMPTIED = Strange("it was emptied: our own database is gone from it", NodeState.REPLACED)
H, S, D, R = NodeState.HEALTHY, NodeState.SUSPECT, NodeState.DOWN, NodeState.RECOVERING


def then(verdict: Verdict | None, looks: str, bounds: Bounds = BOUNDS, *, start: int = 0) -> Verdict:
    """The verdict after these looks, one a second; "+" is a good one."""
    for at, sign in enumerate(looks, start):
        verdict = judge(verdict, replace(GOOD, uptime=1_000.0 + at) if sign == "+" else BAD, float(at), bounds)
    assert verdict is not None
    return verdict


def paid(verdict: Verdict, uuid: str | None = None) -> Facts:
    """That what it owes now is paid."""
    assert verdict.debt_at is not None
    return Facts(paid=Payment(verdict.debt_at, uuid))


def after(looks: str, bounds: Bounds = BOUNDS) -> list[NodeState]:
    """States after each look."""
    return [then(None, looks[: at + 1], bounds).state for at in range(len(looks))]


@pytest.mark.parametrize(
    ("looks", "states"),
    [
        ("+", [H]),
        ("-", [S]),
        ("+-", [H, S]),
        ("+--", [H, S, S]),
        ("+---", [H, S, S, D]),
        ("---", [S, S, D]),
        ("+-+", [H, S, S]),  # one good look is no proof either
        ("+-++", [H, S, S, H]),
        ("---+", [S, S, D, D]),
        ("---++", [S, S, D, D, R]),
        ("---+-++", [S, S, D, D, D, D, R]),
        ("-+-+-+-+-", [S] * 8 + [D]),  # every other look is bad
    ],
)
def test_counts_in_a_row_decide(looks: str, states: list[NodeState]) -> None:
    assert after(looks) == states


def test_since_is_when_the_state_began_and_reasons_are_told() -> None:
    first = judge(None, BAD, 10.0, BOUNDS)
    second = judge(first, BAD, 20.0, BOUNDS)
    down = judge(second, BAD, 30.0, BOUNDS)
    back = judge(down, GOOD, 40.0, BOUNDS)
    recovering = judge(back, GOOD, 50.0, BOUNDS)
    healthy = judge(recovering, GOOD, 60.0, BOUNDS, paid(recovering))

    verdicts = (first, second, down, back, recovering, healthy)
    assert [verdict.since for verdict in verdicts] == [10, 10, 30, 30, 50, 60]
    assert (down.reason, down.failure) == (BAD.reason, Failure.REFUSED)
    assert back.reason == "answers again: 1 of 2 good looks in a row"
    assert recovering.reason == "was away; being brought up to date"
    assert (healthy.reason, healthy.failure) == (None, None)


@given(st.text("+-", min_size=1, max_size=40), st.integers(1, 5), st.integers(1, 5))
def test_a_node_comes_back_only_after_enough_good_looks_and_never_healthy(
    looks: str, failures: int, successes: int
) -> None:
    states = after(looks, Bounds(failures, successes))

    for at, state in enumerate(states):
        before = states[at - 1] if at else NodeState.UNKNOWN
        if looks[: at + 1].endswith("-" * failures):
            assert state is D
        if state is D and before is not D:
            assert looks[: at + 1].count("-") >= failures
        if before is D and state is not D:
            assert state is R
            assert looks[: at + 1].endswith("+" * successes)
        assert (state in {H, R}) <= (looks[at] == "+")
        if D in states[:at]:
            assert state is not H, "it owes us what it missed"


def test_what_paid_an_earlier_debt_does_not_pay_the_next() -> None:
    verdict = then(None, "---++")
    earlier = paid(verdict)
    verdict = then(verdict, "---++++", start=10)

    assert judge(verdict, GOOD, 99.0, BOUNDS, earlier).state is R
    assert judge(verdict, GOOD, 99.0, BOUNDS, paid(verdict)).state is H


def test_who_goes_down_again_and_again_has_to_answer_for_longer() -> None:
    verdict = then(None, "---++")
    verdict = judge(verdict, GOOD, 6.0, BOUNDS, paid(verdict))

    second = then(verdict, "---", start=10)
    assert then(second, "+++", start=13).state is D
    assert then(second, "++++", start=13).state is R
    much_later = then(verdict, "---", start=10_000)
    assert then(much_later, "++", start=10_003).state is R


def test_a_server_that_was_started_between_two_looks_owes_what_it_missed() -> None:
    first = judge(None, replace(GOOD, uptime=100.0), 1_000.0, BOUNDS)
    same = judge(first, replace(GOOD, uptime=110.0), 1_010.0, BOUNDS)
    other = judge(same, replace(GOOD, uptime=3.0), 1_020.0, BOUNDS)

    assert (first.state, same.state, other.state) == (H, H, R)
    assert judge(other, replace(GOOD, uptime=13.0), 1_030.0, BOUNDS, paid(other)).state is H


def test_a_payment_does_not_count_for_a_server_that_was_started_since_nor_for_another_one() -> None:
    owing = replace(then(None, "---++"), uptime=500.0, uptime_at=5.0)
    look = replace(GOOD, uuid="one", uptime=505.0)

    assert judge(owing, look, 10.0, BOUNDS, paid(owing, "one")).state is H
    started_since = judge(owing, replace(look, uptime=2.0), 10.0, BOUNDS, paid(owing, "one"))
    assert started_since.state is R
    assert started_since.debt_at == 10.0
    assert judge(owing, replace(look, uuid="two"), 10.0, BOUNDS, paid(owing, "one")).state is R
    emptied = replace(paid(owing, "one"), strange=EMPTIED)
    assert judge(owing, replace(look, own=False), 10.0, BOUNDS, emptied).state is NodeState.REPLACED


def test_a_clock_that_is_set_restarts_nobody() -> None:
    first = judge(None, replace(GOOD, uptime=3_600.0), 1_000.0, BOUNDS)

    assert judge(first, replace(GOOD, uptime=3_610.0), 4_600.0, BOUNDS).state is H
    assert judge(first, replace(GOOD, uptime=3_610.0), 900.0, BOUNDS).state is H


def test_a_node_that_is_slow_now_and_again_is_no_news_each_time() -> None:
    verdict, changes = judge(None, GOOD, 0.0, BOUNDS), 0
    for at in range(1, 61):
        look = SLOW if at % 3 == 0 else replace(GOOD, uptime=1_000.0 + at)
        after_it = judge(verdict, look, 10.0 * at, BOUNDS)
        changes += after_it.state is not verdict.state
        verdict = after_it
    assert changes <= 5


def test_a_node_comes_back_from_being_down_although_it_is_slow() -> None:
    verdict = then(None, "---")
    for at in range(3, 6):
        verdict = judge(verdict, SLOW, float(at), BOUNDS)

    assert verdict.state is S


def test_a_full_disk_is_doubt_and_a_debt_when_it_is_over() -> None:
    full = Look("a", ok=False, failure=Failure.DISK, reason="disk-full: no space")
    verdict = then(None, "+")
    for at in range(1, 10):
        verdict = judge(verdict, full, float(at), BOUNDS)
    assert (verdict.state, verdict.failure) == (S, Failure.DISK)
    assert then(verdict, "++", start=10).state is R


def test_a_planned_stop_in_maintenance_is_no_flapping() -> None:
    verdict = then(None, "+")
    for _ in range(3):
        for look in (BAD, BAD, BAD, GOOD):
            verdict = judge(verdict, look, verdict.since + 1, BOUNDS, Facts(maintenance=True))
    verdict = judge(verdict, GOOD, 50.0, BOUNDS)

    assert verdict.state is R
    assert verdict.downs == ()


def test_where_nobody_can_tell_one_bad_look_is_taken_for_a_restart() -> None:
    verdict = judge(judge(judge(None, GOOD, 1.0, BOUNDS), BAD, 2.0, BOUNDS), GOOD, 3.0, BOUNDS)

    assert verdict.state is S
    assert judge(verdict, GOOD, 4.0, BOUNDS).state is R


def test_who_is_let_in_again_is_brought_up_to_date_first() -> None:
    verdict = judge(then(None, "+"), GOOD, 2.0, BOUNDS, Facts(maintenance=True))

    assert judge(verdict, GOOD, 3.0, BOUNDS).state is R
    assert then(judge(verdict, BAD, 3.0, BOUNDS), "++", start=4).state is R


def test_another_server_is_replaced_until_it_was_set_up() -> None:
    strange = Facts(strange=EMPTIED)
    first = judge(None, GOOD, 1.0, BOUNDS)
    found = judge(first, GOOD, 2.0, BOUNDS, strange)
    still = judge(found, GOOD, 3.0, BOUNDS, Facts(note="12 of 40 databases"))
    again = judge(still, GOOD, 4.0, BOUNDS, strange)

    assert [verdict.state for verdict in (found, still, again)] == [NodeState.REPLACED] * 3
    assert found.failure is Failure.REPLACED
    assert found.reason == "it was emptied: our own database is gone from it; to be set up from nothing"
    assert still.reason == "it was emptied: our own database is gone from it; 12 of 40 databases"
    assert again.debt_at == found.debt_at, "it is one debt, however often it is seen"
    assert judge(again, GOOD, 5.0, BOUNDS, paid(again)).state is H


def test_a_replaced_node_that_goes_down_is_still_to_be_set_up_from_nothing() -> None:
    found = judge(None, GOOD, 1.0, BOUNDS, Facts(strange=EMPTIED))
    back = then(found, "---++", start=2)

    assert back.state is NodeState.REPLACED
    assert back.debt_at != found.debt_at


def test_a_slow_node_is_suspect_and_never_down() -> None:
    verdict = None
    for at in range(20):
        verdict = judge(verdict, SLOW, float(at), BOUNDS)
    assert verdict is not None
    assert (verdict.state, verdict.failure) == (S, Failure.SLOW)
    assert then(verdict, "++", start=30).state is H


def test_maintenance_is_a_persons_word_and_what_was_missed_meanwhile_is_owed() -> None:
    taken_out = Facts(maintenance=True)
    verdict = judge(then(None, "+"), GOOD, 2.0, BOUNDS, taken_out)
    assert (verdict.state, verdict.reason) == (NodeState.MAINTENANCE, "taken out by a person")
    for at in range(3, 6):
        verdict = judge(verdict, BAD, float(at), BOUNDS, taken_out)
    assert verdict.state is NodeState.MAINTENANCE
    assert verdict.reason == f"taken out by a person; {BAD.reason}"
    for at in range(6, 8):
        verdict = judge(verdict, GOOD, float(at), BOUNDS, taken_out)

    assert judge(verdict, GOOD, 8.0, BOUNDS).state is R


@pytest.mark.parametrize(
    ("states", "wanted"),
    [
        ([], ClusterState.UNKNOWN),
        ([NodeState.UNKNOWN] * 2, ClusterState.UNKNOWN),
        ([H, H], ClusterState.HEALTHY),
        ([H, S], ClusterState.DEGRADED),
        ([H, D], ClusterState.DEGRADED),
        ([H, NodeState.UNKNOWN], ClusterState.DEGRADED),
        ([S, S], ClusterState.DEGRADED),
        ([D, D], ClusterState.DOWN),
        ([D, NodeState.UNKNOWN], ClusterState.DOWN),
        ([H, R], ClusterState.DEGRADED),
        ([H, NodeState.MAINTENANCE], ClusterState.DEGRADED),
    ],
)
def test_the_clusters_state(states: list[NodeState], wanted: ClusterState) -> None:
    assert cluster(states) is wanted
