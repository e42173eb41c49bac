"""What the settings take as certificates and keys, and what they say of what they do not take."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from config import tls
from config.settings import Settings, SettingsError, load
from tests.certificates import EXPIRED, HERE, Authority, Pair, as_der, self_signed

NO_FILE = Path("/nonexistent/.env")
ROOT = Path(__file__).parents[3]


@pytest.fixture
def ca(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ca")


@pytest.fixture
def pair(ca: Authority) -> Pair:
    return ca.issue("ours")


def environment(**environ: Path) -> Settings:
    return load(environ={name: str(value) for name, value in environ.items()}, env_file=NO_FILE)


def refusal(**environ: Path) -> str:
    with pytest.raises(SettingsError) as refused:
        environment(**environ)
    return str(refused.value)


def test_good_files_are_taken(ca: Authority, pair: Pair, tmp_path: Path) -> None:
    settings = environment(
        COUCHDB_CA_BUNDLE=ca.bundle, COUCHDB_CLIENT_CERT=pair.certificate, COUCHDB_CLIENT_KEY=pair.key
    )
    assert (settings.couchdb_ca_bundle, settings.couchdb_client_key) == (ca.bundle, pair.key)
    assert environment(COUCHDB_CLIENT_CERT=pair.both).couchdb_client_key is None
    several = tmp_path / "several.pem"
    several.write_bytes(b"# ours\r\n" + ca.bundle.read_bytes() + Authority(tmp_path, "second").bundle.read_bytes())
    assert environment(COUCHDB_CA_BUNDLE=several).couchdb_ca_bundle == several


def test_expired_ones_are_taken_too_because_they_may_be_renewed_while_we_run(ca: Authority) -> None:
    old = ca.issue("old", HERE, EXPIRED)
    assert environment(COUCHDB_CLIENT_CERT=old.both, COUCHDB_CA_BUNDLE=old.certificate).couchdb_client_cert == old.both


def _empty(pair: Pair) -> Path:
    (pair.key.parent / "empty.pem").write_bytes(b"")
    return pair.key.parent / "empty.pem"


def _damaged(pair: Pair) -> Path:
    """A good certificate, and half of one."""
    path = pair.key.parent / "damaged.pem"
    text = pair.certificate.read_bytes()
    path.write_bytes(text + text[:200] + b"\n-----END CERTIFICATE-----\n")
    return path


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda pair: pair.key, "holds private key"),
        (lambda pair: as_der(pair.certificate), "openssl x509 -inform der"),
        (_empty, "-----BEGIN"),
        (_damaged, "is damaged"),
        (lambda pair: pair.key.parent, "must be a readable PEM file"),
    ],
    ids=["a key", "DER", "empty", "damaged", "a folder"],
)
def test_a_ca_bundle_holds_a_certificate(pair: Pair, make: Callable[[Pair], Path], says: str) -> None:
    path = make(pair)
    message = refusal(COUCHDB_CA_BUNDLE=path)
    assert message.startswith("COUCHDB_CA_BUNDLE: must ")
    assert str(path) in message
    assert says in message


def test_a_certificate_without_its_key_is_refused(pair: Pair) -> None:
    message = refusal(COUCHDB_CLIENT_CERT=pair.certificate)
    assert message.startswith("COUCHDB_CLIENT_CERT: ")
    assert "set COUCHDB_CLIENT_KEY" in message


def test_a_swapped_pair_is_seen(pair: Pair) -> None:
    message = refusal(COUCHDB_CLIENT_CERT=pair.key, COUCHDB_CLIENT_KEY=pair.certificate)
    assert "COUCHDB_CLIENT_CERT and COUCHDB_CLIENT_KEY are swapped" in message


def test_files_that_are_no_certificate_and_no_key_are_named(pair: Pair) -> None:
    assert refusal(COUCHDB_CLIENT_CERT=as_der(pair.certificate), COUCHDB_CLIENT_KEY=pair.key).startswith(
        "COUCHDB_CLIENT_CERT: must hold a certificate in PEM; "
    )
    assert "holds private key" in refusal(COUCHDB_CLIENT_CERT=pair.key)
    assert refusal(COUCHDB_CLIENT_CERT=pair.certificate, COUCHDB_CLIENT_KEY=pair.certificate).startswith(
        "COUCHDB_CLIENT_KEY: must hold a private key in PEM; "
    )


def test_a_key_of_another_certificate_is_refused(ca: Authority, pair: Pair) -> None:
    other = ca.issue("other")
    message = refusal(COUCHDB_CLIENT_CERT=pair.certificate, COUCHDB_CLIENT_KEY=other.key)
    assert message.startswith("COUCHDB_CLIENT_KEY: ")
    assert f"{other.key} is not that of the certificate in {pair.certificate}" in message


def test_a_damaged_key_is_refused_and_not_shown(pair: Pair) -> None:
    lines = pair.key.read_text().splitlines()
    pair.key.write_text("\n".join([lines[0], lines[1][:20], lines[-1], ""]))
    message = refusal(COUCHDB_CLIENT_CERT=pair.certificate, COUCHDB_CLIENT_KEY=pair.key)
    assert "COUCHDB_CLIENT_KEY: " in message
    assert "is damaged" in message
    assert lines[1][:20] not in message


def test_a_file_that_cannot_be_read_is_named(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tls.Path, "read_bytes", refuse)
    message = refusal(COUCHDB_CLIENT_CERT=pair.certificate, COUCHDB_CLIENT_KEY=pair.key)
    assert message == f"COUCHDB_CLIENT_CERT: cannot read {pair.certificate}: Permission denied"


@pytest.mark.parametrize("together", [True, False], ids=["in one file", "in a file of its own"])
def test_an_encrypted_key_is_refused_and_nobody_is_asked(ca: Authority, together: bool) -> None:
    """Not even at a terminal: OpenSSL's own question would wait there for ever."""
    sealed = ca.issue("sealed", password="hunter2")
    named = {"COUCHDB_CLIENT_CERT": sealed.both if together else sealed.certificate}
    named |= {} if together else {"COUCHDB_CLIENT_KEY": sealed.key}
    command = (
        "import os, pty, sys\n"
        "from config.settings import load, SettingsError\n"
        "from pathlib import Path\n"
        "pid, terminal = pty.fork()\n"
        "if pid:\n"
        "    said = b''\n"
        "    try:\n"
        "        while more := os.read(terminal, 4096): said += more\n"
        "    except OSError: pass\n"
        "    os.waitpid(pid, 0); print(said.decode()); sys.exit()\n"
        "try: load(env_file=Path('/nonexistent/.env'))\n"
        "except SettingsError as error: print(error)\n"
    )
    environ = {"PATH": os.environ["PATH"], **{name: str(path) for name, path in named.items()}}
    said = subprocess.run(
        [sys.executable, "-c", command], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=True
    ).stdout
    assert said.startswith(f"{list(named)[-1]}: the key in ")
    assert "is encrypted" in said
    assert "pass phrase" not in said


def test_a_self_signed_certificate_may_be_trusted_as_it_is(tmp_path: Path) -> None:
    alone = self_signed(tmp_path, "alone")
    assert environment(COUCHDB_CA_BUNDLE=alone.certificate).couchdb_ca_bundle == alone.certificate


def test_no_setting_turns_verification_off() -> None:
    """By name, and by type: what TLS has are files, and not one switch."""
    about_tls = {name for name in Settings.model_fields if "ca_bundle" in name or "client_" in name}
    assert about_tls == {"couchdb_ca_bundle", "couchdb_client_cert", "couchdb_client_key"}
    assert all(Settings.model_fields[name].annotation == Path | None for name in about_tls)
    assert not [
        name for name in Settings.model_fields if any(word in name for word in ("insecure", "verif", "ssl", "tls"))
    ]
