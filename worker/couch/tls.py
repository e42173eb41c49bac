"""TLS to the nodes: whom we trust, what we show, and what an error of it means.

Nothing here or in the settings turns verification off. A failure is told by OpenSSL's own code for it (`verify_code`,
`reason`), never by its text, and each with what mends this one: an expired certificate is not mended in the CA bundle.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from worker.core.errors import ReplicationError, TlsRefused, Unreachable


@dataclass(frozen=True)
class Tls:
    """`ca_bundle` replaces the public CAs. Verification cannot be turned off."""

    ca_bundle: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None

    @property
    def trusted(self) -> str | bool:
        """As requests takes it: a file, or the public CAs."""
        return str(self.ca_bundle) if self.ca_bundle else True

    @property
    def shown(self) -> tuple[str, str] | None:
        """As requests takes it. The key's file is always named, though it be the certificate's: only that is looked at
        for an encrypted key, and for such a one OpenSSL would ask at the terminal."""
        return (str(self.client_cert), str(self.client_key or self.client_cert)) if self.client_cert else None


_UNKNOWN_CA = (
    "{trusted} has signed the node's certificate; put the CA that has into COUCHDB_CA_BUNDLE (which replaces the "
    "public CAs), or let the node send its intermediate certificates as well"
)
_SELF_SIGNED = (
    "the node's certificate is self-signed; put it into COUCHDB_CA_BUNDLE if it is the right one, or better have the "
    "node's certificate signed by a CA of yours and put that in"
)
_WRONG_NAME = (
    "the node's certificate is not for {host}, the host in the node's URL; write a host there that the certificate "
    "names (subjectAltName), or have one made that names this host"
)
_WEAK = "the node's certificate, or that of its CA, has too weak a key or signature; have it made anew"
# X509_V_ERR_… of OpenSSL's x509_vfy.h
_CERTIFICATE: Mapping[int, str] = {
    2: _UNKNOWN_CA,
    9: "the node's certificate, or that of its CA, is not valid yet; check the clocks of this machine and of the one "
    "where it was made",
    10: "the node's certificate, or that of its CA, has expired; renew it on the node (where it has not: check the "
    "clock of this machine)",
    18: _SELF_SIGNED,
    19: _UNKNOWN_CA,
    20: _UNKNOWN_CA,
    21: _UNKNOWN_CA,
    23: "the node's certificate was revoked; give the node a new one",
    26: "the node's certificate is not made for servers; have one made with the extended key usage serverAuth",
    62: _WRONG_NAME,
    64: _WRONG_NAME,
    66: _WEAK,
    67: _WEAK,
    68: _WEAK,
}
_ASKED_FOR = (
    "the node asks for a client certificate; set COUCHDB_CLIENT_CERT and COUCHDB_CLIENT_KEY to one that a CA which the "
    "node trusts for clients has signed"
)
_OURS = "the node does not take the certificate in COUCHDB_CLIENT_CERT: "
_NOT_TAKEN = f"{_OURS}its log may say why; it has to be for clients, and of a CA that the node trusts for them"
# what the node says against our certificate, by the alert's name in RFC 8446
_ALERTS: Mapping[str, str] = {
    "UNKNOWN_CA": f"{_OURS}it does not know the CA that signed it; set COUCHDB_CLIENT_CERT and COUCHDB_CLIENT_KEY to "
    "one of a CA that the node trusts for clients",
    "CERTIFICATE_EXPIRED": f"{_OURS}it has expired, by the node's clock; renew it",
    "CERTIFICATE_REVOKED": f"{_OURS}it was revoked; have a new one made",
    "CERTIFICATE_UNKNOWN": _NOT_TAKEN,
    "UNSUPPORTED_CERTIFICATE": _NOT_TAKEN,
    "BAD_CERTIFICATE": _NOT_TAKEN,
    "ACCESS_DENIED": _NOT_TAKEN,
    "DECRYPT_ERROR": _NOT_TAKEN,
}
_NO_VERSION = (
    "the node, or the proxy before it, speaks no version of TLS that we do; let it speak TLS 1.2 or 1.3 (older ones "
    "are not safe)"
)
_NO_TLS = (
    "what answers at the node's URL does not speak TLS; write the port on which it does (CouchDB's own is 6984), or "
    "http:// if the node is meant to be without"
)
_REASONS: Mapping[str, str] = {
    "PROTOCOL_VERSION": _NO_VERSION,  # an alert
    "UNSUPPORTED_PROTOCOL": _NO_VERSION,
    "VERSION_TOO_LOW": _NO_VERSION,
    "WRONG_VERSION_NUMBER": _NO_TLS,
    "PACKET_LENGTH_TOO_LONG": _NO_TLS,
    "RECORD_LAYER_FAILURE": _NO_TLS,
    "CERTIFICATE_REQUIRED": _ASKED_FOR,  # an alert
}
_FILES = (
    "the files of COUCHDB_CA_BUNDLE, COUCHDB_CLIENT_CERT and COUCHDB_CLIENT_KEY cannot be used any more; they were "
    "good at the start: see that they are there, can be read, and belong together"
)
# what CouchDB's own port for HTTP does: it waits for the end of a line
NO_HAND_SHAKE = (
    "connected, but no answer to the TLS hand-shake within the time-out; where that stays so, nothing speaks TLS "
    "there: write the port on which the node does (CouchDB's own is 6984), or http:// if it is meant to be without"
)
NOT_HTTP = "the node speaks TLS, and its URL begins with http://; write https://"


def refused(error: ssl.SSLError | None, host: str, tls: Tls) -> ReplicationError:
    """What OpenSSL failed with, as ours. None: it came to nothing because of our own files."""
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return Unreachable(f"the TLS connection was broken off{where_it_stays(secure=True, tls=tls)}")
    trusted = "no CA in COUCHDB_CA_BUNDLE" if tls.ca_bundle else "no public CA"
    return TlsRefused(f"TLS: {_words(error, tls).format(host=host, trusted=trusted)}")


def where_it_stays(*, secure: bool, tls: Tls) -> str:
    """What may be behind it where a connection is always cut off without a word. A node that is going down does that
    as well, so it is no more than a hint."""
    if not secure:
        return "; where that stays so, it may speak TLS: write https:// in its URL"
    if tls.client_cert:
        return "; where that stays so, the node may not take the client certificate in COUCHDB_CLIENT_CERT"
    return "; where that stays so, the node may ask for a client certificate (COUCHDB_CLIENT_CERT)"


def _words(error: ssl.SSLError | None, tls: Tls) -> str:
    if error is None or not error.reason or error.library in {"X509", "PEM", "ASN1"}:  # "[SSL] PEM lib": no reason
        return _FILES
    if isinstance(error, ssl.SSLCertVerificationError):
        return _CERTIFICATE.get(error.verify_code) or _plain(
            f"the node's certificate: {error.verify_message}; renew it"
        )
    reason = error.reason.rpartition("_ALERT_")[2]
    if reason in _ALERTS:
        return _ALERTS[reason] if tls.client_cert else _ASKED_FOR
    if reason == "HANDSHAKE_FAILURE":  # what TLS 1.2 says where a client certificate is missing, and also of ciphers
        ours = _NOT_TAKEN if tls.client_cert else _ASKED_FOR
        return f"{ours} (or the node has no cipher in common with us)"
    return _REASONS.get(reason) or _plain(
        f"the hand-shake failed ({reason.lower().replace('_', ' ')}); the log of the node, or of "
        "the proxy before it, may say more"
    )


def _plain(text: str) -> str:
    """With nothing in it that `format` would fill in."""
    return text.replace("{", "{{").replace("}", "}}")
