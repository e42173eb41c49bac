"""Names and records of a backup: what is written today has to be read for years."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core import manifest
from worker.core.manifest import (
    ID_PATTERN,
    Chunk,
    Counts,
    DatabaseManifest,
    Entry,
    Failed,
    Kind,
    Manifest,
    Parent,
    Shape,
    Source,
    Stored,
    Wrapped,
    backup_id,
    database_folder,
    folder,
)

STORED = Stored("backups/ID/db/NAME/000000-documents-0123456789ab.zst", "0" * 64, 4_711)
COUNTS = Counts(10, 2, 7, 9, 3, 300, 4_711, 9_000, 1)
SOURCE = Source("a", "couchdb", "3.5.0", "uuid-a", "17-x", "17-y", "0-z", "1700000000", 1_795_446_000.5)
SHAPE = Shape(False, 2, 1, 1_000, {"admins": {"names": ["ann"]}, "more": None})
RECORD = DatabaseManifest(
    format=1,
    backup="20261125T030000Z-1e7a90",
    database="grüße/pdfs",
    full=False,
    why=None,
    parent=Parent("20261124T030000Z-0b8f2d", STORED),
    source=SOURCE,
    shape=SHAPE,
    chunks=(Chunk(Kind.DOCUMENTS, STORED, 7, 9, 9_000), Chunk(Kind.LOCAL, STORED, 1, 1, 20)),
    references=(STORED,),
    counts=COUNTS,
    locals="1" * 64,
    repeats=True,
)
ENTRY = Entry("pdfs", STORED, False, False, None, "a", ("20261124T030000Z-0b8f2d",), COUNTS)
SET = Manifest(
    format=1,
    id="20261125T030000Z-1e7a90",
    started_at=1_795_446_000.5,
    finished_at=1_795_446_010.25,
    scope=("*",),
    scheduled=True,
    key="0123abcd",
    entries=(ENTRY,),
    failed=(Failed("other", "unreachable", "b: connection refused"),),
)

times = st.floats(0, 4e9)


# names


@given(times, st.uuids())
def test_an_id_is_told_from_everything_else(started_at: float, job: UUID) -> None:
    made = backup_id(started_at, str(job))

    assert re.match(ID_PATTERN, made)
    for other in (made[:-1], f"{made}0", f"x{made}", f"{made}\n", made.lower(), ""):
        assert not re.match(ID_PATTERN, other)


@given(times, times)
def test_ids_sort_by_time(one: float, other: float) -> None:
    first, second = sorted((one, other))
    if int(first) < int(second):
        assert backup_id(first, "ffffff") < backup_id(second, "000000")


def test_an_id_says_when_and_is_the_same_for_every_attempt_of_a_job() -> None:
    job = "019ab1c2-6f3e-7c44-9d5a-0b8f2d1e7a90"

    assert backup_id(1_795_446_000.9, job) == backup_id(1_795_446_000.1, job) == "20261123T150000Z-1e7a90"


@given(st.text(min_size=1, max_size=20))
def test_no_database_shows_its_name_in_the_store(database: str) -> None:
    made = database_folder("ID", database)

    assert re.fullmatch("backups/ID/db/[0-9a-f]{20}", made)
    assert made == database_folder("ID", database) != database_folder("ID", f"{database}x")
    assert made.startswith(f"{folder('ID')}/")


# records


@pytest.mark.parametrize("record", [STORED, COUNTS, SOURCE, SHAPE, RECORD, ENTRY, SET, Wrapped(msgspec.Raw(b"{}"))])
def test_a_record_comes_back_as_it_was(record: Any) -> None:
    again = msgspec.json.decode(msgspec.json.encode(record), type=type(record))

    assert again == record
    assert msgspec.json.encode(again) == msgspec.json.encode(record)


def test_a_revision_with_attachments_keeps_its_text_to_the_byte() -> None:
    text = '{"_id":"ü", "n":1.0,"big":12345678901234567890, "_rev":"1-a"}'.encode()
    wrapped = Wrapped(msgspec.Raw(text), {"scan.pdf": STORED})

    again = msgspec.json.decode(msgspec.json.encode(wrapped), type=Wrapped)

    assert (bytes(again.doc), again.objects) == (text, {"scan.pdf": STORED})


def without(record: Any, *names: str) -> bytes:
    told = msgspec.json.decode(msgspec.json.encode(record))
    for name in names:
        del told[name]
    return msgspec.json.encode(told)


def optional(kind: type) -> list[str]:
    return [field.name for field in msgspec.structs.fields(kind) if not field.required]


@pytest.mark.parametrize("record", [COUNTS, RECORD, SET, Wrapped(msgspec.Raw(b"{}"))])
def test_an_older_record_without_the_newer_fields_can_still_be_read(record: Any) -> None:
    kind = type(record)
    assert optional(kind)

    again = msgspec.json.decode(without(record, *optional(kind)), type=kind)

    for field in msgspec.structs.fields(kind):
        wanted = getattr(record, field.name) if field.required else field.default
        if field.default_factory is not msgspec.NODEFAULT:
            wanted = field.default_factory()
        assert getattr(again, field.name) == wanted


def test_the_fields_that_came_later_are_optional() -> None:
    assert {"locals", "repeats"} <= set(optional(DatabaseManifest))
    assert "failed" in optional(Manifest)


def test_a_newer_record_with_fields_that_we_do_not_know_can_be_read() -> None:
    told = {**msgspec.to_builtins(SET), "colour": "blue"}

    assert msgspec.json.decode(msgspec.json.encode(told), type=Manifest) == SET


@pytest.mark.parametrize("name", ["format", "id", "started_at", "entries"])
def test_what_every_record_has_is_missed(name: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=name):
        msgspec.json.decode(without(SET, name), type=Manifest)


def test_records_are_frozen() -> None:
    for kind in vars(manifest).values():
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            assert kind.__struct_config__.frozen, kind


# what they say of themselves


def test_counts_are_added_field_by_field() -> None:
    assert COUNTS.plus(Counts()) == COUNTS
    assert COUNTS.plus(COUNTS) == Counts(20, 4, 14, 18, 6, 600, 9_422, 18_000, 2)


def test_a_set_that_lacks_something_is_not_good() -> None:
    assert not SET.good
    assert msgspec.structs.replace(SET, failed=()).good


def test_the_parents_of_a_set_are_those_of_all_its_databases() -> None:
    second = msgspec.structs.replace(ENTRY, database="notes", chain=("20261120T030000Z-aaaaaa", *ENTRY.chain))

    whole = msgspec.structs.replace(SET, entries=(ENTRY, second))

    assert whole.parents == ("20261120T030000Z-aaaaaa", "20261124T030000Z-0b8f2d")
    assert (whole.entry("notes"), whole.entry("nobody")) == (second, None)
