"""What is kept: by rule, by need, by a person's word; and what a year of nights leaves."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.retention import Decision, Held, Policy, decide, parse_policy

DAY = 86_400.0
FUTURE = "dated in the future: some clock was wrong"


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


NOW = at("2026-11-25T12:00")


def held(name: str, started: str = "2026-11-25T02:00", **more: object) -> Held:
    return replace(Held(name, at(started), "*", good=True), **more)  # type: ignore[arg-type]


def kept(policy: Policy, *backups: Held) -> dict[str, list[str]]:
    return decide(backups, policy, NOW).keep


# what is read of settings


def test_a_policy_is_read() -> None:
    assert parse_policy("last=7, daily=14, weekly=8, monthly=12") == Policy(last=7, daily=14, weekly=8, monthly=12)
    assert parse_policy(" Hourly = 24,yearly=3 , daily=0") == Policy(hourly=24, yearly=3)
    assert parse_policy(" all ") == Policy(everything=True)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("fortnightly=2", '"fortnightly=2" is no rule of retention'),
        ("everything=1", '"everything=1" is no rule of retention'),
        ("last=7,", '"" is no rule of retention'),
        ("last", '"last": last takes a whole number'),
        ("last=-1", '"last=-1": last takes a whole number'),
        ("last=1.5", "as in last=7"),
        ("last=１", "from 0 to 999999"),
        ("daily=1000000", "from 0 to 999999"),
        ("last=1, last=2", '"last" is there twice'),
        ("last=0, daily=0", "keeps nothing"),
        ("", "keeps nothing"),
        ("all, last=3", '"all" stands alone'),
        ("all=3", '"all" stands alone'),
    ],
)
def test_a_mistake_is_told(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        parse_policy(text)


# by rule


def test_a_bucket_keeps_its_newest_good_backup() -> None:
    assert kept(
        Policy(daily=2),
        held("old", "2026-11-20T02:00"),
        held("early", "2026-11-23T02:00"),
        held("late", "2026-11-23T22:00"),
        held("bad", "2026-11-23T23:00", good=False),
        held("newest", "2026-11-25T02:00"),
    ) == {
        "late": ["daily 2026-11-23"],  # a day without a backup does not count
        "newest": ["the last good one", "daily 2026-11-25"],
    }


def test_buckets_are_named_as_their_calendars_have_it() -> None:
    policy = Policy(hourly=1, daily=1, weekly=1, monthly=1, yearly=1)

    assert kept(policy, held("night", "2027-01-01T23:59:59")) == {"night": [FUTURE]}
    assert decide([held("night", "2027-01-01T23:59:59")], policy, at("2027-01-02")).keep == {
        "night": [
            "the last good one",
            "hourly 2027-01-01T23",
            "daily 2027-01-01",
            "weekly 2026-W53",  # of the year that its Thursday is in; this Friday is after it
            "monthly 2027-01",
            "yearly 2027",
        ]
    }


def test_the_last_are_good_ones() -> None:
    backups = [held(f"{day}", f"2026-11-{day}T02:00", good=day != 24) for day in range(20, 26)]

    assert kept(Policy(last=2), *backups) == {"23": ["last 2"], "25": ["the last good one", "last 2"]}


def test_nothing_goes_by_age() -> None:
    old = [held(name, f"20{name}-03-01T02:00") for name in ("11", "12", "13")]

    assert set(kept(Policy(daily=2), *old)) == {"12", "13"}


def test_scopes_do_not_displace_each_other() -> None:
    backups = [held("all"), held("some", "2026-01-01T02:00", scope="a*"), held("older", "2025-01-01T02:00", scope="a*")]

    assert decide(backups, Policy(last=1), NOW) == Decision(
        {"some": ["the last good one", "last 1"], "all": ["the last good one", "last 1"]}, ["older"]
    )


def test_the_last_good_one_stays_whatever_the_policy() -> None:
    assert kept(Policy(), held("old", "2026-01-01T02:00"), held("newest")) == {"newest": ["the last good one"]}


def test_a_bad_night_stays_until_something_better_is() -> None:
    good, bad, worse = held("good", "2026-11-22T02:00"), held("bad", good=False), held("worse", good=False)
    reasons = ["no newer one is good"]

    assert kept(Policy(last=1), bad, worse) == {"bad": reasons, "worse": reasons}
    assert set(kept(Policy(last=1), good, bad)) == {"good", "bad"}
    assert set(kept(Policy(last=1), replace(good, scope="a"), bad)) == {"good", "bad"}
    assert set(kept(Policy(last=1), good, replace(bad, started_at=good.started_at))) == {"good", "bad"}
    assert set(kept(Policy(last=9), good, replace(bad, started_at=good.started_at - 1))) == {"good"}


def test_what_is_dropped_comes_oldest_first() -> None:
    backups = [held(name, f"2026-{name}-01T02:00") for name in ("05", "03", "09", "01")]

    assert decide(backups, Policy(last=1), NOW).drop == ["01", "03", "05"]


# in spite of the rules


def test_on_hold_or_running_it_stays() -> None:
    old = held("old", "2020-01-01T02:00", good=False)

    assert kept(Policy(last=1), held("newest"), replace(old, hold=True))["old"] == ["legal hold"]
    assert kept(Policy(last=1), held("newest"), replace(old, running=True))["old"] == ["running"]


def test_a_running_one_displaces_nothing() -> None:
    night, now = held("night", "2026-11-24T02:00"), held("now", running=True)

    assert kept(Policy(last=1), night, now) == {"night": ["the last good one", "last 1"], "now": ["running"]}


def test_one_dated_in_the_future_stays_and_displaces_nothing() -> None:
    backups = [
        held("good", "2026-11-23T02:00"),
        held("bad", "2026-11-24T02:00", good=False),
        held("ahead", "2031-01-01T02:00"),
        held("far", "2032-01-01T02:00", good=False),
    ]

    assert kept(Policy(last=1), *backups) == {
        "good": ["the last good one", "last 1"],
        "bad": ["no newer one is good"],
        "ahead": [FUTURE],
        "far": [FUTURE],
    }


def test_all_keeps_what_is_bad_too() -> None:
    assert kept(parse_policy("all"), held("bad", "2020-01-01T02:00", good=False), held("newest")) == {
        "bad": ["the policy keeps all"],
        "newest": ["the policy keeps all", "the last good one"],
    }


# by need


def test_parents_stay_from_one_to_the_next_and_across_scopes() -> None:
    full = held("full", "2026-11-01T02:00", scope="a*", good=False)
    first = held("first", "2026-11-02T02:00", parents=("full",))
    second = held("second", "2026-11-03T02:00", parents=("first",))
    other = held("other", "2026-11-04T02:00", scope="a*")
    apart = held("apart", "2026-11-01T03:00")

    assert decide([second, other, first, apart, full], Policy(last=1), NOW) == Decision(
        {
            "full": ["needed by first"],
            "first": ["needed by second"],
            "second": ["the last good one", "last 1"],
            "other": ["the last good one", "last 1"],
        },
        ["apart"],
    )


def test_of_many_that_need_it_the_newest_is_named() -> None:
    full = held("full", "2026-11-01T02:00")
    after = [held(f"{day}", f"2026-11-{day}T02:00", parents=("full", "full")) for day in (20, 21, 22)]

    assert kept(Policy(last=3), full, *after)["full"] == ["needed by 22 and 2 more"]


def test_parents_that_go_round_or_are_gone_do_no_harm() -> None:
    one, two = held("one", parents=("two", "one", "gone")), held("two", "2026-01-01T02:00", parents=("one",))
    last = ["the last good one"]

    assert kept(Policy(), one, two) == {"two": ["needed by one"], "one": [*last, "needed by two"]}
    newer = held("newer", "2026-11-25T03:00")
    assert decide([one, two, newer], Policy(), NOW) == Decision({"newer": last}, ["two", "one"])


def test_ids_that_repeat_are_refused() -> None:
    with pytest.raises(ValueError, match="the id night: none is dropped"):
        decide([held("night"), held("other"), held("night", "2020-01-01T02:00")], Policy(last=1), NOW)


# a year


FIRST_NIGHT = at("2026-01-01T02:00")  # a Thursday
FAILED = {3, 40, 100, 101, 102, 203, 270, 362}
HELD = 45
YEAR = parse_policy("last=3, daily=7, weekly=5, monthly=12")


def night(number: int, left: dict[str, Held]) -> Held:
    """A full one each Sunday, or while there is none; else one that needs whatever good one came before it."""
    started = FIRST_NIGHT + number * DAY
    before = [backup.id for backup in left.values() if backup.good]
    weekday = datetime.fromtimestamp(started, UTC).isoweekday()
    parents = () if weekday == 7 or not before else (before[-1],)
    return Held(f"{number:03}", started, "*", good=number not in FAILED, parents=parents, hold=number == HELD)


def nights(count: int) -> list[tuple[dict[str, Held], Decision]]:
    """Of each night: what was there with the newest, and what was decided. What is dropped is gone for the next."""
    left: dict[str, Held] = {}
    told = []
    for number in range(count):
        backup = night(number, left)
        left[backup.id] = backup
        decision = decide(list(left.values()), YEAR, backup.started_at + 3_600)
        told.append((dict(left), decision))
        left = {name: backup for name, backup in left.items() if name in decision.keep}
    return told


YEAR_OF_NIGHTS = nights(365)


def test_on_every_night_the_chains_are_whole_and_the_last_good_one_is_there() -> None:
    for number, (there, decision) in enumerate(YEAR_OF_NIGHTS):
        for name in decision.keep:
            assert set(there[name].parents) <= set(decision.keep), f"night {number}"
        newest = max(good for good in range(number + 1) if good not in FAILED)
        assert "the last good one" in decision.keep[f"{newest:03}"]
        if number >= HELD:
            assert "legal hold" in decision.keep[f"{HELD:03}"]
        assert len(decision.keep) < 80


def test_on_every_night_what_the_policy_promises_is_there() -> None:
    for number, (_, decision) in enumerate(YEAR_OF_NIGHTS):
        good = [f"{one:03}" for one in range(number, -1, -1) if one not in FAILED]
        assert set(good[:7]) <= set(decision.keep)  # one a night: the last 7 are those of 7 days


def test_failed_nights_go_with_the_next_good_one() -> None:
    reasons = {
        number: [failed for failed in sorted(FAILED) if f"{failed:03}" in decision.keep]
        for number, (_, decision) in enumerate(YEAR_OF_NIGHTS)
    }

    assert (reasons[40], reasons[41]) == ([40], [])
    assert (reasons[100], reasons[102], reasons[103]) == ([100], [100, 101, 102], [])


def test_what_a_year_leaves() -> None:
    keep = YEAR_OF_NIGHTS[-1][1].keep
    by_rule = {name: [why for why in reasons if not why.startswith("needed")] for name, reasons in keep.items()}

    assert by_rule["364"] == [
        "the last good one", "last 3", "daily 2026-12-31", "weekly 2026-W53", "monthly 2026-12"
    ]  # fmt: skip
    assert by_rule["361"] == ["last 3", "daily 2026-12-28"]  # 362 had failed
    assert by_rule["360"] == ["daily 2026-12-27", "weekly 2026-W52"]
    assert by_rule[f"{HELD:03}"] == ["legal hold"]
    rules = [why.split()[0] for reasons in by_rule.values() for why in reasons]
    counted = {rule: rules.count(rule) for rule in ("last", "daily", "weekly", "monthly", "yearly")}
    assert counted == {"last": 3, "daily": 7, "weekly": 5, "monthly": 12, "yearly": 0}
    # the rest is there because of these: at most the six nights between a full one and what needs it
    assert sum(not reasons for reasons in by_rule.values()) <= 6 * (12 + 1)
    assert len(keep) < 80


# whatever there is


names = st.integers(0, 14).map(str)
backups_of_any_kind = st.lists(
    st.builds(
        Held,
        id=names,
        started_at=st.integers(-20, 4).map(lambda count: NOW + count * 7 * 3_600),
        scope=st.sampled_from(["*", "a*"]),
        good=st.booleans(),
        parents=st.lists(names, max_size=2).map(tuple),
        hold=st.integers(0, 9).map(lambda drawn: drawn == 0),
        running=st.integers(0, 9).map(lambda drawn: drawn == 0),
    ),
    max_size=15,
    unique_by=lambda backup: backup.id,
)
few = st.integers(0, 3)
policies = st.builds(Policy, few, few, few, few, few, few)


@given(backups_of_any_kind, policies)
def test_each_is_either_kept_or_dropped(backups: list[Held], policy: Policy) -> None:
    decision = decide(backups, policy, NOW)

    assert sorted([*decision.keep, *decision.drop]) == sorted(backup.id for backup in backups)
    assert all(decision.keep.values())


@given(backups_of_any_kind, policies)
def test_what_a_kept_one_needs_is_kept(backups: list[Held], policy: Policy) -> None:
    decision = decide(backups, policy, NOW)

    needed = {parent for backup in backups if backup.id in decision.keep for parent in backup.parents}
    assert not needed & set(decision.drop)


@given(backups_of_any_kind, policies, st.data())
def test_a_removal_that_was_cut_off_goes_on(backups: list[Held], policy: Policy, data: st.DataObject) -> None:
    decision = decide(backups, policy, NOW)
    gone = data.draw(st.sets(st.sampled_from(decision.drop))) if decision.drop else set()

    again = decide([backup for backup in backups if backup.id not in gone], policy, NOW)
    assert again == Decision(decision.keep, [name for name in decision.drop if name not in gone])
    assert decide([backup for backup in backups if backup.id in decision.keep], policy, NOW).drop == []


@given(backups_of_any_kind.flatmap(lambda found: st.tuples(st.just(found), st.permutations(found))), policies)
def test_order_does_not_matter(orders: tuple[list[Held], list[Held]], policy: Policy) -> None:
    assert decide(orders[0], policy, NOW) == decide(orders[1], policy, NOW)


@given(backups_of_any_kind, policies, st.floats(0, 1e6))
def test_time_alone_drops_nothing(backups: list[Held], policy: Policy, later: float) -> None:
    past = [backup for backup in backups if backup.started_at <= NOW]

    assert decide(past, policy, NOW + later) == decide(past, policy, NOW)
