"""Which versions an advisory is about: by the first that is affected and the first that is not, of each branch."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.advisories import ADVISORIES, OLDEST_MENDED, Advisory, Version, affecting, is_mended, parse, text

# CouchDB's own list: the last version that it calls affected and the first that it calls mended, of each branch
EDGES = [
    ("CVE-2023-45725", (3, 3, 2), (3, 3, 3)),
    ("CVE-2023-26268", (3, 2, 2), (3, 2, 3)),
    ("CVE-2023-26268", (3, 3, 1), (3, 3, 2)),
    ("CVE-2022-24706", (3, 2, 1), (3, 2, 2)),
    ("CVE-2021-38295", (3, 1, 1), (3, 1, 2)),
    ("CVE-2020-1955", (3, 0, 0), (3, 0, 1)),
    ("CVE-2018-17188", (2, 2, 0), (2, 3, 0)),
    ("CVE-2018-11769", (2, 1, 2), (2, 2, 0)),
    ("CVE-2018-8007", (2, 1, 1), (2, 1, 2)),
    ("CVE-2018-8007", (1, 7, 1), (1, 7, 2)),
    ("CVE-2017-12636", (2, 1, 0), (2, 1, 1)),
    ("CVE-2017-12635", (1, 6, 1), (1, 7, 1)),
    ("CVE-2014-2668", (1, 5, 0), (1, 5, 1)),
]
NAMED = {advisory.id: advisory for advisory in ADVISORIES}
VERSIONS = st.tuples(st.integers(0, 5), st.integers(0, 9), st.integers(0, 9))


@pytest.mark.parametrize(("name", "open_", "mended"), EDGES, ids=[f"{name}-{text(edge)}" for name, _, edge in EDGES])
def test_the_edges_are_those_of_the_official_list(name: str, open_: Version, mended: Version) -> None:
    assert NAMED[name].affects(open_)
    assert not NAMED[name].affects(mended)
    assert text(mended) in NAMED[name].fixed_in


def test_every_advisory_has_its_edges_here() -> None:
    assert {name for name, _, _ in EDGES} == set(NAMED)
    assert len(NAMED) == len(ADVISORIES)


def test_what_was_mended_in_an_older_branch_may_be_open_in_a_newer_one() -> None:
    assert [one.id for one in affecting((3, 2, 3))] == ["CVE-2023-45725"]
    assert [one.id for one in affecting((3, 3, 0))] == ["CVE-2023-45725", "CVE-2023-26268"]
    assert not NAMED["CVE-2020-1955"].affects((2, 3, 1)), "it came with 3.0.0"


@pytest.mark.parametrize("version", [(3, 3, 3), (3, 4, 0), (3, 5, 0), (3, 5, 3)], ids=text)
def test_nothing_is_said_of_versions_without_an_advisory(version: Version) -> None:
    assert affecting(version) == []


@given(VERSIONS)
def test_a_version_is_affected_just_inside_a_range(version: Version) -> None:
    told = set(affecting(version))
    for advisory in ADVISORIES:
        inside = [first <= version < fixed for first, fixed in advisory.affected]
        assert (advisory in told) is any(inside)
        assert sum(inside) <= 1, "ranges of one advisory do not overlap"


@given(VERSIONS, st.sampled_from(["", "-dirty", "+build.7", "-RC1", ".1", "-abc123"]))
def test_a_version_is_read_however_it_was_built(version: Version, suffix: str) -> None:
    assert parse(text(version) + suffix) == version


@given(st.text(max_size=20))
def test_any_text_is_read_or_unknown(words: str) -> None:
    found = parse(words)
    assert found is None or words.startswith(tuple("0123456789"))


@pytest.mark.parametrize("version", ["", "3", "3.5", "unknown", "v3.5.0", "3.5.x"])
def test_what_is_no_version_is_unknown(version: str) -> None:
    assert parse(version) is None


@given(VERSIONS)
def test_only_the_current_branch_and_the_one_before_are_mended(version: Version) -> None:
    assert is_mended(version) is (version[:2] >= OLDEST_MENDED)


@pytest.mark.parametrize("advisory", ADVISORIES, ids=lambda one: one.id)
def test_each_points_to_the_official_page(advisory: Advisory) -> None:
    assert advisory.url == f"https://docs.couchdb.org/en/stable/cve/{advisory.id[4:]}.html"
