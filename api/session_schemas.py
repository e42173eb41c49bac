"""What /api/session answers."""

from __future__ import annotations

from pydantic import Field

from api.schemas import Out


class SessionBody(Out):
    caller: str | None = Field(description="The name of the token, or anonymous; null: nobody.", examples=["ci"])
    role: str | None = Field(description="view, operate or admin.")
    signed_in: bool = Field(description="Whether a browser's sign-in is what names the caller.")
    csrf_token: str | None = Field(
        description="For who signed in: to be sent as X-CSRF-Token with whatever changes something."
    )
