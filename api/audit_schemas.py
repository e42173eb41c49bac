"""What /api/audit takes and answers."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from api.schemas import EVENT_ID, In, Out, Time, page_size

MOST_A_PAGE = 200


class AuditQuery(In):
    model_config = ConfigDict(strict=False)  # a query has only strings

    refused: bool = Field(False, description="Those that were refused, in place of those that were carried out.")
    caller: str | None = Field(None, min_length=1, description="Only requests of this caller.")
    before: str | None = Field(None, pattern=EVENT_ID, description="`next` of the page before.")
    limit: Annotated[int, page_size(MOST_A_PAGE)] = Field(
        50, ge=1, le=MOST_A_PAGE, description="Most requests to answer."
    )


class ChangeBody(Out):
    """One request that may have changed something. What was asked for is in its job."""

    id: str
    at: Time
    caller: str | None = Field(description="The name of the token, or anonymous.", examples=["ci"])
    role: str | None
    address: str = Field(description="Where it came from; behind proxies see API_PROXIES.")
    method: str
    path: str
    status: int = Field(description="What was answered.")
    about: str | None = Field(description="What it was about, in a few words.", examples=["sync pdfs"])
    job: str | None = Field(description="The job that it made, or joined.")
    problem: str | None = Field(description="Why it was refused, as the end of the problem's type.")


class AuditBody(Out):
    changes: list[ChangeBody]
    next: str | None
