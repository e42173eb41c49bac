"""The table of events, the guide that lists it, and how an event is written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from worker.core.events import ABOUT, SENT_ONLY, Event, EventType, Severity, as_json, complete, of_json, payload

GUIDE = (Path(__file__).parents[4] / "docs" / "api.md").read_text(encoding="utf-8")
EVENT = Event(
    "1795446000123-0",
    EventType.NODE_STATE,
    1_795_446_000.1234,
    Severity.ERROR,
    "replica1 is down: connection refused",
    "replica1",
    None,
    {"from": "suspect", "to": "down", "failure": "refused"},
)


@pytest.mark.parametrize("kind", list(EventType))
def test_every_type_is_in_the_guide_with_its_meaning_and_its_fields(kind: EventType) -> None:
    fields = ", ".join(f"`{name}`" for name in ABOUT[kind].fields)
    assert f"\n| `{kind.value}` | {ABOUT[kind].meaning} | {fields} |\n" in GUIDE


def test_the_guide_lists_no_other_type() -> None:
    listed = GUIDE.partition("\n| type | what happened |")[2].partition("\n\n")[0]
    assert re.findall(r"\n\| `([^`]+)`", listed) == [kind.value for kind in EventType]


def test_no_field_of_a_type_hides_one_that_all_have() -> None:
    common = payload(Event("1-0", EventType.NODE_STATE, 0, Severity.INFO, "x"))["data"].keys()
    for about in ABOUT.values():
        assert not common & set(about.fields)


def test_no_event_is_about_the_sending_of_events() -> None:
    """A receiver that fails must not cause what it fails at."""
    assert [kind for kind in EventType if "webhook" in kind.value] == [EventType.WEBHOOK_TEST]
    assert EventType.WEBHOOK_TEST in SENT_ONLY, "it is sent because a person asked for it, to one receiver"


def test_what_is_kept_can_be_read_again() -> None:
    assert of_json(as_json(EVENT)) == EVENT


def test_what_is_sent_is_a_standard_webhook() -> None:
    assert payload(EVENT) == {
        "type": "node.state",
        "timestamp": "2026-11-23T15:00:00.123Z",
        "data": {
            "id": "1795446000123-0",
            "severity": "error",
            "detail": "replica1 is down: connection refused",
            "node": "replica1",
            "database": None,
            "from": "suspect",
            "to": "down",
            "failure": "refused",
        },
    }


def test_a_type_always_has_the_same_fields() -> None:
    assert complete(EventType.NODE_STATE, {"to": "down"}) == {"from": None, "to": "down", "failure": None}
    with pytest.raises(ValueError, match=r"node\.state has no field til"):
        complete(EventType.NODE_STATE, {"til": "down"})
