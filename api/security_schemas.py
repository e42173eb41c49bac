"""What goes out of /api/security. See api.schemas."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from api.schemas import In, Out, Time, Wait
from worker.core.audit.checks import Grade


class ReportRequest(In):
    wait: Wait = False


class FindingBody(Out):
    check: str = Field(description="A stable name, listed in docs/security.md.", examples=["database-open"])
    severity: Grade
    node: str | None = Field(description="Null where it is about our own settings.", examples=["replica1"])
    database: str | None
    detail: str = Field(description="What is wrong, in words; never a password or a hash.")
    remedy: str
    data: dict[str, Any] = Field(description="What a program can act on.")


class NotChecked(Out):
    check: str
    why: str


class ExtentBody(Out):
    total: int
    looked_at: int = Field(description="How many of them this report looked at; the next ones go on.")


class CheckedBody(Out):
    """Of one node, or of our own settings. A check is in just one list, or in `failed` and `unknown`."""

    node: str | None = Field(description="Null: our own settings.")
    passed: list[str] = Field(description="Looked at, and well.")
    failed: list[str] = Field(description="Looked at; there are findings.")
    unknown: list[NotChecked] = Field(description="Could not be looked at, or not as a whole.")
    not_applicable: list[NotChecked] = Field(description="There is nothing to look at.")
    databases: ExtentBody | None = Field(description="Null where they could not be listed.")


class ReportBody(Out):
    observed_at: Time | None = Field(None, description="Null before the first: then nothing is known.")
    advisories_as_of: str | None = Field(None, description="From when our list of CouchDB's advisories is.")
    counts: dict[Grade, int] | None = None
    findings: list[FindingBody] | None = Field(None, description="The worst first.")
    checked: list[CheckedBody] | None = None
