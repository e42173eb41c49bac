"""Signatures against the reference library's own check."""

from __future__ import annotations

import base64
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from worker.core.signature import headers, mark

KEY, OTHER = b"webhook-secret-of-24-bytes", b"another-secret-of-24-bytes"


def receiver(key: bytes) -> Webhook:
    return Webhook("whsec_" + base64.b64encode(key).decode())


@given(st.binary(min_size=24, max_size=64), st.text(), st.from_regex(r"[0-9]{1,19}-[0-9]{1,9}", fullmatch=True))
def test_the_reference_library_takes_it(key: bytes, text: str, message_id: str) -> None:
    payload = text.encode("utf-8", "replace")

    receiver(key).verify(payload, headers([key], message_id, time.time(), payload), json_parse=False)


def test_an_example_that_the_reference_library_has_in_its_own_tests() -> None:
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    payload = b'{"test": 2432232314}'

    made = headers([key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330.9, payload)

    assert made == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_while_secrets_change_a_receiver_that_knows_either_takes_it() -> None:
    made = headers([KEY, OTHER], "1-0", time.time(), b"{}")

    assert len(made["webhook-signature"].split(" ")) == 2
    for key in (KEY, OTHER):
        receiver(key).verify(b"{}", made)
    with pytest.raises(WebhookVerificationError):
        receiver(b"a-third-secret-of-24-bytes").verify(b"{}", made)


@pytest.mark.parametrize(("name", "value"), [("webhook-id", "2-0"), ("webhook-timestamp", "later"), ("", "")])
def test_nothing_that_is_signed_can_be_changed(name: str, value: str) -> None:
    made = headers([KEY], "1-0", time.time(), b"{}")
    value = str(int(made["webhook-timestamp"]) + 9) if value == "later" else value
    with pytest.raises(WebhookVerificationError):
        receiver(KEY).verify(b"{}" if name else b"{ }", {**made, **({name: value} if name else {})})


def test_a_receiver_is_marked_without_its_url() -> None:
    url = "https://chat.test/token"

    assert mark(KEY, url) == mark(KEY, url)
    assert len({mark(KEY, url), mark(OTHER, url), mark(KEY, url + "s")}) == 3
    assert len(mark(KEY, url)) == 16
