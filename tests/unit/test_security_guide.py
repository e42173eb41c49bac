"""docs/security.md lists what the report checks, word for word, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from worker.core.audit.checks import CHECKS, Check, Scope

GUIDE = (Path(__file__).parents[2] / "docs" / "security.md").read_text(encoding="utf-8")
SECTION = GUIDE.partition("## Hardening list")[2].partition("\n## ")[0]


@pytest.mark.parametrize("check", CHECKS.values(), ids=lambda check: check.slug)
def test_every_check_is_in_the_list_as_it_is(check: Check) -> None:
    row = f"| `{check.slug}` | {check.grade or 'varies'} | {check.flaw} | {check.remedy} |"
    assert row in SECTION.splitlines(), row


@pytest.mark.parametrize("scope", list(Scope))
def test_the_list_has_no_other_and_the_order_of_the_table(scope: Scope) -> None:
    heading = {Scope.NODE: "On the nodes:", Scope.OWN: "In our own settings:"}[scope]
    part = SECTION.partition(heading)[2]
    listed = re.findall(r"^\| `([a-z-]+)` \|", part.partition("\n\n|")[2].partition("\n\n")[0], re.MULTILINE)
    assert listed == [check.slug for check in CHECKS.values() if check.scope is scope]


def test_slugs_are_words_and_texts_are_short_and_one_line() -> None:
    for check in CHECKS.values():
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", check.slug)
        for words in (check.flaw, check.remedy):
            assert len(words) < 120
            assert "|" not in words
            assert "\n" not in words
