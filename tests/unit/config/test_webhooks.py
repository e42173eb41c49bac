"""Receivers of events and the secrets to sign with: what is taken, what is refused, and that no error repeats them."""

from __future__ import annotations

import base64

import pytest

from config.settings import Settings, SettingsError, build
from config.webhooks import Receiver, tokens_of

KEY = b"webhook-secret-of-24-bytes"
SECRET = "whsec_" + base64.b64encode(KEY).decode()


def settings(urls: str = "", secret: str = SECRET) -> Settings:
    return build({"webhook_urls": urls, "webhook_secret": secret})


def test_receivers_are_known_by_scheme_and_host_alone() -> None:
    found = settings("https://chat.test/services/T0/B0/token-token, http://me:password@[::1]:8080/hook?key=x").receivers

    assert [receiver.host for receiver in found] == ["https://chat.test", "http://[::1]:8080"]
    assert found[0].url == "https://chat.test/services/T0/B0/token-token"
    assert "token" not in repr(found)
    assert "password" not in repr(found)


def test_nobody_is_sent_anything_by_default_and_a_receiver_that_is_named_twice_is_sent_it_once() -> None:
    assert settings(secret="").receivers == ()
    assert len(settings("https://a.test/,https://a.test/").receivers) == 1


@pytest.mark.parametrize(
    "url",
    [
        "chat.test/sesame",
        "ftp://chat.test/sesame",
        "https:///sesame",
        "https://chat.test:port/sesame",
        "https://chat.test/sesame#part",
        "https://chat.test/open sesame",
        "https://chät.test/sesame",
        "http://[::1/sesame",
    ],
)
def test_a_url_that_cannot_be_one_is_refused_by_its_number_and_not_repeated(url: str) -> None:
    with pytest.raises(SettingsError, match=r"WEBHOOK_URLS: entry 2 must be an http:// or https:// URL") as refused:
        settings(f"https://fine.test/,{url}")

    assert "sesame" not in str(refused.value)


def test_several_secrets_are_for_changing_from_one_to_another() -> None:
    other = "whsec_" + base64.b64encode(b"x" * 64).decode()

    assert settings(secret=f"{SECRET} {other}").webhook_keys == (KEY, b"x" * 64)


@pytest.mark.parametrize(
    "secret",
    [
        "sesame",
        base64.b64encode(KEY).decode(),
        "whsec_",
        "whsec_no*base64" + "A" * 32,
        "whsec_" + base64.b64encode(b"x" * 23).decode(),
        "whsec_" + base64.b64encode(b"x" * 65).decode(),
        f"{SECRET} sesame",
        f"{SECRET},{SECRET}",
    ],
)
def test_a_secret_of_another_form_is_refused_with_the_right_one(secret: str) -> None:
    with pytest.raises(
        SettingsError, match=r"WEBHOOK_SECRET: each secret is whsec_ and then 24 to 64 bytes"
    ) as refused:
        settings(secret=secret)

    assert "sesame" not in str(refused.value)
    assert base64.b64encode(KEY).decode() not in str(refused.value)


def test_nothing_is_sent_unsigned() -> None:
    with pytest.raises(SettingsError, match="WEBHOOK_URLS needs WEBHOOK_SECRET"):
        settings("https://a.test/", secret="")


def test_what_may_be_a_token_is_masked_and_words_are_not() -> None:
    tokens = tokens_of(Receiver("https://a.test", "https://a.test/hook/token-token?wait=true&key=other-token"))

    assert {"token-token", "other-token"} <= set(tokens)
    assert not {"", "/", "hook", "true"} & set(tokens)
