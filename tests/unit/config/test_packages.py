"""Advisories against what we pin."""

from __future__ import annotations

import re

import pytest

from config import packages
from config.packages import FILES, KNOWN, ROOT, Hit, advisories, compared, pinned

TEXT = "# as of 2026-11-27\nRequests<2.33.0   CVE-1 CVE-2\nurllib3<2.8.0 CVE-3\n"


def test_lines_that_pin_are_read_whatever_is_beside_them() -> None:
    text = "-r other.txt\n# why\nFlask_Cors==6.0.5\nfakeredis[lua]==2.40.0\nx==1.0 ; python_version < '3.13'\nfree>1\n"
    assert pinned(text) == {"flask-cors": "6.0.5", "fakeredis": "2.40.0", "x": "1.0"}


@pytest.mark.parametrize(
    ("version", "hits"),
    [("2.32.9", [Hit("requests", "2.32.9", "CVE-1 CVE-2")]), ("2.33.0", []), ("2.34.0", []), ("3.0.0rc1", [])],
)
def test_a_version_is_open_until_the_one_that_mends_it(version: str, hits: list[Hit]) -> None:
    assert compared({"requests": version, "other": "1"}, advisories(TEXT)) == hits


def test_what_the_index_does_not_tell_is_compared_with_the_list(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(packages, "asked", lambda files: ([], set()))
    assert packages.main() == 0
    said = capsys.readouterr().out
    assert re.search(rf"(\d+) of \1 packages: those were compared with {KNOWN} \(as of \d{{4}}-", said)

    monkeypatch.setattr(packages, "advisories", lambda text: advisories("flask<99 CVE-9"))
    assert packages.main() == 1
    assert "is open to CVE-9" in capsys.readouterr().err


def test_what_the_index_tells_counts(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    everything = {name for file in FILES for name in pinned((ROOT / file).read_text())}
    monkeypatch.setattr(packages, "asked", lambda files: ([Hit("flask", "3.1.3", "PYSEC-1")], everything))
    assert packages.main() == 1
    said = capsys.readouterr()
    assert "flask 3.1.3 is open to PYSEC-1" in said.err
    assert KNOWN not in said.out


def test_the_list_is_of_packages_of_ours() -> None:
    ours = {name for file in FILES for name in pinned((ROOT / file).read_text())}
    listed = advisories((ROOT / KNOWN).read_text())
    assert {one.package for one in listed} <= ours
    assert all(re.fullmatch(r"(CVE-\d{4}-\d{4,} ?)+", one.ids) for one in listed)
