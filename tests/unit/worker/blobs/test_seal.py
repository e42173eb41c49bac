"""Seals: who can open what, and that nothing of a key is ever said."""

from __future__ import annotations

import errno
import os
import traceback
from pathlib import Path

import pyrage
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pyrage.x25519 import Identity, Recipient

from tests.unit.worker.blobs.odd_disks import on_small_disk
from worker.blobs.seal import OPEN, SUFFIX, AgeSeal, Keys, NoSeal, Seals, new_identity, seals
from worker.core.errors import WrongKey

HEADER = b"age-encryption.org/v1\n"
NAME = "backups/1/chunk.zst.age"
ONE, TWO, OWN = new_identity(), new_identity(), new_identity()
FOR_ONE, FOR_TWO = (str(Identity.from_str(one).to_public()) for one in (ONE, TWO))
CLOSED = pyrage.encrypt(os.urandom(70_000), [Recipient.from_str(FOR_ONE)])


def sealed_for(text: str, own: str | None = None) -> Seals:
    return seals(Keys.parse(text), own)


# --- BACKUP_KEY


def test_an_identity_is_a_recipient_as_well() -> None:
    assert Keys.parse(ONE).fingerprint == Keys.parse(FOR_ONE).fingerprint == Keys.parse(f"{FOR_ONE}, {ONE}").fingerprint
    assert sealed_for(ONE).readable
    assert not sealed_for(FOR_ONE).readable


def test_the_fingerprint_is_that_of_all_recipients_in_any_order() -> None:
    both = Keys.parse(f"{FOR_ONE},{TWO}").fingerprint
    assert len(both) == 8
    assert both == Keys.parse(f"{TWO}\n{FOR_ONE}").fingerprint
    assert both == Keys.parse(f"{FOR_ONE} {FOR_TWO} {FOR_ONE}").fingerprint
    assert both == Keys.parse(f"{ONE} {TWO} {ONE}").fingerprint
    assert both != Keys.parse(FOR_ONE).fingerprint


def test_the_file_of_age_keygen_is_read_as_it_is() -> None:
    text = f"# created: 2026-11-25T10:20:00Z\n# public key: {FOR_ONE}\n{ONE}\n"
    keys = Keys.parse(text)
    assert (len(keys.recipients), len(keys.identities)) == (1, 1)


def test_an_identity_may_be_written_small() -> None:
    assert Keys.parse(ONE.lower()).identities


@pytest.mark.parametrize("text", ["", " ", ",", "# only a comment\n"])
def test_no_key_at_all_is_a_mistake(text: str) -> None:
    """Else nothing would be sealed, and nobody would know."""
    with pytest.raises(ValueError, match="there is no key in it"):
        Keys.parse(text)


WRONG = {
    "short": ONE[:-1],
    "long": f"{ONE}A",
    "another kind": "AGE-SECRET-KEY-PQ-1" + ONE[16:],
    "something before it": "x" + ONE,
    "a short recipient": FOR_ONE[:-2],
    "a long recipient": FOR_ONE + "q",
    "no text": "\udcff",
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_which_entry_is_wrong_is_said_and_not_what_it_is(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"^entry 2 is neither an age recipient") as failed:
        Keys.parse(f"{FOR_TWO}, {wrong}")
    told = "".join(traceback.format_exception(failed.value))
    assert wrong[-12:] not in str(failed.value)
    assert ONE[20:40] not in told


@given(st.text() | st.text(alphabet="AGE-SECRET-KEY-1 age1,qpzry9x8\n#", max_size=80))
@example("AGE-SECRET-KEY-1\0")
def test_whatever_the_text_is_it_is_read_or_a_mistake(text: str) -> None:
    try:
        keys = Keys.parse(text)
    except ValueError as error:
        assert str(error).startswith(("entry ", "there is no key"))  # noqa: PT017 - most texts are one, some are none
    else:
        assert keys.recipients


def test_nothing_shows_a_key() -> None:
    keys = Keys.parse(f"{ONE} {FOR_TWO}")
    shown = repr(keys) + str(keys) + repr(seals(keys, OWN)) + repr(vars(seals(keys, OWN))["content"])
    for secret in (ONE, TWO, OWN, FOR_TWO):
        assert secret[4:20] not in shown


# --- the seals


def test_it_is_the_format_of_the_age_command() -> None:
    data = sealed_for(FOR_ONE).content.close(b"plain")
    assert data.startswith(HEADER)
    assert pyrage.decrypt(data, [Identity.from_str(ONE)]) == b"plain"
    ours = pyrage.encrypt(b"theirs", [Recipient.from_str(FOR_ONE)])
    assert sealed_for(ONE).content.open(ours, NAME) == b"theirs"


@given(st.binary(max_size=100_000))
@example(b"")
@example(bytes(65_536))
def test_what_is_closed_opens_again(data: bytes) -> None:
    closed = sealed_for(FOR_ONE).content.close(data)
    assert sealed_for(f"{TWO},{ONE}").content.open(closed, NAME) == data
    assert len(data) < 32 or data not in closed


def test_recipients_can_close_and_not_open(tmp_path: Path) -> None:
    seal = sealed_for(FOR_ONE).content
    closed = seal.close(b"plain")
    (tmp_path / "closed").write_bytes(closed)
    for do in (
        lambda: seal.open(closed, NAME),
        lambda: seal.open_file(tmp_path / "closed", tmp_path / "open", NAME),
    ):
        with pytest.raises(WrongKey, match=r"identity \(AGE-SECRET-KEY-1\.\.\.\) of one of them is needed") as failed:
            do()
        assert str(failed.value).startswith(f"{NAME} is sealed")
    assert (tmp_path / "closed").read_bytes() == closed


def test_somebody_elses_identity_opens_nothing(tmp_path: Path) -> None:
    closed = sealed_for(ONE).content.close(b"plain")
    (tmp_path / "closed").write_bytes(closed)
    wrong = sealed_for(TWO).content
    for do in (
        lambda: wrong.open(closed, NAME),
        lambda: wrong.open_file(tmp_path / "closed", tmp_path / "open", NAME),
    ):
        with pytest.raises(WrongKey, match="BACKUP_KEY does not open it, or it is damaged") as failed:
            do()
        assert NAME in str(failed.value)


def test_without_a_key_what_is_sealed_is_known_by_its_name(tmp_path: Path) -> None:
    """Not by its bytes: a plain attachment may be an age file that somebody has made himself."""
    theirs = sealed_for(ONE).content.close(b"of theirs")
    assert NoSeal().open(theirs, "attachments/plain/ab/name") == theirs
    (tmp_path / "source").write_bytes(theirs)
    for do in (
        lambda: NoSeal().open(theirs, NAME),
        lambda: NoSeal().open_file(tmp_path / "source", tmp_path / "target", NAME),
    ):
        with pytest.raises(WrongKey, match="BACKUP_KEY has to hold the identity"):
            do()
    assert not (tmp_path / "target").exists()


@given(at=st.integers(0, 300) | st.integers(0, 70_000), how=st.sampled_from(["flipped", "cut off", "too long"]))
def test_damage_is_told_whatever_it_is(at: int, how: str) -> None:
    flipped = CLOSED[:at] + bytes([CLOSED[at] ^ 1]) + CLOSED[at + 1 :]
    damaged = {"flipped": flipped, "cut off": CLOSED[:at], "too long": CLOSED + b"x"}[how]
    with pytest.raises(WrongKey, match=NAME):
        sealed_for(ONE).content.open(damaged, NAME)


# --- files


@pytest.mark.parametrize("seal", [NoSeal(), sealed_for(ONE).content], ids=["plain", "sealed"])
def test_files_are_closed_and_opened_and_used_up(seal: NoSeal | AgeSeal, tmp_path: Path) -> None:
    data = os.urandom(300_000)
    plain, closed, again = (tmp_path / name for name in ("plain", "closed", "again"))
    plain.write_bytes(data)
    seal.close_file(plain, closed)
    assert not plain.exists()
    assert closed.read_bytes().startswith(HEADER) == (seal.suffix == SUFFIX)
    assert seal.suffix == "" or seal.open(closed.read_bytes(), NAME) == data
    seal.open_file(closed, again, f"name{seal.suffix}")
    assert not closed.exists()
    assert again.read_bytes() == data


@pytest.mark.parametrize("size", [0, 50, 170, 30_000, 65_736, 66_000])
def test_a_file_that_is_cut_off_is_told(size: int, tmp_path: Path) -> None:
    """Beyond the header the library tells it as it would a full disk."""
    seal = sealed_for(ONE).content
    (tmp_path / "closed").write_bytes(seal.close(os.urandom(100_000))[:size])
    with pytest.raises(WrongKey, match=NAME):
        seal.open_file(tmp_path / "closed", tmp_path / "open", NAME)


def fills_the_disk(folder: Path) -> None:
    seal = sealed_for(ONE).content
    (folder / "large").write_bytes(bytes(600_000))
    (folder / "closed").write_bytes(seal.close(bytes(300_000)))
    for do in (
        lambda: seal.close_file(folder / "large", folder / "target"),
        lambda: seal.open_file(folder / "closed", folder / "target", NAME),
    ):
        with pytest.raises(OSError) as failed:  # noqa: PT011 - its number is looked at
            do()
        assert failed.value.errno == errno.ENOSPC
        assert failed.value.strerror == "No space left on device"


def test_a_full_disk_is_an_error_of_the_system(tmp_path: Path) -> None:
    """The library makes it two of its own."""
    on_small_disk(fills_the_disk, tmp_path)


def test_a_file_that_is_not_there_is_an_error_of_the_system(tmp_path: Path) -> None:
    seal = sealed_for(ONE).content
    with pytest.raises(FileNotFoundError):
        seal.close_file(tmp_path / "none", tmp_path / "closed")
    with pytest.raises(FileNotFoundError):
        seal.open_file(tmp_path / "none", tmp_path / "open", NAME)


# --- the two seals


def test_records_open_with_the_own_key_and_content_does_not() -> None:
    ours = sealed_for(FOR_ONE, OWN)
    assert ours.records.open(ours.records.close(b"record"), NAME) == b"record"
    with pytest.raises(WrongKey):
        ours.content.open(ours.content.close(b"content"), NAME)
    with pytest.raises(WrongKey):
        sealed_for(OWN).content.open(ours.content.close(b"content"), NAME)


def test_who_has_the_identity_reads_both() -> None:
    ours, theirs = sealed_for(FOR_ONE, OWN), sealed_for(ONE)
    assert theirs.records.open(ours.records.close(b"record"), NAME) == b"record"
    assert theirs.content.open(ours.content.close(b"content"), NAME) == b"content"


def test_with_an_identity_nothing_is_written_for_the_own_key() -> None:
    ours = sealed_for(ONE, OWN)
    with pytest.raises(WrongKey):
        sealed_for(OWN).records.open(ours.records.close(b"record"), NAME)


def test_without_any_identity_records_are_written_and_not_read() -> None:
    ours = sealed_for(FOR_ONE)
    with pytest.raises(WrongKey, match="is needed to read it"):
        ours.records.open(ours.records.close(b"record"), NAME)


@pytest.mark.parametrize("keys", [None, Keys((), ())])
def test_without_a_key_nothing_is_sealed(keys: Keys | None) -> None:
    assert seals(keys, OWN) is OPEN
    assert (OPEN.key, OPEN.where, OPEN.readable) == (None, "plain", True)
    assert OPEN.content.close(b"plain") == OPEN.records.close(b"plain") == b"plain"


# --- what attachments are called


def test_an_attachments_name_hides_what_is_in_it() -> None:
    digest = "md5-" + "0" * 22 + "=="
    made = [sealed_for(ONE), sealed_for(TWO), sealed_for(FOR_ONE, OWN), OPEN]
    named = [one.attachment_name(digest, 5) for one in made]
    assert len(set(named)) == len(made)
    assert {len(name) for name in named} == {40}
    assert sealed_for(ONE).attachment_name(digest, 5) == named[0]
    assert sealed_for(ONE).attachment_name(digest, 6) != named[0]
    assert sealed_for(ONE).where == Keys.parse(FOR_ONE).fingerprint


def test_the_order_of_identities_does_not_change_it() -> None:
    first, second = sealed_for(f"{ONE},{TWO}"), sealed_for(f"{TWO},{ONE}")
    assert first.attachment_name("md5-x", 5) == second.attachment_name("md5-x", 5)


def test_without_any_identity_nobody_can_guess_it() -> None:
    """There is no secret that lasts, so it is another one each time."""
    named = {sealed_for(FOR_ONE).attachment_name("md5-x", 5) for _ in range(3)}
    assert len(named | {OPEN.attachment_name("md5-x", 5)}) == 4


@given(st.text(alphabet="abcdef0123456789-=+/", max_size=40), st.integers(0, 2**60))
def test_a_name_is_a_name(digest: str, length: int) -> None:
    for one in (OPEN, sealed_for(ONE)):
        assert set(one.attachment_name(digest, length)) <= set("0123456789abcdef")
        assert len(digest) < 8 or digest not in one.attachment_name(digest, length)
