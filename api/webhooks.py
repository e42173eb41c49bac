"""/api/webhooks: have events sent, to receivers that come and go while the system runs."""

from __future__ import annotations

from contextlib import suppress

from flask import Blueprint, Response, g

from api import reading
from api.answers import answer
from api.context import context
from api.errors import Problem, invalid
from api.openapi import Answer, Operation, operation
from api.schemas import NoQuery
from api.submitting import JOB_ANSWERS, JOB_HEADERS, submit
from api.webhook_schemas import WebhookBody, WebhookMade, WebhookRequest, WebhooksBody, WebhookTestRequest
from config.tokens import Role
from config.webhooks import Receiver, receiver
from tasks.receivers import NoSecretKey, TooManyReceivers
from tasks.redis import StoreUnavailable
from tasks.webhooks import mark_of, receiver_of, request_for_test
from worker.core.addresses import Allowed, host_refusal
from worker.core.registrations import MOST, PREFIX, Registration

blueprint = Blueprint("webhooks", __name__, url_prefix="/api/webhooks")
_PATH = {"webhook_id": "The receiver's id."}


@blueprint.post("")
@operation(
    Operation(
        "Register a receiver of events.",
        {201: Answer("It is sent events from now on.", WebhookMade, ("Location",))},
        (409, 503),
        body=WebhookRequest,
        role=Role.ADMIN,
    )
)
def register() -> Response:
    asked = reading.body(WebhookRequest)
    parts = context()
    wanted = _allowed(asked.url)
    try:
        made, secret = parts.receivers.add(wanted, parts.clock(), events=asked.events, description=asked.description)
    except NoSecretKey:
        detail = "set SECRET_KEY, as `openssl rand -hex 32` makes one: a receiver's URL and secret are kept sealed"
        raise Problem("no-secret-key", detail) from None
    except TooManyReceivers:
        raise Problem("too-many-webhooks", f"there are {MOST} already: delete one first") from None
    g.about = f"{made.id} {made.host}"  # for the audit log
    _copy_soon()
    body = WebhookMade(**dict(_told(made)), secret=secret)
    return answer(body, 201, {"Location": f"/api/webhooks/{made.id}"})


@blueprint.get("")
@operation(Operation("The receivers of events.", {200: Answer("All of them.", WebhooksBody)}, (503,), query=NoQuery))
def all_webhooks() -> Response:
    reading.query(NoQuery)
    parts = context()
    found = [_of_settings(one) for one in parts.settings.receivers]
    found += [_told(one) for one in parts.receivers.living()]
    return answer(WebhooksBody(webhooks=found, copies=parts.receivers.copied_to()))


@blueprint.get("/<webhook_id>")
@operation(
    Operation("One receiver.", {200: Answer("The receiver.", WebhookBody)}, (404, 503), query=NoQuery, path=_PATH)
)
def one(webhook_id: str) -> Response:
    reading.query(NoQuery)
    return answer(_find(webhook_id))


@blueprint.delete("/<webhook_id>")
@operation(
    Operation(
        "Have nothing more sent to a receiver.",
        {204: Answer("It is sent nothing any more.", media="")},
        (404, 409, 503),
        query=NoQuery,
        path=_PATH,
        role=Role.ADMIN,
    )
)
def delete(webhook_id: str) -> Response:
    reading.query(NoQuery)
    if _find(webhook_id).source == "settings":
        raise Problem("webhook-of-settings", "take it out of WEBHOOK_URLS, and start again what runs")
    parts = context()
    if not parts.receivers.remove(webhook_id, parts.clock()):
        raise _unknown(webhook_id)
    _copy_soon()
    nothing = Response(status=204)
    del nothing.headers["Content-Type"]
    return nothing


@blueprint.post("/<webhook_id>/test")
@operation(
    Operation(
        "Send a receiver an event of type webhook.test.",
        JOB_ANSWERS,
        (404, 409, 503),
        body=WebhookTestRequest,
        bare=True,
        headers=JOB_HEADERS,
        path=_PATH,
        role=Role.ADMIN,
    )
)
def test(webhook_id: str) -> Response:
    asked = reading.optional_body(WebhookTestRequest)
    found = _find(webhook_id)
    return submit(request_for_test(found.host, found.id), asked.wait)


def _allowed(url: str) -> Receiver:
    """What can be told without a look-up, because this process calls nobody; the rest when something is sent."""
    wanted, private = receiver(url), context().settings.private_webhooks
    why = host_refusal(wanted.name, Allowed(private.networks, private.names))
    if why is not None:
        raise invalid([{"field": "url", "message": f"its host {why}"}])
    return wanted


def _copy_soon() -> None:
    with suppress(StoreUnavailable):  # it was done all the same, and is copied to the nodes within seconds anyway
        context().soon("receivers")


def _find(webhook_id: str) -> WebhookBody:
    if webhook_id.startswith(PREFIX):
        registered = context().receivers.get(webhook_id)
        if registered is not None:
            return _told(registered)
    else:
        configured = receiver_of(context().settings, webhook_id)
        if configured is not None:
            return _of_settings(configured)
    raise _unknown(webhook_id)


def _unknown(webhook_id: str) -> Problem:
    return Problem("unknown-webhook", f"there is no webhook receiver {webhook_id!r}: it never was, or was deleted")


def _told(one: Registration) -> WebhookBody:
    return WebhookBody(
        id=one.id,
        host=one.host,
        events=None if one.events is None else list(one.events),
        description=one.description,
        created_at=one.created_at,
        source="api",
    )


def _of_settings(one: Receiver) -> WebhookBody:
    found = mark_of(context().settings, one)
    return WebhookBody(id=found, host=one.host, events=None, description=None, created_at=None, source="settings")
