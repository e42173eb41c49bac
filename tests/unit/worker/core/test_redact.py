from __future__ import annotations

import base64
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.redact import MASK, scrub

# RFC 3986, 3.2.1: userinfo = *( unreserved / pct-encoded / sub-delims / ":" )
UNRESERVED = string.ascii_letters + string.digits + "-._~"
passwords = st.text(UNRESERVED, min_size=8, max_size=30).map(lambda text: f"pw{text}wp")
words = st.text(string.printable, max_size=30)


@given(words, passwords, words)
def test_a_password_in_a_url_never_gets_out(before: str, password: str, after: str) -> None:
    text = f"{before} http://admin:{password}@db.test:5984/pdfs {after}"

    assert password not in scrub(text).replace(before, "").replace(after, "")


@given(words, passwords, words)
def test_a_known_secret_never_gets_out(before: str, secret: str, after: str) -> None:
    assert secret not in scrub(f"{before}{secret}{after}", [secret])


@given(passwords)
def test_an_authorization_value_never_gets_out(password: str) -> None:
    basic = base64.b64encode(f"admin:{password}".encode()).decode()

    for scheme in ("Basic", "basic", "Bearer"):
        found = scrub(f"Authorization: {scheme} {basic}, more")
        assert basic not in found
        assert "more" in found


@pytest.mark.parametrize("sign", "!$&()*+,;=%")
def test_every_sign_that_a_urls_password_may_have(sign: str) -> None:
    found = scrub(f'could not open "http://admin:long{sign}secret@db.test/pdfs/"')

    assert "secret" not in found
    assert "db.test/pdfs" in found


def test_an_apostrophe_in_a_urls_password() -> None:
    assert "secret" not in scrub("could not open http://admin:it's-secret@db.test/pdfs/")


@pytest.mark.parametrize(
    "text",
    [
        '{"auth": {"basic": {"username": "admin", "password": "%s"}}}',
        '{auth_props,[{<<"basic">>,{[{<<"username">>,<<"admin">>}, {<<"password">>,<<"%s">>}]}}]}',
        '{ibrowse_options,[{basic_auth,{"admin", "%s"}},{inactivity_timeout,30000}]}',
    ],
)
@pytest.mark.parametrize("secret", ["hunter22", "abc_12-3", 'a\\"b-long'])
def test_no_secret_of_a_printed_term_gets_out(text: str, secret: str) -> None:
    found = scrub(text % secret)

    assert secret not in found
    assert "long" not in found
    assert MASK in found
    assert found.startswith(text[:8])
    assert found.endswith(text[-2:])


def test_a_session_cookie_gets_not_out() -> None:
    assert scrub('[{"Cookie","AuthSession=YWRtaW4-x; Version=1"}]') == f'[{{"Cookie","AuthSession={MASK}; Version=1"}}]'


def test_what_is_no_secret_stays() -> None:
    text = "the password is wrong; no node has a database 'pdfs'; mail me@example.org about http://db.test:5984/a@b"

    assert scrub(text) == text


def test_a_tiny_secret_does_not_blank_the_message() -> None:
    assert scrub("a message", ["a"]) == "a message"
    assert scrub("the key is abcd", ["abcd"]) == f"the key is {MASK}"
