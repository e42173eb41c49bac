from __future__ import annotations

import pytest

from worker.core.health import Look, NodeState, Verdict
from worker.core.register import Entry, as_json, from_json, newest, noted, strange

LOOK = Look("a", ok=True, uuid="one", own=True)
KNOWN = Entry(uuid="one", own=True, at=5.0)


@pytest.mark.parametrize(
    ("known", "look", "wanted", "debt"),
    [
        (KNOWN, LOOK, None, None),
        (KNOWN, Look("a", ok=True, uuid="two", own=True), "another uuid (two, it was one)", NodeState.RECOVERING),
        (KNOWN, Look("a", ok=True, uuid="two"), "another uuid (two, it was one)", NodeState.REPLACED),
        (KNOWN, Look("a", ok=True, uuid="two", own=False), "it was emptied", NodeState.REPLACED),
        (KNOWN, Look("a", ok=True, uuid="one", own=False), "it was emptied", NodeState.REPLACED),
        (KNOWN, Look("a", ok=True), None, None),  # it did not say
        (KNOWN, Look("a", ok=False), None, None),
        (Entry(), LOOK, None, None),  # known by name since the first start
        (Entry(), Look("a", ok=True, uuid="one", own=False), None, None),
        (None, LOOK, "a node that is new here", NodeState.REPLACED),
        (None, Look("a", ok=False), None, None),
    ],
)
def test_which_server_is_not_the_one_it_was(
    known: Entry | None, look: Look, wanted: str | None, debt: NodeState | None
) -> None:
    found = strange(known, look, others_known=True)

    assert (found.debt if found else None) is debt
    assert (wanted or "") in (found.why if found else "")


def test_at_the_very_first_start_nobody_is_new() -> None:
    assert strange(None, LOOK, others_known=False) is None


def test_what_is_noted_after_a_look() -> None:
    verdict = Verdict("a", debt=NodeState.RECOVERING)

    assert noted(None, LOOK, Verdict("a"), 7.0) == Entry("one", own=True), "a first sight overrules nobody"
    assert noted(KNOWN, LOOK, Verdict("a"), 7.0) is KNOWN
    assert noted(KNOWN, LOOK, verdict, 7.0) == Entry("one", own=True, owes="recovering", at=7.0)
    assert noted(KNOWN, Look("a", ok=False), Verdict("a"), 7.0) is KNOWN


def test_a_replaced_node_is_measured_by_what_it_was_until_it_is_let_in() -> None:
    other = Look("a", ok=True, uuid="two", own=False)

    kept = noted(KNOWN, other, Verdict("a", debt=NodeState.REPLACED), 7.0)
    assert (kept.uuid, kept.own, kept.owes) == ("one", True, "replaced")
    let_in = noted(kept, Look("a", ok=True, uuid="two", own=True), Verdict("a"), 9.0)
    assert let_in == Entry("two", own=True, at=9.0)


def test_the_newest_word_counts_for_each_node() -> None:
    one = {"a": Entry("old", at=1.0, maintenance=True, said_at=8.0), "b": Entry("b", at=9.0)}
    other = {"a": Entry("new", at=2.0, said_at=7.0), "b": Entry("b-old", at=3.0)}

    wanted = {"a": Entry("new", at=2.0, maintenance=True, said_at=8.0), "b": Entry("b", at=9.0)}
    assert newest([one, other]) == newest([other, one]) == wanted
    assert newest([]) == {}


def test_it_goes_through_json_and_takes_what_a_newer_version_wrote() -> None:
    register = {"a": Entry("one", own=True, maintenance=True, owes="replaced", at=1.5)}

    assert from_json(as_json(register)) == register
    assert from_json({"a": {"uuid": "one", "colour": "blue"}}) == {"a": Entry("one")}
