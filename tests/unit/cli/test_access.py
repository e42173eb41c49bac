"""Where the API is, what opens it, and where it is not sent."""

from __future__ import annotations

import os
from pathlib import Path

import click
import pytest

from cli.access import Access, access

NOWHERE = Path(os.devnull)


def found(url: str | None = None, env_file: Path = NOWHERE, **environ: str) -> Access:
    return access(url, environ, env_file)


def refused(url: str | None = None, env_file: Path = NOWHERE, **environ: str) -> str:
    with pytest.raises(click.UsageError) as caught:
        access(url, environ, env_file)
    return str(caught.value)


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({}, "http://127.0.0.1:5000"),
        ({"API_HOST": "0.0.0.0", "API_PORT": "8080"}, "http://127.0.0.1:8080"),  # noqa: S104
        ({"API_HOST": "::"}, "http://[::1]:5000"),
        ({"NBR_URL": "https://nbr.example.com/replication/", "API_PORT": "1"}, "https://nbr.example.com/replication"),
    ],
    ids=["default", "everywhere", "ipv6", "named"],
)
def test_the_address(environ: dict[str, str], url: str) -> None:
    assert found(**environ).url == url


def test_what_is_typed_wins_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    env = tmp_path / ".env"
    env.write_text("NBR_URL=http://127.0.0.1:1\nNBR_TOKEN=from-the-file\nCOUCHDB_URL=nonsense\n")
    assert found(env_file=env) == Access("http://127.0.0.1:1", "from-the-file", found().verify)
    assert found(env_file=env, NBR_URL="http://127.0.0.1:2").url == "http://127.0.0.1:2"
    assert found("http://127.0.0.1:3", env, NBR_URL="http://127.0.0.1:2").url == "http://127.0.0.1:3"


def test_a_token_file_of_the_environment_wins_over_a_token_of_the_file(tmp_path: Path) -> None:
    env, token = tmp_path / ".env", tmp_path / "token"
    env.write_text("NBR_TOKEN=from-the-file\n")
    token.write_text("of-the-environment\n")
    assert found(env_file=env, NBR_TOKEN_FILE=str(token)).token == "of-the-environment"


def test_only_the_file_of_the_project_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("NBR_URL=http://evil.example.com\n")
    monkeypatch.chdir(tmp_path)
    assert "evil" not in access(None, {"NBR_ENV_FILE": os.devnull}).url
    assert "evil" not in access(None, {}).url
    assert access(None, {"NBR_ENV_FILE": ".env"}).url == "http://evil.example.com"


@pytest.mark.parametrize(
    "url",
    ["nbr.example.com", "ftp://a", "http://", "http://a:b", "http://a?x=1", "http://[::1"],
    ids=["bare", "ftp", "no-host", "bad-port", "query", "broken"],
)
def test_what_is_no_address_is_refused_with_an_example(url: str) -> None:
    assert "NBR_URL: must be like http://127.0.0.1:5000" in refused(NBR_URL=url)
    assert "--url" in refused(url)


def test_no_password_in_an_address() -> None:
    told = refused(NBR_URL="http://me:secret@127.0.0.1:5000")
    assert "NBR_TOKEN" in told
    assert "secret" not in told


@pytest.mark.parametrize("url", ["http://10.0.0.7:5000", "http://nbr.example.com", "http://localhost.example.com"])
def test_a_token_is_not_sent_in_the_clear_to_another_machine(url: str) -> None:
    told = refused(url, NBR_TOKEN="a-token")
    assert "NBR_ALLOW_HTTP" in told
    assert "a-token" not in told
    assert found(url).token is None
    assert found(url, NBR_TOKEN="a-token", NBR_ALLOW_HTTP="true").token == "a-token"
    assert found(url.replace("http:", "https:"), NBR_TOKEN="a-token").token == "a-token"


@pytest.mark.parametrize("url", ["http://localhost:1", "http://127.0.0.2:1", "http://[::1]:1"])
def test_this_machine_is_no_other(url: str) -> None:
    assert found(url, NBR_TOKEN="a-token").token == "a-token"


def test_a_token_that_is_none_is_not_shown(tmp_path: Path) -> None:
    for token in ("two words", "line\nbreak", "grüß"):
        assert token not in refused(NBR_TOKEN=token)
    assert "both set" in refused(NBR_TOKEN="a", NBR_TOKEN_FILE="b")
    assert "No such file" in refused(NBR_TOKEN_FILE=str(tmp_path / "none"))
    (tmp_path / "empty").write_text("\n")
    assert "is empty" in refused(NBR_TOKEN_FILE=str(tmp_path / "empty"))
    assert "a-token" not in repr(found(NBR_TOKEN="a-token"))


def test_other_mistakes_are_named(tmp_path: Path) -> None:
    assert "NBR_ALLOW_HTTP: must be true or false" in refused("http://10.0.0.7", NBR_TOKEN="t", NBR_ALLOW_HTTP="maybe")
    assert "NBR_CA_BUNDLE" in refused(NBR_CA_BUNDLE=str(tmp_path / "none"))
    with pytest.raises(click.UsageError, match="NBR_ENV_FILE: there is no file"):
        access(None, {"NBR_ENV_FILE": str(tmp_path / "none")})


def test_certificates_are_always_checked(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("")
    assert found(NBR_CA_BUNDLE=str(bundle)).verify == str(bundle)
    assert found().verify
