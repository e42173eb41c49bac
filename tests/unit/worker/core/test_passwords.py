"""Default and weak passwords, and the hashes that CouchDB keeps. A contract test has a real node make them."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.passwords import NOTORIOUS, TRIED, Budget, guess, is_default, matches, stored, weakness

SALT = "4fc7602d4be1a4efea17ceda2a8b31bb"


def pbkdf2(password: str, rounds: int = 10, prf: str | None = "sha256") -> str:
    """As CouchDB writes it."""
    name = {"sha": "sha1", None: "sha1"}.get(prf, prf)
    key = hashlib.pbkdf2_hmac(str(name), password.encode(), SALT.encode(), rounds).hex()
    return f"-pbkdf2{f':{prf}' if prf else ''}-{key},{SALT},{rounds}"


def simple(password: str) -> str:
    return f"-hashed-{hashlib.sha1((password + SALT).encode()).hexdigest()},{SALT}"  # noqa: S324


@pytest.mark.parametrize("password", ["password", "PASSWORD", "admin", "bob", "bob1", "Bob123", "changeme", "obo"])
def test_what_anybody_tries_first_is_a_default(password: str) -> None:
    user = password if password == "obo" else "bob"
    assert is_default(user, password)
    assert weakness(user, password) == "it is one of the first that anybody tries"


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("", "fewer than 12"),
        ("Xk4-vQ9!zLp", "fewer than 12"),
        ("xkvqzlpmwtra", "of one kind"),
        ("839201746520", "of one kind"),
        ("Xk4-vQ9!zLpM", None),
        ("xkvqzlpmwtraxkvqzlpmwtrb", None),
        ("4fc7602d4be1a4ef", None),
    ],
)
def test_short_ones_and_those_of_one_kind_are_weak(password: str, why: str | None) -> None:
    found = weakness("admin", password)
    assert (found is None) if why is None else (found is not None and why in found)


@given(st.text(min_size=4), st.text(min_size=4))
def test_no_reason_tells_the_password(user: str, password: str) -> None:
    reasons = {"it is one of the first that anybody tries", "it has fewer than 12 characters", None}
    assert weakness(user, password) in {*reasons, "all of its characters are of one kind"}


@pytest.mark.parametrize("prf", ["sha", "sha224", "sha256", "sha384", "sha512", None])
def test_every_hash_that_couchdb_makes_is_read_and_compared(prf: str | None) -> None:
    kept = stored(pbkdf2("a-long-password", prf=prf))

    assert (kept.scheme, kept.prf, kept.rounds) == ("pbkdf2", prf or "sha", 10)
    assert matches(kept, "a-long-password")
    assert not matches(kept, "another-password")


def test_what_is_not_written_as_a_hash_is_a_password() -> None:
    for value in ("relax", "-pbkdf2:sha256-XYZ,salt,10", "-hashed-relax", ""):
        assert stored(value).scheme == "plain"


def test_the_hash_of_couchdb_1_is_one_round() -> None:
    kept = stored(simple("relax"))

    assert (kept.scheme, kept.rounds) == ("simple", 1)
    assert matches(kept, "relax")
    assert not matches(kept, "Relax")


@pytest.mark.parametrize(
    ("value", "weak"),
    [
        (pbkdf2("x", 10, None), True),
        (pbkdf2("x", 1_000, "sha256"), True),
        (simple("x"), True),
        (f"-pbkdf2:sha256-ab,{SALT},600000", False),
        (f"-pbkdf2:sha256-ab,{SALT},599999", True),
        (f"-pbkdf2:sha-ab,{SALT},600000", True),
        (f"-pbkdf2:sha-ab,{SALT},1300000", False),
        (f"-pbkdf2:sha512-ab,{SALT},210000", False),
        ("plain-text", False),
    ],
)
def test_few_rounds_are_weak_by_the_hash_they_are_of(value: str, weak: bool) -> None:
    assert stored(value).weak is weak


@pytest.mark.parametrize("password", [*NOTORIOUS[:TRIED], "carol"])
@pytest.mark.parametrize("kept", [pbkdf2, simple, str], ids=["pbkdf2", "simple", "plain"])
def test_a_default_is_found_by_its_hash(kept: object, password: str) -> None:
    assert callable(kept)
    assert guess("carol", stored(kept(password)), Budget()) is True


def test_another_password_is_not_one_that_everybody_tries() -> None:
    assert guess("carol", stored(pbkdf2("Xk4-vQ9!zLpM")), Budget()) is False


def test_our_own_password_costs_one_attempt() -> None:
    budget = Budget(left=15)

    assert guess("carol", stored(pbkdf2("Xk4-vQ9!zLpM")), budget, ["Xk4-vQ9!zLpM"]) is False
    assert budget.left == 5
    assert guess("carol", stored(pbkdf2("password1", 1)), budget, ["password1"]) is True, "and is judged as it is"


def test_what_the_budget_does_not_last_for_is_unknown_and_not_well() -> None:
    assert guess("carol", stored(pbkdf2("Xk4-vQ9!zLpM")), Budget(left=109)) is None
    assert guess("carol", stored(pbkdf2("carol")), Budget(left=10)) is True, "found with the first"
    assert guess("carol", stored(f"-pbkdf2:sha256-ab,{SALT},4000000000"), Budget()) is None


def test_a_hash_of_a_kind_that_we_do_not_know_is_unknown() -> None:
    assert guess("carol", stored(f"-pbkdf2:sha3-ab,{SALT},10"), Budget()) is None


def test_nothing_shows_what_is_kept() -> None:
    kept = stored("a-plain-password")
    assert "a-plain-password" not in repr(kept)
    assert SALT not in repr(stored(pbkdf2("x")))
