"""Options of an object store: which are taken, and what is said of those that are not."""

from __future__ import annotations

import re
import traceback

import pytest

from worker.blobs.connect import PATIENCE
from worker.blobs.store import Store, check_url

HUSH = "hush-0123456789-hush"
S3 = {"aws_access_key_id": "AKIATEST", "aws_secret_access_key": HUSH, "aws_region": "eu-central-1"}
AZURE = {"azure_storage_account_name": "account", "azure_storage_account_key": "aHVzaA=="}


@pytest.mark.parametrize(
    ("url", "options", "named"),
    [
        ("s3://bucket", {**S3, "aws_no_such": HUSH}, "aws_no_such"),
        ("s3://bucket", {**S3, "no_such": HUSH}, "no_such"),
        ("s3://bucket", {**S3, "azure_storage_account_key": HUSH}, "azure_storage_account_key"),
        ("az://container", {**AZURE, "aws_region": HUSH}, "aws_region"),
        ("s3://bucket", {**S3, "aws_skip_signature": f"{HUSH}2"}, "aws_skip_signature"),
        ("s3://bucket", {**S3, "aws_checksum_algorithm": f"{HUSH}2"}, "aws_checksum_algorithm"),
        ("s3://bucket", {**S3, "allow_http": f"{HUSH}2"}, "allow_http: "),
        ("s3://bucket", {**S3, "timeout": f"{HUSH}2"}, "timeout: "),
        ("s3://bucket", {**S3, "disable_system_certificates": HUSH}, "disable_system_certificates makes no sense"),
        ("s3://bucket", {**S3, "aws_endpoint": HUSH}, "aws_endpoint must be a URL like https://"),
        ("s3://bucket", {**S3, "aws_endpoint": "minio:9000"}, "aws_endpoint must be a URL like https://"),
        ("s3://bucket", {**S3, "endpoint": f"https://{HUSH} x"}, "endpoint must be a URL"),
        ("s3://bucket", {**S3, "aws_endpoint": f"https://me:{HUSH}@minio:9000"}, "must not have credentials in it"),
        ("az://container", {**AZURE, "azure_endpoint": HUSH}, "azure_endpoint must be a URL"),
        ("s3://bucket", {"aws_access_key_id": HUSH}, "Missing SecretAccessKey"),
        ("gs://bucket", {"google_service_account_key": f'{{"private_key": "{HUSH}"}}'}, "service account"),
        ("gs://bucket", {"google_service_account_key": f'"{HUSH}"'}, "service account"),
        ("az://container", {"azure_storage_account_name": "a", "azure_storage_account_key": f"{HUSH}!"}, "Access Key"),
        ("file:///tmp/never-made", {"aws_region": HUSH}, "aws_region: only an object store has options"),
        ("memory://", {"aws_region": HUSH}, "aws_region: only an object store has options"),
    ],
)
def test_an_option_that_makes_no_sense_is_named_and_its_value_is_not(
    url: str, options: dict[str, str], named: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(named)) as failed:
        Store.open(url, options)
    assert HUSH not in "".join(traceback.format_exception(failed.value))


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("s3://bucket/prefix", {**S3, "AWS_ALLOW_HTTP": "TRUE", "aws_endpoint": "http://minio:9000/"}),
        ("s3://bucket/prefix", {**S3, "timeout": "30s", "aws_connect_timeout": "2s", "user_agent": "backups"}),
        ("s3a://bucket", {**S3, "proxy_url": "http://proxy:3128", "allow_invalid_certificates": "true"}),
        ("az://container/prefix", {**AZURE, "azure_allow_http": "true", "azure_endpoint": "http://azurite:10000/a"}),
        ("abfss://container@account.dfs.core.windows.net/p", {"azure_storage_account_key": "aHVzaA=="}),
        ("gs://bucket", {"google_skip_signature": "true", "google_timeout": "1m"}),
    ],
)
def test_what_is_for_the_client_goes_there(url: str, options: dict[str, str]) -> None:
    """The library panics where it does not."""
    assert Store.open(url, options).name == url


def test_nothing_of_a_store_shows_credentials() -> None:
    store = Store.open("s3://bucket/prefix", {**S3, "aws_session_token": HUSH})
    assert store.name == "s3://bucket/prefix"
    assert HUSH not in repr(store) + str(store) + repr(store._store)


def test_an_operator_hears_of_a_dead_store_in_time() -> None:
    """What `Patience` says of itself: where no packet comes back, each try waits for a connection."""
    assert (PATIENCE.retries + 1) * PATIENCE.connect <= 15
    assert PATIENCE.answer > PATIENCE.retry_for  # so that what takes that long is not tried again


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("memory://", "memory://"),
        ("file:///", "file://"),
        ("file:///var/back%20ups/", "file:///var/back%20ups"),
        ("s3://bucket/", "s3://bucket"),
        ("gs://bucket/a/b", "gs://bucket/a/b"),
    ],
)
def test_what_a_store_is_called(url: str, shown: str) -> None:
    options = {"google_skip_signature": "true"} if url.startswith("gs") else S3 if url.startswith("s3") else {}
    if url != "file:///var/back%20ups/":
        assert Store.open(url, options).name == shown


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "must be file:///folder"),
        ("/var/backups", "must be file:///folder"),
        ("https://bucket.s3.amazonaws.com", "must be file:///folder"),
        (f"s3://key:{HUSH}@bucket/prefix", "must not have credentials in it"),
        (f"s3://{HUSH}@bucket/prefix", "must not have credentials in it"),
        (f"abfss://container:{HUSH}@account.dfs.core.windows.net/p", "must not have credentials in it"),
        (f"az://container/p?sig={HUSH}", "must end with its path"),
        ("file:///var/a#b", "must end with its path"),
        ("file://var/backups", "three slashes"),
        ("file:", "three slashes"),
        ("s3:///prefix", "lacks a bucket"),
        ("gs://", "lacks a bucket"),
    ],
)
def test_a_url_that_makes_no_sense(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as failed:
        check_url(url)
    assert HUSH not in str(failed.value)
