"""Which nodes HAProxy should have: those of the settings, else those that docker-compose.yml starts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from dotenv import dotenv_values

from config.nodes import NodeSetting, parse_nodes
from config.settings import Settings

ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "::1": "[::1]"}  # noqa: S104 (an address to call, not to listen on)
_DEFAULT = re.compile(r"^\$\{([A-Z_]+):-([^}]*)\}$")


@dataclass(frozen=True)
class Nodes:
    """`origin`: where the list is from, in words. `agent`, `api`: host:port of our own two. `ca_file`: whom
    HAProxy believes about the nodes' certificates."""

    origin: str
    nodes: tuple[NodeSetting, ...]
    agent: str
    api: str
    ca_file: str = "@system-ca"


def from_settings(settings: Settings) -> Nodes:
    """For a proxy beside our processes."""
    agent = f"{ANYWHERE.get(settings.agent_host, settings.agent_host)}:{settings.agent_port}"
    api = f"{ANYWHERE.get(settings.api_host, settings.api_host)}:{settings.api_port}"
    ca_file = str(settings.couchdb_ca_bundle or "@system-ca")
    return Nodes("the settings (.env)", settings.nodes, agent, api, ca_file)


def from_compose(folder: Path) -> Nodes:
    """For the proxy of docker-compose.yml: the nodes that the containers are given, and those of a profile that is not
    on (replica3), which have no address until it is."""
    compose: dict[str, Any] = yaml.safe_load((folder / "docker-compose.yml").read_text(encoding="utf-8"))
    environment = compose["x-notebook"]["environment"]
    chosen = dotenv_values(folder / ".env") if (folder / ".env").is_file() else {}

    def value(variable: str) -> str:
        match = _DEFAULT.match(environment[variable])
        return (chosen.get(match[1]) or match[2]) if match else str(environment[variable])

    nodes = parse_nodes(value("COUCHDB_URL"), value("REPLICATION_NODES"))
    hosts = {node.parts[0] for node in nodes}
    more = [
        NodeSetting(name.removeprefix("couchdb-"), f"http://{name}:5984", f"http://{name}:5984")
        for name, service in compose["services"].items()
        if str(service.get("image", "")).startswith("couchdb:") and name not in hosts
    ]
    names = {node.name for node in nodes}
    more = [node for node in more if node.name not in names]
    agent_port, api_port = environment["AGENT_PORT"], environment["API_PORT"]
    return Nodes("docker-compose.yml", (*nodes, *more), f"notebook-agent:{agent_port}", f"notebook-backend:{api_port}")
