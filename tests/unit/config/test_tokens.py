"""How tokens are written."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.tokens import MIN_LENGTH, Role, Token, new_token, parse_tokens, plain_tokens, written

SECRET = "a-token-of-some-length"
DIGEST = hashlib.sha256(SECRET.encode()).hexdigest()


@pytest.mark.parametrize(
    ("entry", "name", "role"),
    [
        (SECRET, f"token-{DIGEST[:8]}", Role.ADMIN),
        (f"sha256:{DIGEST}", f"token-{DIGEST[:8]}", Role.ADMIN),
        (f"SHA256:{DIGEST.upper()}", f"token-{DIGEST[:8]}", Role.ADMIN),
        (f"view:{SECRET}", f"token-{DIGEST[:8]}", Role.VIEW),
        (f"ci=operate:sha256:{DIGEST}", "ci", Role.OPERATE),
        (f"grafana.eu-1=view:{SECRET}", "grafana.eu-1", Role.VIEW),
    ],
)
def test_an_entry_is_a_token_with_a_role_and_a_name(entry: str, name: str, role: Role) -> None:
    assert parse_tokens(entry) == (Token(name, role, DIGEST),)


@pytest.mark.parametrize("token", ["abcdefghijklmnop==", "name=0123456789abcdef"])
def test_a_token_may_look_like_a_name(token: str) -> None:
    assert parse_tokens(token)[0].digest == hashlib.sha256(token.encode()).hexdigest()


@pytest.mark.parametrize(
    "slip",
    ["ci=operator:", "Ci=view:", "ci=View:", "ci = view:", "ci:", "ci=view:sha-256:", "view:view:"],
)
def test_a_slip_before_a_digest_makes_no_token_of_the_whole_line(slip: str) -> None:
    """It would be an admin's, and stand in the settings for everybody to read."""
    with pytest.raises(ValueError, match="no colon") as refused:
        parse_tokens(f"{slip}sha256:{DIGEST}")
    assert ("'operator' is no role" in str(refused.value)) is (slip == "ci=operator:")


@pytest.mark.parametrize("name", ["anonymous", "token-12345678"])
def test_names_of_callers_without_one_are_taken(name: str) -> None:
    with pytest.raises(ValueError, match="is no name"):
        parse_tokens(f"{name}=admin:{SECRET}")
    with pytest.raises(ValueError, match="is no name"):
        written(name, Role.VIEW, SECRET)


def test_they_are_separated_by_commas_or_lines_and_may_be_explained() -> None:
    text = f"# who\nview:{SECRET}1, {SECRET}2\n\n  admin:{SECRET}3 # the owner\n"
    assert [token.role for token in parse_tokens(text)] == [Role.VIEW, Role.ADMIN, Role.ADMIN]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("short", "entry 1: each token needs at least 16 characters"),
        (f"{SECRET},ci=view:short", "entry 2"),
        ("sha256:" + "0" * 63, "entry 1"),
        (" , ", "has no token in it"),
        (f"{SECRET},view:{SECRET}", "entry 2 has the same token"),
        (f"a=view:{SECRET},a=admin:{SECRET}2", "entry 2 has the same name"),
    ],
)
def test_what_is_wrong_is_told_by_its_number_and_not_repeated(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        parse_tokens(text)
    assert SECRET not in str(refused.value)


def test_a_new_token_is_accepted_by_the_line_that_is_written_for_it() -> None:
    made = new_token()
    line = written("ci", Role.OPERATE, made)
    assert made not in line
    assert parse_tokens(line) == (Token("ci", Role.OPERATE, hashlib.sha256(made.encode()).hexdigest()),)
    assert new_token() != made
    assert len(made) >= 2 * MIN_LENGTH


@pytest.mark.parametrize("name", ["", "CI", "a b", "a=b", "-a", "a" * 64, "ä"])
def test_a_name_that_cannot_be_written_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is no name"):
        written(name, Role.VIEW, SECRET)


def test_only_tokens_that_are_written_out_have_to_be_masked() -> None:
    assert plain_tokens(f"ci=view:{SECRET},sha256:{DIGEST}") == [SECRET]


def test_what_is_kept_of_a_token_gives_neither_it_nor_its_digest() -> None:
    (token,) = parse_tokens(SECRET)
    assert token.id not in {token.digest, token.digest[:32]}


@given(st.text(st.characters(codec="ascii", exclude_characters=",#:\n", exclude_categories=["Cc", "Zs"]), min_size=16))
def test_every_long_token_of_visible_ascii_can_be_used(token: str) -> None:
    assert parse_tokens(token)[0].digest == hashlib.sha256(token.encode()).hexdigest()
