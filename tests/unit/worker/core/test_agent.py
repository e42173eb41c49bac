"""What HAProxy is answered: by fresh knowledge, by old one, by none, and in words that it understands."""

from __future__ import annotations

import pytest

from worker.core.agent import ALIVE, DRAIN, LAST_RESORT, READY, Known, answer, known
from worker.core.health import NodeState
from worker.core.routing import Way

NODES = ("primary", "replica1")
NOW, STALE = 1_000.0, 93.0


def seen(way: Way, state: NodeState = NodeState.HEALTHY, reason: str | None = None, at: float = NOW) -> Known:
    return Known(state, way, reason, at)


def ask(question: str, node: Known | None, now: float = NOW) -> str:
    return answer(question, NODES, {"primary": node} if node else {}, now, STALE)


RECOVERING = seen(Way.DOWN, NodeState.RECOVERING, "recovering: was away")
REPLACED = seen(Way.DOWN, NodeState.REPLACED, "replaced: another server")
MAINTENANCE = seen(Way.DRAIN, NodeState.MAINTENANCE)


def test_fresh_knowledge_is_told() -> None:
    assert ask("primary", seen(Way.READY)) == "up ready"
    assert ask("primary", seen(Way.DRAIN, reason="lags by 2000 changes")) == "drain"
    assert ask("primary", RECOVERING) == "down #recovering: was away"


def test_without_a_reason_the_state_is_one() -> None:
    assert ask("primary", seen(Way.DOWN, NodeState.DOWN)) == "down #down"


def test_a_blank_stands_before_the_reason_because_haproxy_knows_no_word_with_a_sharp_in_it() -> None:
    assert ask("primary", RECOVERING).startswith("down #")


@pytest.mark.parametrize("node", [seen(Way.READY), seen(Way.DRAIN), RECOVERING])
@pytest.mark.parametrize("question", ["primary", f"primary {LAST_RESORT}"])
def test_old_knowledge_keeps_nobody_out(node: Known, question: str) -> None:
    assert ask(question, node, NOW + STALE + 1) == READY


@pytest.mark.parametrize("question", ["primary", f"primary {LAST_RESORT}"])
def test_an_emptied_node_stays_out_until_something_newer_is_known(question: str) -> None:
    assert ask(question, REPLACED, NOW + 1_000_000).startswith("down #")


def test_what_is_exactly_as_old_as_allowed_still_counts() -> None:
    assert ask("primary", RECOVERING, NOW + STALE) != READY


@pytest.mark.parametrize("question", ["primary", f"primary {LAST_RESORT}"])
def test_a_persons_word_outlives_our_knowledge(question: str) -> None:
    assert ask(question, MAINTENANCE) == DRAIN
    assert ask(question, MAINTENANCE, NOW + 1_000_000) == DRAIN


@pytest.mark.parametrize("question", ["primary", f"primary {LAST_RESORT}"])
def test_a_node_that_nobody_has_looked_at_is_let_in(question: str) -> None:
    assert ask(question, None) == READY


@pytest.mark.parametrize("question", ["stranger", f"stranger {LAST_RESORT}"])
def test_a_node_that_is_not_configured_is_kept_out(question: str) -> None:
    assert ask(question, None) == "down #not a configured node"
    assert answer(question, (), {}, NOW, STALE) == READY, "without a list of our own we know nothing of it"


def test_the_last_resort_keeps_out_only_what_is_wrong_even_then() -> None:
    last = f"primary {LAST_RESORT}"
    assert ask(last, RECOVERING) == READY
    assert ask(last, seen(Way.DOWN, NodeState.DOWN)) == READY, "the proxy sees for itself"
    assert ask(last, seen(Way.DRAIN, reason="lags")) == READY
    assert ask(last, REPLACED) == "down #replaced: another server"


def test_an_agent_that_is_there_says_so() -> None:
    assert ask(ALIVE, None) == READY


@pytest.mark.parametrize(
    "reason", ["a\nup ready", "a\r\nb", "a # b", "ümläut", "x" * 500, "tab\there", "\x00\x1b[0m", "  "]
)
def test_a_reason_stays_one_short_line_of_plain_letters(reason: str) -> None:
    said = ask("primary", seen(Way.DOWN, NodeState.DOWN, reason))
    assert said.isascii()
    assert said.isprintable()
    assert said.startswith("down #")
    assert said.count("#") == 1
    assert len(said) <= 110


# --- what the sweep wrote


def record(**changes: object) -> dict[str, object]:
    whole = {"state": "recovering", "reason": "was away", "lag": 3, "way": "down", "way_reason": "recovering: was away"}
    return {**whole, "observed_at": NOW, **changes}


def test_a_record_is_read() -> None:
    assert known(record()) == RECOVERING
    assert known(record(way_reason=None)) == seen(Way.DOWN, NodeState.RECOVERING, "was away")


@pytest.mark.parametrize(
    "broken", [{"state": "glorious"}, {"way": None}, {"observed_at": None}, {"observed_at": "today"}]
)
def test_a_record_that_cannot_be_read_is_no_knowledge(broken: dict[str, object]) -> None:
    assert known(record(**broken)) is None
    assert known({}) is None
