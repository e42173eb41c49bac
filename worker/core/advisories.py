"""The known security advisories of CouchDB, and which of them a version is open to. Pure.

The project's own list, from 2014 on, as it was on AS_OF: https://docs.couchdb.org/en/stable/cve/index.html . Older ones
are of branches that END_OF_LIFE says enough about. A range has the first version that is affected and the first of the
same branch that is not, because a fix goes to several branches: 3.3.0 is open to what 3.2.3 is not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from worker.core.audit.checks import Grade

Version = tuple[int, int, int]
AS_OF = "2026-08-06"
OLDEST_MENDED = (3, 4)  # CouchDB mends its current branch and the one before: 3.5 and 3.4 on AS_OF
_BEGINNING: Version = (0, 0, 0)
# what comes after the third number says how it was built: 3.5.0-dirty, 3.4.2+abc, 3.5.2.1
_VERSION = re.compile(r"([0-9]{1,6})\.([0-9]{1,6})\.([0-9]{1,6})(?![0-9])")


@dataclass(frozen=True)
class Advisory:
    """`affected`: (first, first that is mended), the second not being in it. `grade` as CouchDB gave it."""

    id: str
    grade: Grade
    what: str
    affected: tuple[tuple[Version, Version], ...]

    @property
    def url(self) -> str:
        return f"https://docs.couchdb.org/en/stable/cve/{self.id.removeprefix('CVE-')}.html"

    @property
    def fixed_in(self) -> list[str]:
        return [text(fixed) for _, fixed in self.affected]

    def affects(self, version: Version) -> bool:
        return any(first <= version < fixed for first, fixed in self.affected)


ADVISORIES = (
    Advisory(
        "CVE-2023-45725",
        Grade.MEDIUM,
        "a design document can read the session of whoever opens it",
        ((_BEGINNING, (3, 3, 3)),),
    ),
    Advisory(
        "CVE-2023-26268",
        Grade.MEDIUM,
        "design documents of the same id in different databases share a JavaScript environment",
        ((_BEGINNING, (3, 2, 3)), ((3, 3, 0), (3, 3, 2))),
    ),
    Advisory(
        "CVE-2022-24706",
        Grade.CRITICAL,
        "whoever reaches its Erlang port becomes an admin by the default cookie",
        ((_BEGINNING, (3, 2, 2)),),
    ),
    Advisory(
        "CVE-2021-38295",
        Grade.LOW,
        "a script in an HTML attachment runs with the rights of the admin who opens it",
        ((_BEGINNING, (3, 1, 2)),),
    ),
    Advisory(
        "CVE-2020-1955",
        Grade.MEDIUM,
        "require_valid_user_except_for_up asks nobody for credentials",
        (((3, 0, 0), (3, 0, 1)),),
    ),
    Advisory(
        "CVE-2018-17188",
        Grade.MEDIUM,
        "an admin of the database can run programs by its configuration",
        ((_BEGINNING, (2, 3, 0)),),
    ),
    Advisory(
        "CVE-2018-11769",
        Grade.LOW,
        "an admin of the database can run programs by its configuration",
        ((_BEGINNING, (2, 2, 0)),),
    ),
    Advisory(
        "CVE-2018-8007",
        Grade.LOW,
        "an admin of the database can run programs by its configuration",
        ((_BEGINNING, (1, 7, 2)), ((2, 0, 0), (2, 1, 2))),
    ),
    Advisory(
        "CVE-2017-12636",
        Grade.CRITICAL,
        "an admin of the database can run programs by its configuration",
        ((_BEGINNING, (1, 7, 1)), ((2, 0, 0), (2, 1, 1))),
    ),
    Advisory(
        "CVE-2017-12635",
        Grade.CRITICAL,
        "anybody who may register can make himself an admin",
        ((_BEGINNING, (1, 7, 1)), ((2, 0, 0), (2, 1, 1))),
    ),
    Advisory(
        "CVE-2014-2668",
        Grade.MEDIUM,
        "a request for very many UUIDs exhausts the server",
        ((_BEGINNING, (1, 5, 1)),),
    ),
)


def parse(version: str) -> Version | None:
    """Its three numbers; None where it does not begin with three."""
    match = _VERSION.match(version)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def text(version: Version) -> str:
    return ".".join(map(str, version))


def affecting(version: Version) -> list[Advisory]:
    return [advisory for advisory in ADVISORIES if advisory.affects(version)]


def is_mended(version: Version) -> bool:
    """Whether its branch still gets security fixes."""
    return version[:2] >= OLDEST_MENDED
