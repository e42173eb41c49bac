"""What docs/security.md tells people to run is run here: its commands, and its HAProxy with calls through it."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from config.settings import Settings, build
from embedded.haproxy import MISSING, find_haproxy, start
from embedded.ports import LOOPBACK, any_free
from embedded.process import Command, Process
from tests.certificates import Authority, Pair
from tests.fakes.echo import EchoNode
from worker.couch import tls

pytestmark = pytest.mark.contract

GUIDE = (Path(__file__).parents[2] / "docs" / "security.md").read_text(encoding="utf-8")
SHELL = re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL)
(PROXY,) = re.findall(r"```haproxy\n(.*?)```", GUIDE, re.DOTALL)
FILE = "/etc/haproxy/tls/api.pem"
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
needs_haproxy = pytest.mark.skipif(find_haproxy() is None, reason=MISSING)


@pytest.fixture
def ca(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ca")


@contextmanager
def proxy(folder: Path, pair: Pair, upstream: Mapping[int, int]) -> Iterator[dict[int, int]]:
    """The guide's HAProxy with another certificate; yields its ports, on loopback, by those that the guide has."""
    text = PROXY.replace(FILE, str(pair.both))
    ports: dict[int, int] = {}
    for port in map(int, re.findall(r"bind :(\d+) ", text)):
        ports[port] = any_free(ports.values())
        text = text.replace(f"bind :{port} ", f"bind {LOOPBACK}:{ports[port]} ")
    for port, instead in upstream.items():
        assert f"{LOOPBACK}:{port}\n" in text
        text = text.replace(f"{LOOPBACK}:{port}\n", f"{LOOPBACK}:{instead}\n")
    (folder / "haproxy.cfg").write_text(text, encoding="utf-8")
    argv = [str(find_haproxy()), "-db", "-f", str(folder / "haproxy.cfg")]
    process = Process(Command("haproxy", argv), folder / "haproxy.log")
    start(process, lambda: all(_listens(port) for port in ports.values()))
    try:
        yield ports
    finally:
        process.kill()


def _listens(port: int) -> bool:
    try:
        socket.create_connection((LOOPBACK, port), 1).close()
    except OSError:
        return False
    return True


def shell(command: str, folder: Path) -> str:
    done = subprocess.run(["bash", "-ec", command], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_openssl
def test_the_commands_make_a_ca_and_a_certificate_that_we_take(tmp_path: Path) -> None:
    (making,) = (block for block in SHELL if "req -x509" in block)
    shell(making, tmp_path)
    ours = {"couchdb_ca_bundle": "ca.pem", "couchdb_client_cert": "replica1.pem", "couchdb_client_key": "replica1.key"}
    assert build({name: tmp_path / file for name, file in ours.items()}).couchdb_ca_bundle == tmp_path / "ca.pem"
    verify = "openssl verify -CAfile ca.pem -verify_hostname replica1.example.com -purpose sslserver replica1.pem"
    assert shell(verify, tmp_path) == "replica1.pem: OK\n"


@needs_openssl
@needs_haproxy
def test_the_command_that_shows_a_certificate_shows_its_names_and_dates(tmp_path: Path, ca: Authority) -> None:
    (showing,) = (block for block in SHELL if "s_client" in block)
    with proxy(tmp_path, ca.issue("good", ("replica1.example.com",)), {}) as ports:
        shown = shell(showing.replace("replica1.example.com:6984", f"{LOOPBACK}:{ports[443]}"), tmp_path)
    for part in ("subject=CN = good", "issuer=CN = ca", "notAfter=", "DNS:replica1.example.com"):
        assert part in shown


@needs_haproxy
def test_haproxy_takes_the_configuration_without_a_warning(tmp_path: Path, ca: Authority) -> None:
    file = tmp_path / "tls.cfg"
    file.write_text(PROXY.replace(FILE, str(ca.issue("good").both)), encoding="utf-8")
    command = [str(find_haproxy()), "-c", "-f", str(file)]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert checked.returncode == 0, checked.stderr
    assert "[WARNING]" not in checked.stderr


@needs_haproxy
def test_calls_reach_the_api_and_flower_through_it_by_tls_alone(tmp_path: Path, ca: Authority) -> None:
    api, flower = EchoNode("api"), EchoNode("flower")
    try:
        with (
            proxy(tmp_path, ca.issue("good"), {5000: api.port, 5555: flower.port}) as ports,
            requests.Session() as session,
        ):
            session.trust_env = False
            session.verify = str(ca.bundle)
            said = session.get(f"https://localhost:{ports[443]}/api/health", headers={"X-Forwarded-For": "1.2.3.4"})
            assert said.json()["node"] == "api"
            headers = {name.lower(): value for name, value in said.json()["headers"].items()}
            assert headers["x-forwarded-proto"] == "https"
            assert headers["x-forwarded-for"] == LOOPBACK
            assert said.headers["Strict-Transport-Security"]
            assert session.get(f"https://localhost:{ports[5556]}/").json()["node"] == "flower"
            with pytest.raises(requests.ConnectionError):
                session.get(f"http://localhost:{ports[443]}/api/health", timeout=10)
    finally:
        api.stop()
        flower.stop()


def test_ports_and_settings_are_those_of_the_code() -> None:
    assert f"server api 127.0.0.1:{Settings.model_fields['api_port'].default}\n" in PROXY
    assert f"server flower 127.0.0.1:{Settings.model_fields['flower_port'].default}\n" in PROXY
    outside = {"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "HOST"}
    named = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)`", GUIDE)) - outside
    assert named
    assert {name.lower() for name in named} <= set(Settings.model_fields)


def test_every_reason_it_quotes_is_one_that_we_tell() -> None:
    said = " ".join(value for name, value in vars(tls).items() if name.isupper() and isinstance(value, str))
    said += " ".join(words for table in (tls._CERTIFICATE, tls._ALERTS) for words in table.values())
    (table,) = re.findall(r"^\| `reason` \| .*\n((?:\|.*\n)+)", GUIDE, re.MULTILINE)
    quoted = re.findall(r"`([a-z][^`]+ [^`]+)`", "".join(line.split("|")[1] for line in table.splitlines()[1:]))
    assert len(quoted) > 8
    for words in [*quoted, "no answer to the TLS hand-shake"]:
        assert (
            words.replace("HOST", "{host}").replace("no CA in COUCHDB_CA_BUNDLE has", "{trusted} has")
            in f"{said} no public CA"
        )
