"""The settings of backups: what is made of them, and that a bad one stops the start and is named, without a secret."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from config.settings import SettingsError
from tasks.backup_plan import BackupPlan, plan_of
from tests.unit.tasks.world import settings
from worker.blobs.seal import Keys, new_identity
from worker.core.retention import Policy
from worker.core.windows import Window

IDENTITY = new_identity()
RECIPIENT = str(Keys.parse(IDENTITY).recipients[0])
SECRET = "wJalrXUtnFEMI-K7MDENG-bPxRfiCYEXAMPLEKEY"
BUCKET = "s3://bucket/prefix"
S3 = f"aws_access_key_id=AKIA123, aws_secret_access_key={SECRET}, aws_region=eu-central-1"


def plan(**more: Any) -> BackupPlan:
    return plan_of(settings(**more))


def refusal(**more: Any) -> str:
    with pytest.raises(SettingsError) as refused:
        plan(**more)
    return str(refused.value)


# what is made of them


def test_without_a_url_there_are_no_backups() -> None:
    assert not plan().on


def test_the_defaults_are_a_nightly_backup_and_a_weekly_drill_of_everything() -> None:
    found = plan(backup_url="memory://")

    assert found.on
    assert (found.schedule, found.drills) == ("0 3 * * *", "0 5 * * sun")
    assert (found.include, found.exclude, found.blackout, found.keys) == (("*", "_users"), (), (), None)
    assert found.retention == Policy(last=7, daily=14, weekly=8, monthly=12)


def test_everything_is_read_into_what_works_with_it() -> None:
    found = plan(
        backup_url=BUCKET,
        backup_options=S3,
        backup_copy_url="gs://other",
        backup_key=f"{IDENTITY}, {RECIPIENT}",
        backup_include="notes-*, pdfs",
        backup_exclude="notes-old-*",
        backup_retention="all",
        backup_blackout="mon 08:00-18:00",
    )

    assert found.options == {
        "aws_access_key_id": "AKIA123",
        "aws_secret_access_key": SECRET,
        "aws_region": "eu-central-1",
    }
    assert (found.copy_url, found.copy_options) == ("gs://other", {})
    assert found.keys is not None
    assert [str(one) for one in found.keys.recipients] == [RECIPIENT]
    assert (found.include, found.exclude) == (("notes-*", "pdfs"), ("notes-old-*",))
    assert (found.retention.everything, found.blackout) == (True, (Window(frozenset({0}), 480, 1080),))


@pytest.mark.parametrize("off", ["off", "OFF", " Off "])
def test_off_is_only_when_asked(off: str) -> None:
    found = plan(backup_schedule=off, backup_drill_schedule=off)

    assert (found.schedule, found.drills) == (None, None)


def test_a_key_file_of_age_keygen_is_taken_as_it_is() -> None:
    """Its comments are no secrets either: "key:" is in many a message."""
    text = f"# created: 2026-11-25T03:00:00+01:00\n# public key: {RECIPIENT}\n{IDENTITY}\n"
    found = settings(backup_key=text)

    keys = plan_of(found).keys
    assert keys is not None
    assert len(keys.identities) == 1
    assert IDENTITY in found.secrets
    assert not {"#", "public", "key:", "created:", RECIPIENT} & set(found.secrets)


def test_a_folder_is_not_made_before_somebody_uses_it(tmp_path: Path) -> None:
    assert plan(backup_url=f"file://{tmp_path}/backups").on
    assert list(tmp_path.iterdir()) == []


# what stops the start


@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [
        ("backup_url", "ftp://host/x", "must be file:///folder, s3://bucket/prefix"),
        ("backup_url", "/var/backups", "must be file:///folder"),
        ("backup_url", "file://var/backups", "with three slashes"),
        ("backup_url", "s3:///prefix", "lacks a bucket"),
        ("backup_url", "s3://bucket/prefix?region=x", "must end with its path"),
        ("backup_copy_url", "ftp://host/x", "must be file:///folder"),
        ("backup_schedule", "0 3 * *", "has 4 fields"),
        ("backup_schedule", "0 25 * * *", 'the hour "25" is not understood'),
        ("backup_schedule", "never", "has 1 field"),
        ("backup_schedule", "", "has 0 fields"),
        ("backup_drill_schedule", "0 5 * * someday", 'the day of the week "someday"'),
        ("backup_retention", "fortnightly=2", '"fortnightly=2" is no rule of retention'),
        ("backup_retention", "last=0", "keeps nothing"),
        ("backup_blackout", "8-18", "write days and UTC times"),
        ("backup_blackout", "00:00-24:00", "leaves no time open"),
        ("backup_key", "age1notakey", "entry 1 is neither an age recipient"),
        ("backup_key", " ", "there is no key in it"),
    ],
)
def test_a_bad_setting_stops_the_start_and_is_named(setting: str, value: str, says: str) -> None:
    told = refusal(**{"backup_url": "memory://", setting: value})

    assert told.startswith(f"{setting.upper()}: ")
    assert says in told


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("backup_options", "aws_region"),
        ("backup_options", "aws_region=a, aws_region=b"),
        ("backup_copy_options", "=x"),
        ("backup_full_days", "-1"),
        ("backup_max_mb_per_second", "-1"),
        ("backup_stale_hours", "0"),
    ],
)
def test_what_the_settings_themselves_refuse_is_named_too(setting: str, value: str) -> None:
    assert setting.upper() in refusal(backup_url="memory://", **{setting: value})


def test_a_second_location_is_another_one() -> None:
    assert "BACKUP_COPY_URL needs BACKUP_URL" in refusal(backup_copy_url=BUCKET)
    assert "BACKUP_COPY_URL is the same as BACKUP_URL" in refusal(backup_url=BUCKET, backup_copy_url=f"{BUCKET}/")


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("BACKUP_OPTIONS", {"backup_url": BUCKET, "backup_options": f"{S3}, aws_colour=blue"}),
        ("BACKUP_OPTIONS", {"backup_url": BUCKET, "backup_options": f"{S3}, timeout=soon"}),
        ("BACKUP_OPTIONS", {"backup_url": "memory://", "backup_options": S3}),
        ("BACKUP_OPTIONS", {"backup_url": "file:///nowhere/at/all", "backup_options": S3}),
        (
            "BACKUP_COPY_OPTIONS",
            {"backup_url": "memory://", "backup_copy_url": BUCKET, "backup_copy_options": f"{S3}, aws_colour=blue"},
        ),
    ],
)
def test_options_that_no_store_takes_stop_the_start(name: str, more: dict[str, str]) -> None:
    told = refusal(**more)

    assert told.startswith(f"{name}: ")
    assert SECRET not in told
    assert not Path("/nowhere").exists()


# what is never said


@pytest.mark.parametrize(
    "more",
    [
        {"backup_key": f"{IDENTITY[:-1]}"},
        {"backup_key": f"{RECIPIENT} {IDENTITY}x"},
        {"backup_url": f"s3://AKIA123:{SECRET}@bucket"},
        {"backup_url": BUCKET, "backup_options": f"aws_secret_access_key {SECRET}"},
        {"backup_url": BUCKET, "backup_options": f"aws_endpoint={SECRET}"},
        {"backup_url": BUCKET, "backup_options": f"timeout={SECRET}"},
    ],
)
def test_no_secret_is_quoted(more: dict[str, str]) -> None:
    told = refusal(**{"backup_url": "memory://", **more})

    assert SECRET not in told
    assert not re.search("AGE-SECRET-KEY-1[A-Z0-9]{6}", told)


def test_the_plan_shows_no_secret() -> None:
    found = plan(backup_url=BUCKET, backup_options=S3, backup_key=IDENTITY)

    assert IDENTITY not in repr(found)
    assert SECRET not in repr(found)
