"""haproxy/*.cfg keep their promises, and HAProxy takes them. What they do is tested in tests/system/test_haproxy.py."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from config.haproxy import FILES
from embedded.haproxy import MISSING, find_haproxy
from worker.core.agent import ALIVE, LAST_RESORT, READY

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "haproxy"
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
WITH_AGENT = ["haproxy.cfg", "one-primary.cfg"]


def sections(file: str) -> dict[str, list[str]]:
    """Heading (two words) -> its lines, without comments."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for raw in (FOLDER / file).read_text(encoding="utf-8").splitlines():
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if raw.startswith(" "):
            lines.append(line)
        else:
            lines = found.setdefault(" ".join(line.split()[:2]), [])
    return found


def test_every_file_is_checked_and_nothing_else_lies_there() -> None:
    assert {path.name for path in FOLDER.glob("*.cfg")} == set(FILES)


@pytest.mark.parametrize("file", FILES)
def test_it_listens_on_the_ports_that_compose_publishes_and_else_on_loopback(file: str) -> None:
    binds = [line.split()[1] for lines in sections(file).values() for line in lines if line.startswith("bind ")]
    inside = [entry.rsplit(":", 1)[1] for entry in COMPOSE["services"]["haproxy"]["ports"]]
    assert [bind for bind in binds if not bind.startswith("127.0.0.1:")] == [f":{port}" for port in inside]
    assert inside == ["5983", "8404"]
    assert len(binds) == 3
    assert "stats enable" in sections(file)["frontend statistics"]
    assert not [line for line in sections(file)["frontend statistics"] if line.startswith("stats admin")]


def test_compose_runs_the_file_that_is_asked_for() -> None:
    *_, file = COMPOSE["services"]["haproxy"]["command"]
    assert file == "/usr/local/etc/haproxy/${HAPROXY_CONFIG:-haproxy.cfg}"


def test_compose_starts_the_proxy_without_our_processes() -> None:
    assert all(name.startswith("couchdb-") for name in COMPOSE["services"]["haproxy"]["depends_on"])


def test_every_database_has_a_home_node_and_the_same_in_both_lists() -> None:
    found = sections("haproxy.cfg")
    assert {"balance uri depth 1", "hash-type consistent"} <= set(found["defaults nodes"])
    lists = [
        [line.split()[1] for line in found[name] if line.startswith("server ")]
        for name in ("backend couchdb", "backend last-resort")
    ]
    assert lists[0] == lists[1]


@pytest.mark.parametrize("file", FILES)
def test_each_node_is_asked_itself(file: str) -> None:
    lines = sections(file)["defaults nodes"]
    assert "http-check send meth GET uri /_up ver HTTP/1.1 hdr Host localhost" in lines
    assert "http-check expect rstatus ^(200|400|401|404)$" in lines
    defaults = " ".join(line for line in lines if line.startswith("default-server "))
    assert " check " in defaults
    assert "on-marked-down shutdown-sessions" in defaults
    # a node without an address (replica3 without its profile) must not stop the proxy
    assert "resolvers names" in defaults
    assert "init-addr libc,none" in defaults


@pytest.mark.parametrize("file", WITH_AGENT)
def test_the_agent_is_asked_in_words_that_it_knows_and_by_no_name_that_could_be_unresolvable(file: str) -> None:
    found = sections(file)
    assert f"tcp-check send {ALIVE}\\n" in found["backend agent"]
    assert any(READY.endswith(line.split()[-1]) for line in found["backend agent"] if "tcp-check expect" in line)
    door = next(line for line in found["frontend agent-door"] if line.startswith("bind ")).split(":")[1]
    for name in ("backend couchdb", "backend last-resort"):
        assert f"default-server agent-check agent-addr 127.0.0.1 agent-port {door} agent-inter 1s" in found[name]
    last = [line for line in found["backend last-resort"] if line.startswith("server ")]
    assert all(f' {LAST_RESORT}\\n"' in line for line in last)


@pytest.mark.parametrize("file", FILES)
def test_feeds_outlive_the_time_outs_and_only_safe_requests_are_repeated(file: str) -> None:
    common, clients = sections(file)["defaults common"], sections(file)["frontend clients"]
    assert {"timeout connect 5s", "timeout client 150s", "timeout server 3600s"} <= set(common)
    assert "option redispatch 1" in common
    assert "http-request disable-l7-retry unless { method GET HEAD }" in clients


@pytest.mark.parametrize("file", FILES)
def test_what_a_client_says_of_itself_is_replaced(file: str) -> None:
    clients = sections(file)["frontend clients"]
    assert "http-request del-header X-Forwarded-For" in clients
    assert "option forwardfor" in sections(file)["defaults common"]
    assert [line for line in clients if line.startswith("http-request set-header X-Forwarded-Host ")]
    assert [line for line in clients if line.startswith("http-request set-header X-Forwarded-Proto ")]


@pytest.mark.parametrize("file", sorted(set(FILES) - {"haproxy.cfg"}))
def test_the_variants_differ_in_what_they_are_about_alone(file: str) -> None:
    whole, variant = sections("haproxy.cfg"), sections(file)
    for name in ("global", "defaults common", "resolvers names", "frontend statistics"):
        assert variant[name] == whole[name], name
    assert [line for line in whole["frontend clients"] if line not in variant["frontend clients"]] in (
        [],
        [line for line in whole["frontend clients"] if line.startswith("use_backend ")],
    )


@pytest.mark.parametrize("file", FILES)
def test_without_a_node_clients_get_json(file: str) -> None:
    page = next(line.split()[2] for line in sections(file)["defaults common"] if line.startswith("errorfile 503 "))
    head, body = (FOLDER / page).read_bytes().split(b"\r\n\r\n")
    status, *headers = head.decode().split("\r\n")
    assert status == "HTTP/1.1 503 Service Unavailable"
    assert "Content-Type: application/json" in headers
    assert any(header.startswith("Retry-After: ") for header in headers)
    assert json.loads(body).keys() == {"error", "reason"}, "in CouchDB's own form"
    refusals = [line for line in sections(file)["frontend clients"] if line.startswith("http-request deny ")]
    assert len(refusals) == 2
    for line in refusals:
        match = re.search(r"string '([^']+)'", line)
        assert match
        assert json.loads(match[1]).keys() == {"error", "reason"}


@pytest.mark.skipif(find_haproxy() is None, reason=MISSING)
@pytest.mark.parametrize("file", FILES)
def test_haproxy_takes_the_configuration(file: str) -> None:
    # from the root folder, because the container starts it from another folder, too
    checked = subprocess.run(
        [str(find_haproxy()), "-c", "-f", str(FOLDER / file)],
        cwd="/",
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
    unexpected = [
        line for line in checked.stderr.splitlines() if "[WARNING]" in line and "could not resolve address" not in line
    ]
    assert not unexpected
