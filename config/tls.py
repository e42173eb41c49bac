"""COUCHDB_CA_BUNDLE, COUCHDB_CLIENT_CERT and COUCHDB_CLIENT_KEY, looked into at the start.

A file that is no PEM, or a key of another certificate, would otherwise show only at the first call to a node, as an
error that says nothing of settings. Whether a certificate has expired is not looked at: it may be renewed while we run.
"""

from __future__ import annotations

import re
import ssl
from pathlib import Path

_BEGIN = re.compile(rb"^-----BEGIN ([A-Z0-9 ]+)-----\s*$", re.MULTILINE)
_CERTIFICATES = frozenset({"CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"})
_NOT_ITS_KEY = frozenset({"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"})
_DER = b"\x30"  # an ASN.1 sequence: what every certificate and key in DER begins with


class _EncryptedError(Exception):
    """A password would be needed."""


def check_ca_bundle(path: Path) -> None:
    """Raises ValueError that says what is wrong with the file and what would be right."""
    if not _labels(path) & _CERTIFICATES:
        raise ValueError(f"must hold at least one CA certificate in PEM; {path} {_instead(path)}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as error:
        raise ValueError(f"must hold CA certificates in PEM; {path} is damaged ({_reason(error)})") from None


def check_client(certificate: Path, key: Path | None) -> None:
    """The same of a client certificate and its key (None: it is in the same file), for both variables."""
    held = _labels_for("COUCHDB_CLIENT_CERT", certificate)
    held_by_key = _labels_for("COUCHDB_CLIENT_KEY", key) if key else held
    if key and not held & _CERTIFICATES and held_by_key & _CERTIFICATES and _has_key(held):
        raise ValueError("COUCHDB_CLIENT_CERT and COUCHDB_CLIENT_KEY are swapped: the first names the file of the key")
    if not held & _CERTIFICATES:
        raise ValueError(f"COUCHDB_CLIENT_CERT: must hold a certificate in PEM; {certificate} {_instead(certificate)}")
    if not _has_key(held_by_key) and key is None:
        raise ValueError(
            f"COUCHDB_CLIENT_CERT: {certificate} has no private key in it: set COUCHDB_CLIENT_KEY to its key's file"
        )
    if not _has_key(held_by_key):
        raise ValueError(f"COUCHDB_CLIENT_KEY: must hold a private key in PEM; {key} {_instead(key or certificate)}")
    _check_pair(certificate, key or certificate, "COUCHDB_CLIENT_KEY" if key else "COUCHDB_CLIENT_CERT")


def _check_pair(certificate: Path, key: Path, variable: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except _EncryptedError:
        raise ValueError(
            f"{variable}: the key in {key} is encrypted, and nobody is there to ask for its password; write it "
            f"without: openssl pkey -in {key} -out FILE, readable for our user only"
        ) from None
    except ssl.SSLError as error:
        if error.reason in _NOT_ITS_KEY:
            raise ValueError(
                f"{variable}: the key in {key} is not that of the certificate in {certificate} (of several "
                "certificates the first one counts)"
            ) from None
        raise ValueError(
            f"COUCHDB_CLIENT_CERT, {variable}: {certificate} or {key} is damaged ({_reason(error)})"
        ) from None


def _no_password() -> str:
    """In place of OpenSSL's own, which would ask at the terminal."""
    raise _EncryptedError


def _labels(path: Path) -> set[str]:
    """What the file says that it holds, in PEM."""
    try:
        return {label.decode() for label in _BEGIN.findall(path.read_bytes())}
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None


def _labels_for(variable: str, path: Path) -> set[str]:
    try:
        return _labels(path)
    except ValueError as error:
        raise ValueError(f"{variable}: {error}") from None


def _has_key(labels: set[str]) -> bool:
    return any(label.endswith("PRIVATE KEY") for label in labels)


def _instead(path: Path) -> str:
    """What it holds, of what it should not."""
    labels = _labels(path)
    if labels:
        return f"holds {', '.join(sorted(labels)).lower()}"
    if path.read_bytes().startswith(_DER):
        return f"is DER: openssl x509 -inform der -in {path} -out FILE writes a certificate in PEM"
    return "has none (it has lines that begin with -----BEGIN)"


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or "no reason given").lower().replace("_", " ")
