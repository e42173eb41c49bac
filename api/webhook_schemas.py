"""What goes in and out of /api/webhooks. See api.schemas.

A receiver's URL goes in and never comes out, not even in an error: what is wrong with it is said without it.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from api.schemas import In, Out, Time, Wait
from config.webhooks import receiver
from worker.core.events import EventType

MOST_CHARACTERS = 2_000  # of a URL
MOST_DESCRIBED = 200
# what somebody may ask for by name; a test is sent because somebody asks for that one
WANTED = tuple(kind.value for kind in EventType if kind is not EventType.WEBHOOK_TEST)
_EXAMPLE = "wh_5f0c1a9be2d34c77"
_UNTELLABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def _url(value: str) -> str:
    if len(value) > MOST_CHARACTERS:
        raise PydanticCustomError("webhook_url", "is longer than {most} characters", {"most": MOST_CHARACTERS})
    try:
        receiver(value)
    except ValueError as error:
        raise PydanticCustomError("webhook_url", "{text}", {"text": str(error)}) from None
    return value


def _events(value: Any) -> Any:
    if not isinstance(value, list) or not value or not all(isinstance(one, str) for one in value):
        raise PydanticCustomError("webhook_events", "must be a list of event types; leave it out for all events")
    strange = sorted(set(value) - set(WANTED))
    if strange:
        text = f"{', '.join(map(repr, strange[:5]))}: not known here; known: {', '.join(WANTED)}"
        raise PydanticCustomError("webhook_events", "{text}", {"text": text})
    return sorted(set(value))


def _description(value: str) -> str:
    if not 1 <= len(value) <= MOST_DESCRIBED or _UNTELLABLE.search(value):
        raise PydanticCustomError(
            "webhook_description", "must be one line of text, of 1 to {most} characters", {"most": MOST_DESCRIBED}
        )
    return value


Url = Annotated[
    str,
    AfterValidator(_url),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": "^https?://[!-~]+$",
            "maxLength": MOST_CHARACTERS,
            "description": "Where events are sent. It is never shown again.",
            "examples": ["https://oncall.example.com/hook/token"],
        }
    ),
]
Events = Annotated[
    list[str],
    BeforeValidator(_events),
    WithJsonSchema({"type": "array", "items": {"type": "string", "enum": list(WANTED)}, "minItems": 1}),
]
Description = Annotated[
    str,
    AfterValidator(_description),
    WithJsonSchema(
        {"type": "string", "minLength": 1, "maxLength": MOST_DESCRIBED, "pattern": r"^[^\x00-\x1f\x7f-\x9f]*$"}
    ),
]


class WebhookRequest(In):
    url: Url
    events: Events | None = Field(
        None, description="Only events of these types; left out: all that are kept, so not `job.finished`."
    )
    description: Description | None = Field(None, description="For people.")


class WebhookTestRequest(In):
    wait: Wait = False


class WebhookBody(Out):
    id: str = Field(examples=[_EXAMPLE])
    host: str = Field(description="Scheme, host and port of its URL.", examples=["https://oncall.example.com"])
    events: list[str] | None = Field(description="The types that are sent there; null: all that are kept.")
    description: str | None
    created_at: Time | None = Field(description="Null for one of WEBHOOK_URLS.")
    source: Literal["api", "settings"] = Field(description="`settings`: it is one of WEBHOOK_URLS, and changed there.")


class WebhookMade(WebhookBody):
    secret: str = Field(
        description="What its events are signed with (Standard Webhooks). Shown this once.", examples=["whsec_…"]
    )


class WebhooksBody(Out):
    webhooks: list[WebhookBody] = Field(description="Those of WEBHOOK_URLS, then those of the API, the oldest first.")
    copies: list[str] = Field(
        description="The nodes that have a copy of what is registered. None: should Redis be lost, it is lost, too."
    )
