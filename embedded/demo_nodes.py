"""The demo's machine room: three nodes, a private Redis and the system's processes, all under var/demo."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from config.settings import Settings
from embedded import nodes, ports
from embedded.folders import SECRET_KEY_BYTES, VAR, FolderLock, keep_secret, private
from embedded.nodes import EmbeddedNode
from embedded.process import Process
from embedded.processes import system_commands, without_settings
from embedded.redis import EmbeddedRedis
from embedded.supervisor import Supervisor
from worker.core.model import Credentials
from worker.couch.client import CouchClient
from worker.couch.database import Database
from worker.couch.server import Server
from worker.couch.transport import RequestsTransport

FOLDER = VAR / "demo"
USER = "admin"
WANTED_PORTS = {"primary": 5984, "replica1": 5985, "replica2": 5986}
API_PORT, FLOWER_PORT, AGENT_PORT = 5000, 5555, 5989


@dataclass(frozen=True)
class Site:
    """Where everything of one run is."""

    folder: Path
    nodes: list[EmbeddedNode]
    api_port: int
    flower_port: int
    agent_port: int
    redis: EmbeddedRedis
    servers: dict[str, Server] = field(default_factory=dict)

    @property
    def password_file(self) -> Path:
        return self.folder / "password"

    @property
    def secret_key_file(self) -> Path:
        return self.folder / "secret-key"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def backups(self) -> Path:
        return self.folder / "backups"

    @property
    def api(self) -> str:
        return f"http://{ports.LOOPBACK}:{self.api_port}"

    @property
    def flower(self) -> str:
        return f"http://{ports.LOOPBACK}:{self.flower_port}"

    def databases(self, name: str) -> dict[str, Database]:
        """The database on each node, asked directly, past the system."""
        return {node: Database(server, name) for node, server in self.servers.items()}

    def environ(self) -> dict[str, str]:
        """The system's whole environment. The password goes by file."""
        first, *others = self.nodes
        return {
            **without_settings(os.environ, tuple(Settings.model_fields)),
            "COUCHDB_URL": f"{first.name}={first.url}",
            "REPLICATION_NODES": ",".join(f"{node.name}={node.url}" for node in others),
            "COUCHDB_USER": USER,
            "COUCHDB_PASSWORD_FILE": str(self.password_file),
            "SECRET_KEY_FILE": str(self.secret_key_file),
            "REDIS_URL": self.redis.url,
            "API_PORT": str(self.api_port),
            "FLOWER_PORT": str(self.flower_port),
            "AGENT_PORT": str(self.agent_port),
            "BACKUP_URL": self.backups.as_uri(),
            "HEALTH_INTERVAL": "2",  # a node that is stopped by hand is noticed while one watches
        }


def build(say: Callable[[str], None], stack: ExitStack, folder: Path) -> Site:
    """Choose ports and make everything ready to start. Raises StartError, FolderInUseError."""
    folder = private(folder)
    stack.enter_context(FolderLock(folder))
    admin = Credentials(USER, keep_secret(folder / "password"))
    keep_secret(folder / "secret-key", SECRET_KEY_BYTES)
    taken: list[int] = []
    for name, wanted in {**WANTED_PORTS, "the API": API_PORT, "Flower": FLOWER_PORT, "the agent": AGENT_PORT}.items():
        taken.append(ports.choose(name, wanted, say, taken))
    kind = "couchdb" if nodes.find_couchdb() else "stand-in"  # never one kind's data under the other
    made = [
        nodes.make(name, port, folder / kind / name, admin) for name, port in zip(WANTED_PORTS, taken, strict=False)
    ]
    shutil.rmtree(folder / "redis", ignore_errors=True)  # jobs of an earlier run; the documents are in the nodes
    redis = EmbeddedRedis(folder / "redis")
    api, flower, agent = taken[-3:]
    servers = {item.name: Server(CouchClient(item.node, RequestsTransport())) for item in made}
    return Site(folder, made, api, flower, agent, redis, servers)


def start(site: Site, supervisor: Supervisor) -> None:
    """Redis and the nodes, and once they answer, the system. Raises StartError."""
    supervisor.add(site.redis.process, site.redis.start)
    for node in site.nodes:
        supervisor.add(node.process, node.start)
    for node in site.nodes:
        node.wait_ready()
    shutil.rmtree(site.logs, ignore_errors=True)
    private(site.logs)
    for command in system_commands(site.environ()):
        supervisor.add(Process(command, site.logs / f"{command.name}.log"))
