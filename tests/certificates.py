"""Certificates that tests make for themselves: good ones, and one for each way in which they can be wrong.

Elliptic keys, because a test makes many and an RSA key takes long. They carry what strict checks ask for (key usage,
key identifiers), so that each is refused for the one thing that it is about.
"""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HERE = ("127.0.0.1", "localhost")
DAY = datetime.timedelta(days=1)

_Days = tuple[int, int]
NOW: _Days = (-1, 30)  # valid from yesterday on
EXPIRED: _Days = (-30, -1)
NOT_YET: _Days = (1, 30)


@dataclass(frozen=True)
class Pair:
    """A certificate, its key, and a file that has both (what HAProxy wants)."""

    certificate: Path
    key: Path
    both: Path


class Authority:
    """A CA of its own; what it issues lies in `folder`."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = _named(name)
        self._key = ec.generate_private_key(ec.SECP256R1())
        made = _builder(self._name, self._name, self._key, self._key, NOW, ca=True).sign(self._key, hashes.SHA256())
        self.bundle = folder / f"{name}.pem"
        self.bundle.write_bytes(made.public_bytes(serialization.Encoding.PEM))

    def issue(
        self, name: str, hosts: tuple[str, ...] = HERE, days: _Days = NOW, *, password: str | None = None
    ) -> Pair:
        """For a server with these names and addresses, or for a client. `password` encrypts the key."""
        return _issued(self._folder, name, hosts, days, (self._name, self._key), password)


def self_signed(folder: Path, name: str, hosts: tuple[str, ...] = HERE) -> Pair:
    return _issued(folder, name, hosts, NOW, None, None)


def as_der(pem: Path) -> Path:
    """The same certificate, not as text."""
    made = pem.with_suffix(".der")
    certificate = x509.load_pem_x509_certificate(pem.read_bytes())
    made.write_bytes(certificate.public_bytes(serialization.Encoding.DER))
    return made


def _issued(
    folder: Path,
    name: str,
    hosts: tuple[str, ...],
    days: _Days,
    issuer: tuple[x509.Name, ec.EllipticCurvePrivateKey] | None,
    password: str | None,
) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    issuer_name, issuer_key = issuer or (_named(name), key)
    names = [_host(host) for host in hosts]
    certificate = (
        _builder(_named(name), issuer_name, key, issuer_key, days, ca=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .sign(issuer_key, hashes.SHA256())
    )
    sealed: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password:
        sealed = serialization.BestAvailableEncryption(password.encode())
    key_text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, sealed)
    text = certificate.public_bytes(serialization.Encoding.PEM)
    pair = Pair(folder / f"{name}.crt", folder / f"{name}.key", folder / f"{name}.both.pem")
    for path, content in ((pair.certificate, text), (pair.key, key_text), (pair.both, text + key_text)):
        path.write_bytes(content)
        path.chmod(0o600)
    return pair


def _builder(
    name: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer_key: ec.EllipticCurvePrivateKey,
    days: _Days,
    *,
    ca: bool,
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only",
         "decipher_only"), False,
    )  # fmt: skip
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + days[0] * DAY)
        .not_valid_after(now + days[1] * DAY)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(not ca, key_cert_sign=ca, crl_sign=ca, **usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
