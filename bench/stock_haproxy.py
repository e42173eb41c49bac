"""HAProxy as CouchDB's own rel/haproxy.cfg sets it up: the peer of bench/failover.py.

Taken over from there (main branch): `maxconn 512`, `spread-checks 5`, `balance roundrobin`, `option redispatch`,
`retries 4`, `option http-server-close`, `option forwardfor`, time-outs of 150 s (client), 3,600 s (server) and 0.5 s
(connect), `GET /_up` as the check with `disable-on-404`, `check inter 5s` for each server, statistics at
/_haproxy_stats. Ours: ports, names, and a log on stdout, by which is counted what was sent where.
"""

from __future__ import annotations

import urllib.request
from collections.abc import Mapping
from pathlib import Path

from embedded.folders import private
from embedded.haproxy import MISSING, find_haproxy, servers, start
from embedded.ports import LOOPBACK, any_free
from embedded.process import Command, Process, StartError

STATISTICS = "/_haproxy_stats"
BACKEND = "nodes"
CALL_SECONDS = 5.0
CONFIGURATION = """\
global
    maxconn 512
    spread-checks 5
    log stdout format raw local0 info

defaults
    mode http
    log global
    option httplog
    balance roundrobin
    retries 4
    option redispatch
    option http-server-close
    option forwardfor
    timeout connect 500
    timeout client 150000
    timeout server 3600000
    stats enable
    stats uri {statistics}

frontend clients
    bind {host}:{port}
    default_backend {backend}

backend {backend}
    option httpchk GET /_up
    http-check disable-on-404
"""


class StockHaproxy:
    """`nodes`: name -> loopback port. Its files are in `folder`."""

    def __init__(self, folder: Path, nodes: Mapping[str, int]) -> None:
        program = find_haproxy()
        if program is None:
            raise StartError(MISSING)
        self.port = any_free()
        self.log = private(folder) / "haproxy.log"
        text = CONFIGURATION.format(statistics=STATISTICS, host=LOOPBACK, port=self.port, backend=BACKEND)
        lines = [f"    server {name} {LOOPBACK}:{port} check inter 5s\n" for name, port in nodes.items()]
        configuration = folder / "haproxy.cfg"
        configuration.write_text(text + "".join(lines), encoding="utf-8")
        self.process = Process(Command("stock haproxy", [str(program), "-db", "-f", str(configuration)]), self.log)

    def start(self) -> None:
        start(self.process, self._answers)

    def stop(self) -> None:
        self.process.kill()

    def states(self) -> dict[str, str]:
        """Server -> what HAProxy's statistics call it."""
        url = f"http://{LOOPBACK}:{self.port}{STATISTICS};csv"
        with urllib.request.urlopen(url, timeout=CALL_SECONDS) as answer:
            return {row["svname"]: row["status"] for row in servers(answer.read().decode(), BACKEND)}

    def _answers(self) -> bool:
        try:
            return bool(self.states())
        except OSError:
            return False
